"""Observations, what must stay apart among them, and why."""

import numpy as np
import pytest

from jepa_extractor import EmpiricalBisimulation, Episode, largest_bisimulation
from jepa_extractor.audit import AuditSet, audit

NAMES = ("remove", "add")
RNG = np.random.default_rng(0)


def episode(actions, rewards, terminated=False, observations=None, **labels):
    """An episode whose observations are random numbers unless they are given."""
    if observations is None:
        observations = RNG.random((len(actions) + 1, 2), np.float32)
    labels = {name: np.array(values, float) for name, values in labels.items()}
    return Episode(np.array(observations), np.array(actions), np.float32(rewards), terminated, labels)


EPISODES = [  # observations 0 to 3, and 4 to 7
    episode([1, 1, 0], [0, 1, 0], count=[0, 1, 2, 1]),
    episode([1, 1, 1], [0, 0, 0], terminated=True, count=[3, 4, 5, 6]),
]


def test_arrays():
    """Observations stand one episode after the other, with the action of leaving and the reward of arriving."""
    audit_set = AuditSet.from_episodes(EPISODES, NAMES, env="Some-v0")
    assert len(audit_set) == 8
    assert audit_set.actions.tolist() == [1, 1, 0, -1, 1, 1, 1, -1]
    np.testing.assert_array_equal(audit_set.rewards, np.float32([np.nan, 0, 1, 0, np.nan, 0, 0, 0]))
    assert audit_set.ends.tolist() == [False] * 7 + [True]
    assert audit_set.episodes.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert audit_set.steps.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    assert audit_set.labels["count"].tolist() == [0, 1, 2, 1, 3, 4, 5, 6]
    assert (audit_set.action_names, audit_set.env) == (NAMES, "Some-v0")
    assert audit_set.observations.shape == (8, 2)


def test_what_data_tells_apart_and_why():
    """Pairs are told apart as the empirical bisimulation of rewards and ends says; the sentence names what was seen."""
    audit_set = AuditSet.from_episodes(EPISODES, NAMES)
    successors = np.full((8, 2), -1)
    for i, action in enumerate(audit_set.actions):
        if action >= 0:
            successors[i, action] = i + 1
    values = np.stack([audit_set.rewards, audit_set.ends], axis=1)
    relation = EmpiricalBisimulation(successors, values)
    left, right = np.divmod(np.arange(64), 8)
    expected = [relation.distinguishable(i, j) for i, j in zip(left, right, strict=True)]
    assert audit_set.apart(left, right).tolist() == expected
    assert audit_set.why(0, 4) == "add, add: the left one is rewarded (1), the right one is not (0)"
    assert audit_set.why(4, 0) == "add, add: the left one is not rewarded (0), the right one is (1)"
    assert audit_set.why(2, 6) == "on arrival: the left one is rewarded (1), the right one is not (0)"
    assert audit_set.why(5, 6) == "add: the episode of the right one is over, that of the left one is not"
    assert audit_set.why(0, 3) == "no data tells them apart"
    two = AuditSet.from_episodes([episode([0], [2.0]), episode([0], [3.5])], NAMES)
    cost = AuditSet.from_episodes([episode([0], [0.0]), episode([0], [-1.0])], NAMES)
    assert cost.why(0, 2) == "remove: the reward of the left one is 0, that of the right one -1"
    assert two.why(0, 2) == "remove: the reward of the left one is 2, that of the right one 3.5"


def test_sampled_pairs_are_of_their_kind():
    """All pairs of both kinds turn up in a small set, none twice as (i, i), and the seed decides which come first."""
    audit_set = AuditSet.from_episodes(EPISODES, NAMES)
    must, may = audit_set.sample_pairs(1_000, seed=0)
    assert audit_set.apart(*must.T).all()
    assert not audit_set.apart(*may.T).any()
    drawn = {tuple(pair) for pair in np.concatenate([must, may]).tolist()}
    assert drawn == {(i, j) for i in range(8) for j in range(i + 1, 8)}
    assert len(must) == len(may) == 1_000
    few = audit_set.sample_pairs(3, seed=1)
    assert [pairs.shape for pairs in few] == [(3, 2), (3, 2)]
    np.testing.assert_array_equal(few, audit_set.sample_pairs(3, seed=1))
    assert not np.array_equal(few, audit_set.sample_pairs(3, seed=2))


@pytest.fixture(scope="module")
def world():
    """A world whose reward depends on state and action: its MDP, and play in it. State 0 ends an episode.

    An observation is its state, and a number that does not matter. States 3 and 4 are bisimilar.
    """
    rng = np.random.default_rng(0)
    successors = np.array([[0, 0], [0, 2], [1, 3], [2, 5], [2, 5], [4, 1]])
    values = np.array([[0, 0], [1, 2], [2, 1], [1, 1], [1, 1], [1, 1]])
    episodes = []
    for _ in range(60):
        states, actions = [int(rng.integers(1, 6))], rng.integers(2, size=8)
        while len(states) <= 8 and states[-1] != 0:
            states.append(int(successors[states[-1], actions[len(states) - 1]]))
        taken, seen = actions[: len(states) - 1], np.stack([states, rng.random(len(states))], axis=1)
        episodes.append(episode(taken, values[states[:-1], taken], states[-1] == 0, np.float32(seen), state=states))
    return (successors, values), episodes


def test_a_reward_of_observation_and_action(world):
    """By "action_reward", two are apart if the same actions showed something else, as counting step by step says."""
    mdp, episodes = world
    data = AuditSet.from_episodes(episodes, NAMES, auxiliary="action_reward")

    def witness(i, j):
        actions = []
        while data.actions[i] == data.actions[j] >= 0:
            actions.append(int(data.actions[i]))
            i, j = i + 1, j + 1
            if (data.rewards[i], data.ends[i]) != (data.rewards[j], data.ends[j]):
                return actions
        return None

    left, right = np.triu_indices(len(data), k=1)
    expected = [witness(i, j) for i, j in zip(left, right, strict=True)]
    apart = data.apart(left, right)
    assert apart.tolist() == [actions is not None for actions in expected]
    assert f"Data tells {apart.mean():.2%} of the pairs of {len(data)} observations apart" in data.coverage()
    for i, j, actions in list(zip(left, right, expected, strict=True))[::97]:
        said = data.why(i, j)
        assert said.split(":")[0] == (", ".join(NAMES[a] for a in actions) if actions else "no data tells them apart")
    state = data.labels["state"].astype(int)
    classes = largest_bisimulation(*mdp)[state]
    assert not (apart & (classes[left] == classes[right])).any()
    assert {(i, j) for i in range(1, 6) for j in range(i + 1, 6)} - {(3, 4)} == {
        tuple(sorted(pair)) for pair in zip(state[left[apart]], state[right[apart]], strict=True)
    }


def test_a_perfect_encoder_where_the_reward_depends_on_the_action(world):
    """Rewards of arriving accuse it, and the set says why; rewards of observation and action do not."""
    _, episodes = world
    merged = np.array([0, 1, 2, 3, 3, 5])

    def perfect(observations):
        return merged[observations[:, 0].long().numpy()][:, None]

    by_arrival, by_action = (
        AuditSet.from_episodes(episodes, NAMES, auxiliary=auxiliary) for auxiliary in ("reward", "action_reward")
    )
    assert audit(perfect, by_arrival).collapse_index > 0.1
    assert audit(perfect, by_action).collapse_index == 0
    # what does not matter is left out, so that observations are seen again
    states = [episode(e.actions, e.rewards, e.terminated, np.float32(e.observations[:, :1])) for e in episodes]
    said = AuditSet.from_episodes(states, NAMES).coverage()
    assert "but never after the same observation and action" in said
    assert 'give auxiliary="action_reward"' in said
    assert "again" not in AuditSet.from_episodes(states, NAMES, auxiliary="action_reward").coverage()
    assert "again" not in AuditSet.from_episodes(EPISODES, NAMES).coverage()


def test_tolerance():
    """Rewards within the tolerance are the same; ends are never within it."""
    episodes = [episode([0], [0.0]), episode([0], [0.4]), episode([0], [5.0]), episode([0], [0.0], terminated=True)]
    exact, coarse = (AuditSet.from_episodes(episodes, 1, tolerance=tolerance) for tolerance in (0.0, 1.0))
    firsts = np.array([0, 0, 0]), np.array([2, 4, 6])
    assert exact.apart(*firsts).tolist() == [True, True, True]
    assert coarse.apart(*firsts).tolist() == [False, True, True]


def test_equal_observations_need_not_be_apart():
    """What follows them differs, but no encoder can keep two equal observations apart; the set says how often."""
    same = [[1.0, 2.0], [3.0, 4.0]]
    episodes = [episode([0], [0], observations=same), episode([0], [1], observations=[[1.0, 2.0], [5.0, 6.0]])]
    audit_set = AuditSet.from_episodes(episodes, NAMES)
    assert audit_set.required.apart(np.array([0, 1]), np.array([2, 3])).tolist() == [True, True]
    assert audit_set.apart(np.array([0, 1]), np.array([2, 3])).tolist() == [False, True]
    assert audit_set.repeats == (1, 1)
    assert "Of 1 times that an observation and an action were seen again, the reward or the end was another in 1" in (
        audit_set.coverage()
    )
    ends = [episode([0], [0], terminated, observations=same) for terminated in (False, True, True)]
    assert AuditSet.from_episodes(ends, NAMES).repeats == (2, 2)  # each is compared with the first
    surely = AuditSet.from_episodes([*episodes[:1] * 2, episode([1], [1], observations=same)], NAMES)
    assert surely.repeats == (1, 0)  # the third has another action
    assert "seen again" not in surely.coverage()


def test_coverage_by_hand():
    """The text names the share of pairs told apart and how much data would show one action more."""
    rng = np.random.default_rng(0)
    episodes = [episode(rng.integers(2, size=3), rng.integers(2, size=3)) for _ in range(250)]
    audit_set = AuditSet.from_episodes(episodes, NAMES)
    n = len(audit_set)
    left, right = np.triu_indices(n, k=1)
    share = audit_set.required.apart(left, right).mean()
    required = audit_set.required
    # three quarters of the observations are followed by one action, a half by two, a quarter by three
    assert [required.both_take(length) for length in range(5)] == pytest.approx(
        [1, (3 / 8) ** 2, (1 / 8) ** 2, (1 / 32) ** 2, 0]
    )
    assert required.actions_seen() == 2  # 1 / 32 ** 2 is less than 1.5 / 1,000
    text = audit_set.coverage()
    assert f"Data tells {share:.2%} of the pairs of 1,000 observations apart." in text
    assert "first differ after 3 actions or more may go unseen" in text
    assert "follows both in one of 1,024 pairs" in text
    assert "record longer episodes, or about 1,536 in episodes such as these" in text  # 1.5 * 4 ** 3 is 96


def test_classes():
    """Classes are the numbers under the label; unknown ones must stay apart from none."""
    episodes = [episode([0, 0], [0, 0], count=[3, np.nan, 5]), episode([0], [0], count=[3, 5])]
    audit_set = AuditSet.from_classes(episodes, "count")
    left, right = np.divmod(np.arange(25), 5)
    expected = [{i, j} in ({0, 2}, {0, 4}, {3, 2}, {3, 4}) for i, j in zip(left, right, strict=True)]
    assert audit_set.apart(left, right).tolist() == expected
    assert audit_set.why(0, 2) == "count 3 and count 5"
    assert audit_set.coverage() == "There are 2 classes of count. The rarest, count 3, was seen 2 times."


def test_classes_of_an_mdp():
    """The classes are those of its largest bisimulation, and the actions that tell two states apart are named."""
    mdp = [[0, 1], [0, 2], [2, 2], [2, 2]], [0, 0, 1, 1]  # 2 and 3 are bisimilar
    episodes = [episode([1, 1], [0, 1], state=[0, 1, 2]), episode([1, 1], [1, 1], state=[3, 2, 2])]
    audit_set = AuditSet.from_classes(episodes, "state", mdp, NAMES)
    assert audit_set.apart(np.array([0, 2, 0]), np.array([1, 3, 3])).tolist() == [True, False, True]
    assert audit_set.why(0, 1) == "state 0 and state 1: add: the value is 0 on the left, 1 on the right"
    assert audit_set.why(0, 3) == "state 0 and state 3: at once: the value is 0 on the left, 1 on the right"
    assert "Fewer than two observations show state 0, 1: nothing is said of it" in audit_set.coverage()


@pytest.mark.parametrize("kind", ["episodes", "action_reward", "classes", "mdp"])
def test_saved_and_loaded(kind, tmp_path):
    """A loaded set is the saved one; what must stay apart is computed anew; the file holds no pickle."""
    observations = {"eyes": np.zeros((2, 3, 4, 4), np.uint8), "ears": np.float32([[1], [2]])}
    episodes = [
        Episode(observations, np.array([0]), np.float32([0.25]), True, {"state": np.array([0.0, 1.0])}),
        Episode(observations, np.array([1]), np.float32([0.75]), False, {"state": np.array([1.0, 1.0])}),
        Episode(observations, np.array([0]), np.float32([0.75]), False, {"state": np.array([0.0, 0.0])}),
    ]
    mdp = ([[1, 0], [1, 1]], [0.0, 1.0])
    saved = {
        "episodes": lambda: AuditSet.from_episodes(episodes, NAMES, tolerance=0.1, env="Some-v0"),
        "action_reward": lambda: AuditSet.from_episodes(episodes, NAMES, auxiliary="action_reward"),
        "classes": lambda: AuditSet.from_classes(episodes, "state", actions=NAMES),
        "mdp": lambda: AuditSet.from_classes(episodes, "state", mdp, NAMES),
    }[kind]()
    saved.save(tmp_path / "deep" / "set.npz")
    with np.load(tmp_path / "deep" / "set.npz", allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file)
    loaded = AuditSet.load(tmp_path / "deep" / "set.npz")
    for name in ("actions", "rewards", "ends", "episodes", "steps"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(saved, name))
        assert getattr(loaded, name).dtype == getattr(saved, name).dtype
    assert list(loaded.observations) == ["eyes", "ears"]
    for key, array in saved.observations.items():
        np.testing.assert_array_equal(loaded.observations[key], array)
    assert (loaded.action_names, loaded.env) == (saved.action_names, saved.env)
    assert loaded.labels["state"].tolist() == saved.labels["state"].tolist()
    left, right = np.divmod(np.arange(36), 6)
    assert loaded.apart(left, right).tolist() == saved.apart(left, right).tolist()
    assert loaded.why(0, 5) == saved.why(0, 5)
    assert loaded.coverage() == saved.coverage()


def test_a_file_that_is_no_set(tmp_path):
    """Missing and broken files, and those of others, are named."""
    with pytest.raises(FileNotFoundError, match="there is no audit set at"):
        AuditSet.load(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "other.npz", numbers=np.arange(3))
    np.savez(tmp_path / "newer.npz", plain='{"format": "jepa_extractor audit set 2"}')
    np.savez(tmp_path / "empty.npz", plain='{"format": "jepa_extractor audit set 1", "keys": null, "labels": []}')
    for name in ("text", "other", "newer", "empty"):
        with pytest.raises(ValueError, match=f"{name}.npz is no audit set: give what AuditSet.save wrote"):
            AuditSet.load(tmp_path / f"{name}.npz")


def test_a_set_of_another_environment():
    """Another id, other observations and another number of actions are named."""
    audit_set = AuditSet.from_episodes(EPISODES, NAMES, env="Some-v0")
    seen = np.zeros(2, np.float32)
    audit_set.require_environment("Some-v0", seen, 2)
    AuditSet.from_episodes(EPISODES, NAMES).require_environment("Any-v0", seen, 2)
    for env, observation, actions in (
        ("Other-v0", seen, 2),
        ("Some-v0", seen, 3),
        ("Some-v0", seen, None),
        ("Some-v0", np.zeros(3, np.float32), 2),
        ("Some-v0", np.zeros(2), 2),
        ("Some-v0", {"eyes": seen}, 2),
    ):
        with pytest.raises(
            ValueError, match=r"made for Some-v0 with observations float32 \(2,\) and 2 actions, not for"
        ):
            audit_set.require_environment(env, observation, actions)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AuditSet.from_episodes([], 2), "episodes is empty"),
        (lambda: AuditSet.from_episodes(5, 2), "episodes=5 is not a sequence"),
        (lambda: AuditSet.from_episodes(EPISODES, 1), "actions=1, but episodes have actions from 0 to 1"),
        (lambda: AuditSet.from_episodes(EPISODES, 0), "actions=0 is not an integer of at least 1"),
        (lambda: AuditSet.from_episodes(EPISODES, 2.5), "actions=2.5 is neither a number nor a sequence"),
        (lambda: AuditSet.from_classes(EPISODES, "count", 5), "mdp=5 is not a pair: give successors"),
        (lambda: AuditSet.from_episodes(EPISODES, "add"), "actions='add' is neither a number nor a sequence"),
        (lambda: AuditSet.from_episodes(EPISODES, 2, tolerance=-1), "tolerance=-1"),
        (
            lambda: AuditSet.from_episodes([episode(np.zeros((2, 1)), [0, 1])], 1),
            "not one integer a step, such as continuous",
        ),
        (
            lambda: AuditSet.from_episodes([episode([0] * 9, [0] * 9)] * 10, 2),
            "all 90 steps had the same reward, 0, and none ended an episode.* fewer than one in 30 steps shows",
        ),
        (lambda: AuditSet.from_episodes([episode([0], [1], terminated=True)], 2), "all 1 steps .* all ended an"),
        (lambda: AuditSet.from_episodes([episode(np.zeros(0, int), [])], 2), "episodes hold no step"),
        (lambda: AuditSet.from_episodes(EPISODES, 2, auxiliary="q"), "auxiliary='q' is unknown: choose one of reward"),
        (
            lambda: AuditSet.from_episodes([episode([0, 1], [0, 1])] * 2, 2, auxiliary="action_reward"),
            "all of the 4 steps that had the same action had the same reward and end, so",
        ),
        (lambda: AuditSet.from_classes(EPISODES, "shape"), r"label='shape' is not among the labels \['count'\]"),
        (lambda: AuditSet.from_classes(EPISODES, None), "label=None is not a key|label=None"),
        (lambda: AuditSet.from_classes([episode([0], [0], count=[2, 2])], "count"), "are of one class by 'count'"),
        (lambda: AuditSet.from_classes([episode([0], [0], count=[np.nan] * 2)], "count"), "unknown at every obs"),
        (
            lambda: AuditSet.from_classes(EPISODES, "count", ([[0], [1]], [0, 1])),
            r"info\['count'\] reaches from 0 to 6, but mdp has states 0 to 1",
        ),
        (
            lambda: AuditSet.from_classes([episode([0], [0], count=[0.5, 1])], "count", ([[0], [1]], [0, 1])),
            "is not always an integer",
        ),
    ],
)
def test_bad_sets_are_named(make, message):
    """An error names the argument and the mend."""
    with pytest.raises(ValueError, match=message):
        make()


def test_continuous_actions_with_classes():
    """Classes need no actions: continuous ones are kept as they are."""
    audit_set = AuditSet.from_classes([episode(np.array([[0.5], [0.25]]), [0, 1], count=[1, 2, 3])], "count")
    np.testing.assert_array_equal(audit_set.actions, [[0.5], [0.25], [np.nan]])
    assert audit_set.action_names == ()
    assert audit_set.repeats == (0, 0)
