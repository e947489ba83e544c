"""The verdict: right where the truth is known, and INCONCLUSIVE where data tells too little."""

import dataclasses

import numpy as np
import pytest

from jepa_extractor import Episode
from jepa_extractor.audit import AuditSet, audit
from jepa_extractor.audit.closure import gap
from jepa_extractor.audit.neighbours import Pairs
from jepa_extractor.audit.report import audit_latents
from jepa_extractor.audit.verdict import Found, of_episodes, power
from jepa_extractor.bisimulation import largest_bisimulation
from tests.audit.test_report import around, classes_set

LENGTH = 9  # of a circle of states, in which the reward comes at one


def circle(observed, steps=40, count=30, reward=lambda state: float(state == 0), seed=0):
    """A set of walks on a circle, forth or back; ``observed(state, rng)`` is what is seen of a state."""
    rng = np.random.default_rng(seed)
    episodes = []
    for _ in range(count):
        actions = rng.integers(2, size=steps)
        states = (rng.integers(LENGTH) + np.append(0, np.cumsum(2 * actions - 1))) % LENGTH
        seen = np.stack([np.float32(observed(state, rng)) for state in states])
        rewards = np.float32([reward(state) for state in states[1:]])
        episodes.append(Episode(seen, actions, rewards, False, {"state": states.astype(float)}))
    return AuditSet.from_episodes(episodes, ("back", "forth"))


def with_noise(state, rng):
    return [state, rng.random()]


def latents_of(audit_set, place):
    """Latents around a point for the place of each state."""
    points = np.random.default_rng(7).normal(size=(LENGTH, 6))
    states = audit_set.labels["state"].astype(int)
    noise = np.random.default_rng(8).normal(scale=0.02, size=(len(states), 6))
    return np.float32(points[[place(state) for state in states]] + noise)


@pytest.mark.parametrize("seen_again", [False, True])
@pytest.mark.parametrize(
    "place",
    [
        lambda state: state,
        lambda state: min(state, LENGTH - state),  # the mirror image: back and forth are not the same
        lambda state: 3 if state == 4 else state,
        lambda state: state % 3,
        lambda state: 0,
    ],
    ids=["all", "mirror", "3 and 4", "thirds", "constant"],
)
def test_a_circle(place, seen_again):
    """All nine states must be apart, says partition refinement: KEPT is said of that alone, COLLAPSED of no such."""
    successors = [[(state - 1) % LENGTH, (state + 1) % LENGTH] for state in range(LENGTH)]
    assert len(set(largest_bisimulation(successors, np.arange(LENGTH) == 0))) == LENGTH
    merges = len({place(state) for state in range(LENGTH)}) < LENGTH
    data = circle((lambda state, rng: [state, 0]) if seen_again else with_noise)
    word = audit_latents(latents_of(data, place), data).verdict.word
    assert word in ({"COLLAPSED", "INCONCLUSIVE"} if merges else {"KEPT"})
    if seen_again:
        assert word == ("COLLAPSED" if merges else "KEPT")


def test_more_than_must_be_is_kept_or_unproved():
    """An encoder that keeps what does not matter is never accused; whether it keeps all cannot always be proved."""
    data = circle(with_noise)
    states = data.labels["state"].astype(int)
    finer = 10.0 * states[:, None] + np.float32(data.observations[:, 1:] > 0.5)
    report = audit_latents(np.float32(finer), data)
    assert report.collapse_index == 0
    assert report.verdict.word == "INCONCLUSIVE"
    assert "what looks alike is not always followed by what looks alike" in report.verdict.sentence
    assert report.verdict.next.startswith("--play model, or --episodes 120")


def test_a_merge_that_data_does_not_show_is_not_green():
    """In episodes of one step nothing tells 3 from 4; they are merged, and the verdict is not green."""
    data = circle(with_noise, steps=1, count=300)
    states = data.labels["state"].astype(int)
    assert not data.apart(np.flatnonzero(states == 3)[:5], np.flatnonzero(states == 4)[:5]).any()
    report = audit_latents(latents_of(data, lambda state: 3 if state == 4 else state), data)
    assert report.verdict.word == "INCONCLUSIVE"


def test_actions_never_tried_leave_a_gap():
    """Where observations are states, every action of each must have been tried."""
    data = circle(lambda state, rng: [state, 0], steps=3, count=5)
    report = audit_latents(latents_of(data, lambda state: state), data)
    assert report.verdict.word == "INCONCLUSIVE"


@pytest.mark.parametrize("of_constant", [(0.0, 0.4), (float("nan"), float("nan"))])
def test_where_a_constant_encoder_would_pass(of_constant):
    """Nothing is said of any encoder, good or bad, and the next command is named."""
    data = circle(with_noise)
    for index in (0.0, 1.0):
        found = Found(index, (index, index), index, index, of_constant, None, index == 1, "", "")
        verdict = of_episodes(data, found)
        assert verdict.word == "INCONCLUSIVE"
        assert verdict.sentence.startswith("A constant encoder would have passed")
        assert "--play model" in verdict.next
    assert power("KEPT", [("constant encoder", "INCONCLUSIVE")]) == "A constant encoder is not found."


@pytest.mark.parametrize("times", [1, 2, 3])
def test_an_action_tried_less_than_three_times_leaves_a_gap(times):
    """A group may hold what is merged, and one or two tries be all of one part of it."""
    episodes = [
        Episode(np.float32([[seen], [seen]]), np.array([action]), np.float32([seen]), False)
        for seen in (0, 1)
        for action in [0] * 10 + [1] * times
    ]
    data = AuditSet.from_episodes(episodes, ("back", "forth"))
    alike = [np.flatnonzero(data.observations[:, 0] == seen) for seen in (0, 1)]
    left, right = (np.concatenate([rows[side] for rows in alike]) for side in (slice(-1), slice(1, None)))
    text = gap(data, Pairs(left, right, np.zeros(len(left), np.float32)))
    assert text == (
        "" if times == 3 else "not every action was tried 3 times in each group of observations that look alike"
    )


@pytest.mark.parametrize(("of_observations", "word"), [((0.0, 1.0), "INCONCLUSIVE"), ((0.0, 0.005), "COLLAPSED")])
def test_nothing_encodes_observations_and_they_may_be_as_bad(of_observations, word):
    """Where one rewarded observation alone has neighbours far away, the encoder is not accused."""
    found = Found(0.75, (0.05, 1.0), 0.2, 0.02, (0.7, 1.0), of_observations, False, "", "")
    assert of_episodes(circle(with_noise), found).word == word


def test_the_pairs_that_are_kept_are_counted():
    """Where every third state of the circle is rewarded, there are three classes of three: 36 - 9 pairs to keep."""
    data = circle(lambda state, rng: [state, 0], reward=lambda state: float(state % 3 == 0))
    report = audit_latents(latents_of(data, lambda state: state), data)
    assert str(report.verdict) == "KEPT. All 27 pairs that must be apart look different to it."


def test_classes_of_which_all_were_seen_too_seldom():
    """Two pictures of two classes each show nothing of a constant encoder."""
    report = audit_latents(np.ones((4, 1), np.float32), classes_set([0, 1, 0, 1]))
    assert report.verdict.word in ("COLLAPSED", "INCONCLUSIVE")
    assert audit_latents(np.float32([[0], [1], [0], [1]]), classes_set([0, 1, 0, 1])).verdict.word == "INCONCLUSIVE"


def test_what_looks_alike_must_stay_alike():
    """Groups are a bisimulation if each earned the same and is followed by one group after each action, by hand."""
    data = circle(with_noise)
    states = data.labels["state"].astype(int)
    for merge, said in [
        (lambda state: state, ""),
        (lambda state: 3 if state == 4 else state, "is not always followed by what looks alike"),
        (lambda state: 1 if state == 0 else state, "did not always earn the same"),
    ]:
        group = np.array([merge(state) for state in states])
        pairs = [np.flatnonzero(group == own) for own in np.unique(group)]
        left, right = np.concatenate([rows[:-1] for rows in pairs]), np.concatenate([rows[1:] for rows in pairs])
        text = gap(data, Pairs(left, right, np.zeros(len(left), np.float32)))
        assert said in text
        assert (text == "") == (said == "")
    nothing = np.zeros(0, np.int64)
    assert "looks like nothing else" in gap(data, Pairs(nothing, nothing, np.zeros(0, np.float32)))


def test_chance_accuses_nobody():
    """Where the same observation and action led to different rewards, a difference may be chance."""
    rng = np.random.default_rng(0)
    episodes = [
        Episode(
            np.float32(rng.integers(3, size=(11, 1))),
            rng.integers(2, size=10),
            np.float32(rng.integers(2, size=10)),
            False,
        )
        for _ in range(60)
    ]
    data = AuditSet.from_episodes(episodes, 2)
    report = audit(lambda seen: 0 * seen, data)
    assert report.verdict.word == "INCONCLUSIVE"
    assert "perhaps by chance" in report.verdict.sentence


def noisy_set(bonus):
    """Episodes whose rewards are real numbers, with a bonus at the end of half of them."""
    rng = np.random.default_rng(0)
    episodes = []
    for i in range(80):
        rewards = rng.normal(scale=0.5, size=10).astype(np.float32)
        rewards[-1] += bonus * (i % 2)
        seen = np.arange(11, dtype=np.float32)[:, None] + 20 * (i % 2) + rng.random((11, 3), np.float32) / 9
        episodes.append(Episode(seen, np.zeros(10, int), rewards, False))
    return episodes


def test_a_tolerance_is_chosen_for_real_numbers_and_said():
    """A hundredth of the range: what is joined by a chain of such differences is the same, and the index tells."""
    episodes = noisy_set(100)
    exact, chosen = AuditSet.from_episodes(episodes, 1, tolerance=0.0), AuditSet.from_episodes(episodes, 1)
    rewards = np.concatenate([episode.rewards for episode in episodes])
    assert chosen.required.tolerance == pytest.approx(np.ptp(rewards) / 100)
    assert chosen.coverage().startswith("Rewards are real numbers: those at most ")
    assert "Rewards are real" not in exact.coverage()
    assert audit(lambda seen: seen, exact).collapse_index == pytest.approx(1, abs=0.1)
    assert audit(lambda seen: seen, chosen).collapse_index < 0.05
    assert audit(lambda seen: 0 * seen, chosen).collapse_index == pytest.approx(1, abs=0.1)


def test_whole_rewards_have_no_tolerance():
    """A few values that come again are exact."""
    data = circle(with_noise)
    assert (data.required.tolerance, data.required.is_chosen) == (0.0, False)


def test_where_observations_themselves_say_nothing():
    """With exact real rewards nearly all pairs differ at once: what is near says nothing, and the audit says that."""
    data = AuditSet.from_episodes(noisy_set(100), 1, tolerance=0.0)
    report = audit(lambda seen: seen, data)
    assert report.verdict.word == "INCONCLUSIVE"
    assert "so they do where nothing encodes them" in report.verdict.sentence
    assert "--tolerance" in report.verdict.next


def test_a_class_seen_seldom_leaves_a_doubt():
    """Three pictures of a class are too few, unless they are always the same."""
    classes = np.append(np.repeat([0, 1], 60), [2, 2, 2])
    report = audit_latents(around(classes), classes_set(classes))
    assert report.verdict == (
        "INCONCLUSIVE",
        "It keeps apart what was seen often, but kind 2 was seen too seldom.",
        report.verdict.next,
    )
    same = classes_set(classes)
    same = dataclasses.replace(same, observations=np.float32(classes[:, None]))
    assert audit_latents(np.float32(classes[:, None]), same).verdict.word == "KEPT"


def test_the_interval_of_noise_holds_one():
    """For encoders that know nothing the index is 1: at least 90 of 100 intervals reach it, in three and 64 dimensions.

    Some latents lie next to nearly all others there, so their episodes must count from both sides.
    """
    for width in (3, 64):
        held = 0
        for seed in range(100):
            rng = np.random.default_rng(seed)
            data = classes_set(np.repeat(rng.integers(3, size=60), 5), length=5)
            held += audit_latents(rng.normal(size=(300, width)).astype(np.float32), data, seed=seed).interval[1] >= 1
        assert held >= 90


def test_an_interval_is_within_what_it_measures():
    """Neither an index nor an end of its interval is above 1 or below 0."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        data = classes_set(rng.integers(2, size=40))
        report = audit_latents(rng.normal(size=(40, 2)).astype(np.float32), data, seed=seed)
        low, high = report.interval
        assert 0 <= low <= report.collapse_index <= high <= 1


def test_many_classes_are_cut():
    """Of 317 classes that all merge, the sentence names a few, and the table is no wall of numbers."""
    classes = np.repeat(np.arange(317), 4)
    report = audit_latents(np.ones((len(classes), 2), np.float32), classes_set(classes))
    assert report.verdict.word == "COLLAPSED"
    assert len(report.verdict.sentence) < 200
    classes = np.repeat(np.arange(317), 12)
    halves = audit_latents(np.float32(np.stack([classes // 2, 0 * classes], axis=1)) * 100, classes_set(classes))
    assert halves.verdict.word == "COLLAPSED"
    assert len(halves.verdict.sentence) < 200
