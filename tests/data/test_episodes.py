"""Episodes joined into arrays: held against loops, and every misfit is named with its episode."""

import numpy as np
import pytest

from jepa_extractor import Episode, TransitionRing
from jepa_extractor.bisimulation import empirical_data
from jepa_extractor.data.episodes import join_episodes


def episode(steps, seed=0, terminated=False, **labels):
    rng = np.random.default_rng(seed)
    observations = {"a": rng.random((steps + 1, 2), np.float32), "b": rng.integers(9, size=steps + 1)}
    return Episode(observations, rng.integers(3, size=steps), np.float32(rng.random(steps)), terminated, labels)


def test_joined_episodes():
    """Observations, steps, ends and labels are those of the episodes, in order; offsets say whose they are."""
    given = [
        episode(2, 1, True, x=np.arange(3.0)),
        episode(0, 2),
        episode(3, 3, False, y=np.arange(4, dtype=np.float32)),
        episode(1, 4, True, x=np.array([5, np.nan])),
    ]
    joined = join_episodes(iter(given))
    rows, steps = 0, 0
    for number, one in enumerate(given):
        length = len(one.rewards)
        assert joined.offsets[number : number + 2].tolist() == [rows, rows + length + 1]
        for t in range(length + 1):
            assert joined.observations["a"][rows].tolist() == one.observations["a"][t].tolist()
            assert joined.observations["b"][rows] == one.observations["b"][t]
            assert joined.begins_step[rows] == (t < length)
            assert joined.ends[rows] == (t == length and one.terminated)
            for name in ("x", "y"):
                np.testing.assert_equal(
                    joined.labels[name][rows], one.labels[name][t] if name in one.labels else np.nan
                )
            rows += 1
        assert joined.actions[steps : steps + length].tolist() == one.actions.tolist()
        assert joined.rewards[steps : steps + length].tolist() == one.rewards.tolist()
        steps += length
    assert len(joined.begins_step) == rows == len(joined.ends) == len(joined.observations["b"]) == 10
    assert joined.begins_step.sum() == steps == len(joined.actions)
    assert joined.terminated.tolist() == [True, False, False, True]


def test_actions_keep_their_dtype():
    """An episode without steps may hold any empty array of actions; alone, it is joined too."""
    nothing = episode(0)._replace(actions=np.zeros(0))
    assert join_episodes([nothing, episode(2)]).actions.dtype == np.int64
    assert join_episodes([episode(2), nothing]).actions.dtype == np.int64
    assert join_episodes([nothing]).offsets.tolist() == [0, 1]


def change(name, value):
    def broken():
        one = episode(2, x=np.zeros(3))
        if name in ("a", "b"):
            return one._replace(observations={**one.observations, name: value})
        if name == "x":
            return one._replace(labels={"x": value})
        return one._replace(**{name: value})

    return broken


@pytest.mark.parametrize("join", [join_episodes, lambda given: TransitionRing.from_episodes(given, 0), None])
@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda: (1, 2, 3), "episode 2 is a tuple: give jepa_extractor.Episode"),
        (change("rewards", [0.5, 0.5]), "episode 2 has rewards of type list: give an array"),
        (change("actions", np.array(["a", "b"])), "episode 2 has actions of type ndarray: give an array of numbers"),
        (change("rewards", np.float32(1)), "episode 2 has rewards of type float32"),
        (change("rewards", np.zeros((2, 1), np.float32)), r"episode 2 has rewards of shape \(2, 1\): give one number"),
        (change("x", np.zeros((3, 1))), r"episode 2 has labels\['x'\] of shape \(3, 1\)"),
        (change("actions", np.zeros(3, np.int64)), "episode 2 has 2 rewards and 3 actions: T steps need"),
        (change("rewards", np.zeros(1, np.float32)), "episode 2 has 1 rewards and 2 actions, 3 obs"),
        (change("b", np.zeros(2, np.int64)), r"episode 2 has 2 rewards and 2 observations\['b'\]"),
        (change("x", np.zeros(2)), r"episode 2 has 2 rewards and 2 labels\['x'\]"),
        (
            change("a", np.zeros((3, 3), np.float32)),
            r"episode 2 has observations\['a'\] of .*\(3,\).*another.*\(2,\)",
        ),
        (change("b", np.zeros(3, np.int32)), r"episode 2 has observations\['b'\] of .* int32, another of .* int64"),
        (change("actions", np.zeros(2)), "episode 2 has actions of .* float64, another of .* int64"),
        (change("observations", np.zeros((3, 2))), "episode 2 has observations.* of no kind|another of no kind"),
        (change("rewards", np.float32([0, np.nan])), "episode 2 has rewards of nan at row 1: give finite"),
        (change("a", np.float32([[0, 0], [0, 0], [0, np.inf]])), r"episode 2 has observations\['a'\] of inf at row 2"),
    ],
)
def test_misfits_are_named(join, broken, message):
    """The message names the episode and the array, whoever joins them."""
    join = join or (lambda given: empirical_data(given, 3))
    given = [episode(3), episode(0), broken(), episode(2)]
    with pytest.raises(ValueError, match=message):
        join(given)


def test_actions_that_are_not_finite():
    """Continuous actions are looked at too."""
    one = episode(2)._replace(actions=np.array([[0.5], [np.nan]]))
    with pytest.raises(ValueError, match="episode 0 has actions of nan at row 1"):
        join_episodes([one])


@pytest.mark.parametrize(("given", "message"), [([], "episodes is empty"), (3, "episodes=3 is not a sequence")])
def test_no_episodes(given, message):
    """Nothing can be joined."""
    with pytest.raises(ValueError, match=message):
        join_episodes(given)


def test_a_ring_needs_a_step():
    """Episodes without steps hold no transition; beside others they change nothing that can be drawn."""
    with pytest.raises(ValueError, match="episodes hold no step"):
        TransitionRing.from_episodes([episode(0), episode(0)], seed=0)
    given = [episode(2, 1), episode(3, 2, True)]
    ring = TransitionRing.from_episodes([episode(0), given[0], episode(0), given[1], episode(0)], seed=0)
    newest, expected = ring.newest(9), TransitionRing.from_episodes(given, seed=0).newest(9)
    assert len(ring) == 5
    assert newest.observations["a"].equal(expected.observations["a"])
    assert newest.actions.equal(expected.actions)
    assert newest.terminated.equal(expected.terminated)
