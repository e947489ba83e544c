"""The collapse index, its neighbours and its report, on latents whose collapse is known."""

import json

import numpy as np
import pytest
from rich.console import Console

from jepa_extractor import Episode
from jepa_extractor.audit import AuditSet, audit, compare
from jepa_extractor.audit.neighbours import FARTHEST, neighbours
from jepa_extractor.audit.report import audit_latents

NAMES = ("left", "right")


def classes_set(classes, length=5):
    """A set whose observations, all different, have these classes, in episodes of so many."""
    classes = np.asarray(classes)
    episodes = []
    for begin in range(0, len(classes), length):
        own = classes[begin : begin + length]
        observations = np.arange(begin, begin + len(own), dtype=np.float32)[:, None]
        steps = len(own) - 1
        episodes.append(
            Episode(observations, np.zeros(steps, int), np.zeros(steps, np.float32), False, {"kind": own.astype(float)})
        )
    return AuditSet.from_classes(episodes, "kind", actions=NAMES)


def around(places, spread=0.05, dim=3, seed=0):
    """Latents around a place for each observation, on the first axis."""
    rng = np.random.default_rng(seed)
    latents = rng.normal(scale=spread, size=(len(places), dim))
    latents[:, 0] += places
    return np.float32(latents)


def test_neighbours_by_brute_force():
    """They are the 20 nearest, without those farther than twice the distance of either's, or most others', nearest."""
    latents = np.random.default_rng(1).normal(size=(60, 4)).astype(np.float32)
    near = neighbours(latents, np.random.default_rng(0))
    between = np.linalg.norm(latents[:, None] - latents[None], axis=-1)
    np.fill_diagonal(between, np.inf)
    first = between.min(axis=1)
    most = np.sqrt(np.quantile(first**2, 0.9))
    expected = {
        (i, int(j))
        for i in range(60)
        for j in np.argsort(between[i])[:20]
        if between[i, j] <= FARTHEST * min(first[i], first[j], most)
    }
    assert len(expected) > 100
    assert set(zip(near.left.tolist(), near.right.tolist(), strict=True)) == expected
    np.testing.assert_allclose(near.distances, between[near.left, near.right], rtol=1e-3)


def test_index_by_hand():
    """Of six latents in two groups of three, one group holds two classes."""
    audit_set = classes_set([0, 0, 0, 1, 1, 2], length=2)
    report = audit_latents(np.float32([[0], [0], [0], [9], [9], [9]]), audit_set)
    # hits are 0, 0, 0 and 1/2, 1/2, 1; of the 15 pairs 11 are of different classes
    assert report.hits.tolist() == [0, 0, 0, 0.5, 0.5, 1]
    assert report.observations_hit == 0.5
    assert report.random_share == pytest.approx(11 / 15, abs=0.15)
    assert report.collapse_index == pytest.approx((2 / 6) / report.random_share)
    assert {frozenset(audit_set.labels["kind"][[pair.left, pair.right]]) for pair in report.worst_pairs} == {
        frozenset({1.0, 2.0})
    }


@pytest.mark.parametrize("trace", [0.0, 0.01])
def test_everything_collapsed(trace):
    """Of a constant encoder, up to a last trace of the classes, the index is 1, and ties are broken at random."""
    classes = np.repeat(np.arange(4), 100)
    report = audit_latents(np.float32(100 + trace * classes[:, None]), classes_set(classes))
    assert report.collapse_index == pytest.approx(1, abs=0.05)
    assert report.interval[0] < 1 == report.interval[1]
    assert report.verdict.word == "COLLAPSED"
    assert report.hits.min() > 0.25  # by order, the neighbours of all would be the same ones
    assert np.isfinite([pair.distance for pair in report.worst_pairs]).all()


def test_pure_noise():
    """Latents that know nothing of the classes have an index of 1."""
    audit_set = classes_set(np.random.default_rng(3).integers(4, size=600))
    assert audit_latents(around(np.zeros(600), 1.0), audit_set).collapse_index == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("spread", [0.0, 0.05])
@pytest.mark.parametrize("rare", [1, 2, 3, 8, 19])
def test_rare_states_are_no_collapse(rare, spread):
    """A faithful encoder has an index of 0, also where its states were seen less often than there are neighbours."""
    classes = np.concatenate([np.zeros(100, int), np.repeat(np.arange(1, 6), rare)])
    report = audit_latents(around(classes, spread), classes_set(classes))
    assert report.collapse_index == 0
    assert report.observations_hit == 0
    assert report.worst_pairs == []
    assert report.verdict.word == ("KEPT" if rare > 9 else "INCONCLUSIVE")


def test_the_verdict_is_that_of_pairs_not_of_means():
    """A class in several clouds whose mean lies in another is kept: its members are told apart."""
    classes = np.repeat([0, 1], 60)
    latents = np.zeros((120, 2), np.float32)
    latents[:, 0] = np.tile([0, 0, 10, 10], 30) + 0.5 * classes
    report = audit_latents(latents, classes_set(classes))
    assert report.collapse_index == 0
    assert report.classes.margins[0, 1] < 0.1
    assert report.verdict.word == "KEPT"


def test_a_lossless_code_is_kept():
    """Each state is one random point, and a class is many states."""
    rng = np.random.default_rng(0)
    states = np.repeat(np.arange(45), 8)
    for _ in range(5):
        latents = rng.normal(size=(45, 16)).astype(np.float32)[states]
        assert audit_latents(latents, classes_set(states % 9)).verdict.word == "KEPT"


def test_a_merge_of_rare_states_is_seen():
    """Two states of four observations each that lie in one place are hit, and no others."""
    classes = np.concatenate([np.zeros(100, int), np.repeat([1, 2, 3], 4)])
    places = np.where(classes == 3, 2, classes)
    report = audit_latents(around(places), classes_set(classes))
    assert set(classes[np.nan_to_num(report.hits) > 0]) == {2, 3}


def test_observations_drawn_from_many(monkeypatch):
    """Of more observations than are compared, some are drawn; the others have no hits."""
    monkeypatch.setattr("jepa_extractor.audit.neighbours.MOST", 200)
    classes = np.random.default_rng(0).integers(3, size=1_000)
    report = audit_latents(around(np.minimum(classes, 1)), classes_set(classes))
    assert np.isfinite(report.hits).sum() <= 200
    assert set(classes[np.nan_to_num(report.hits) > 0]) == {1, 2}
    assert report.latents.shape == (1_000, 3)


def test_the_interval_is_over_episodes():
    """Episodes that are all alike leave no doubt; where one of ten alone is hit, there is much. One tells nothing."""
    classes = np.tile([0, 1], 200)
    alike = audit_latents(around(np.zeros(400)), classes_set(classes, 40))
    assert alike.interval[1] - alike.interval[0] < 0.2
    classes, places = np.repeat(np.arange(20), 20), np.repeat(np.arange(20.0), 20)
    places[20:40] = 0  # the first episode alone
    mixed = audit_latents(around(places), classes_set(classes, 40))
    assert mixed.interval[0] == 0 < mixed.collapse_index < mixed.interval[1]
    assert np.isnan(audit_latents(around(places), classes_set(classes, 400)).interval).all()


def test_worst_pairs():
    """They come with distance and reason, one of each reason first, and no observation twice."""
    classes = np.repeat(np.arange(4), 50)
    places = np.array([0.0, 0.0, 5.0, 5.0])[classes]
    audit_set = classes_set(classes)
    latents = around(places, spread=np.where(classes < 2, 0.01, 0.5)[:, None])
    report = audit_latents(latents, audit_set)
    first, second, *others = report.worst_pairs
    assert {first.why, second.why} <= {
        "kind 0 and kind 1",
        "kind 1 and kind 0",
        "kind 2 and kind 3",
        "kind 3 and kind 2",
    }
    assert sorted(classes[[first.left, first.right]]) == [0, 1]
    assert sorted(classes[[second.left, second.right]]) == [2, 3]  # farther than many of the others
    assert others[0].distance < second.distance
    named = [i for pair in report.worst_pairs for i in pair[:2]]
    assert len(set(named)) == len(named)
    scale = np.sqrt(np.mean([np.sum((latents - one) ** 2, axis=1) for one in latents]))
    assert first.distance == pytest.approx(np.linalg.norm(latents[first.left] - latents[first.right]) / scale, rel=1e-3)


def test_classes_and_pairs_are_audited_too():
    """A set with classes compares those that were seen at least twice, and the sentence names what looks alike."""
    classes = np.append(np.repeat([5, 7, 9], 60), 11)
    report = audit_latents(around(np.minimum(classes, 7)), classes_set(classes))
    assert np.argwhere(np.triu(~report.classes.kept, 1)).tolist() == [[1, 2]]
    numbers = report.numbers()
    assert (numbers["required_pairs_kept"], numbers["required_pairs"]) == (2, 3)
    assert report.verdict.word == "COLLAPSED"
    assert "kind 7 and 9 look the same to it" in report.verdict.sentence


def episodes_set():
    """A set of episodes whose first action tells by its reward where it started."""
    rng = np.random.default_rng(0)
    episodes = [
        Episode(rng.random((2, 2), np.float32), np.array([1]), np.float32([kind]), False) for kind in [0, 1] * 40
    ]
    return AuditSet.from_episodes(episodes, NAMES)


def test_table_and_json():
    """The report is printed and written as JSON; of sets without classes too."""
    report = audit(lambda seen: 0 * seen, episodes_set(), name="zero")
    assert report.classes is None
    console = Console(record=True, width=120)
    console.print(report.table())
    printed = console.export_text()
    assert f"{report.collapse_index:.3f}" in printed
    assert "right: the left one is" in printed
    assert "zero: COLLAPSED. Everything looks the same to it" in printed
    content = json.loads(report.to_json())
    assert content["name"] == "zero"
    assert content["collapse_index"] == report.collapse_index
    assert content["worst_pairs"][0] == report.worst_pairs[0]._asdict()
    assert content["coverage"] == report.audit_set.coverage()
    assert content["classes"] is None
    assert content["verdict"] == report.verdict._asdict()
    assert [control["name"] for control in content["controls"]] == ["constant encoder", "observations themselves"]


def test_side_by_side():
    """Several reports make one table, with a column for each."""
    audit_set = episodes_set()
    reports = [audit(lambda seen: seen, audit_set, "all"), audit(lambda seen: 0 * seen, audit_set, "nothing")]
    console = Console(record=True, width=120)
    console.print(compare(reports))
    line = next(line for line in console.export_text().splitlines() if "collapse index " in line)
    assert line.index(f"{reports[0].collapse_index:.3f}") < line.index(f"{reports[1].collapse_index:.3f}")


def test_the_same_seed_gives_the_same_report():
    """Ties, random pairs and resamples come from the seed alone."""
    audit_set = episodes_set()
    one, other, another = (audit(lambda seen: 0 * seen, audit_set, seed=seed).to_json() for seed in (0, 0, 1))
    assert one == other != another


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"audit_set": [1, 2]}, r"audit_set=\[1, 2\] is not of type AuditSet: make one by"),
        ({"seed": -1}, "seed=-1"),
        ({"frame_stack": 0}, "frame_stack=0"),
        ({"encoder": "model.zip"}, "encoder='model.zip' is no encoder"),
    ],
)
def test_bad_arguments_of_an_audit(change, message):
    """An error names the argument and its value."""
    with pytest.raises(ValueError, match=message):
        audit(**{"encoder": lambda seen: seen, "audit_set": episodes_set(), **change})
