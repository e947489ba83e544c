"""Observations, what must stay apart among them, and why."""

import numpy as np
import pytest

from jepa_extractor import Episode
from jepa_extractor.audit import AuditSet
from tests.audit.known_episodes import EPISODES, NAMES, episode


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


def test_equal_observations_need_not_be_apart():
    """What follows them differs, but no encoder can keep two equal observations apart; the set says how often."""
    same = [[1.0, 2.0], [3.0, 4.0]]
    episodes = [episode([0], [0], observations=same), episode([0], [1], observations=[[1.0, 2.0], [5.0, 6.0]])]
    audit_set = AuditSet.from_episodes(episodes, NAMES)
    assert audit_set.required.differ(np.array([0, 1]), np.array([2, 3])).tolist() == [True, True]
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
    np.savez(tmp_path / "newer.npz", plain='{"format": "jepa_extractor audit set 3"}')
    np.savez(tmp_path / "empty.npz", plain='{"format": "jepa_extractor audit set 2", "keys": null, "labels": []}')
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
