"""A planner's foresight."""

import numpy as np
import pytest
from gymnasium import spaces

from jepa_extractor.planning import MPPI, Imagination, LatentPlanner
from tests.planning.worlds import trained, world

CHAIN = [[max(state - 1, 0), min(state + 1, 8)] for state in range(9)]
STATES = np.eye(9, dtype=np.float32)


def test_it_imagines_the_way_to_the_goal():
    """In a world that is known exactly, the foresight is what will happen, by name, and the rewards."""
    planner = LatentPlanner(world(CHAIN, np.arange(9) == 4), horizon=3)
    foreseen = Imagination(planner, STATES, [f"{state} objects" for state in range(9)]).imagine(STATES[6])
    assert [action for action, _ in foreseen] == [None, 0, 0, 0]
    assert [text for _, text in foreseen] == [
        "6 objects",
        "5 objects, reward 0.0",
        "4 objects, reward 1.0",
        "3 objects, reward 0.0",
    ]


def test_it_imagines_nothing_after_an_end():
    """The foresight stops where an end is predicted."""
    planner = LatentPlanner(world(CHAIN, np.arange(9) == 4, ends=np.arange(9) == 4), horizon=8)
    assert len(Imagination(planner).imagine(STATES[6])) == 3


def test_without_names_it_tells_rewards():
    """What is seen now has no name then."""
    planner = LatentPlanner(world(CHAIN, np.arange(9) == 4), horizon=1)
    assert Imagination(planner).imagine(STATES[3]) == [(None, ""), (1, "reward 1.0")]


def test_continuous_foresight_is_what_it_would_do():
    """The first imagined action is that of predict, and belongs to the space."""
    box = spaces.Box(-1, 1, (3,), np.float32)
    planner = LatentPlanner(trained(box, spaces.Box(-2, 2, (2,), np.float32)), horizon=3, search=MPPI(32, 4))
    imagination = Imagination(planner)
    observation = np.ones(3, np.float32) / 2
    foreseen = imagination.imagine(observation)
    assert len(foreseen) == 4
    np.testing.assert_array_equal(foreseen[1][0], planner.predict(observation)[0])
    np.testing.assert_array_equal(foreseen[1][0], imagination.predict(observation)[0])
    assert all(action in imagination.action_space for action, _ in foreseen[1:])


def test_wrong_names_and_observations():
    """One name for each observation, and one observation to imagine from."""
    planner = LatentPlanner(world(CHAIN, np.arange(9) == 4), horizon=2)
    with pytest.raises(ValueError, match="8 entries for 9 observations"):
        Imagination(planner, STATES, range(8))
    with pytest.raises(ValueError, match="9 entries for one observation"):
        Imagination(planner, STATES[0], range(9))
    with pytest.raises(ValueError, match="9 entries for 0 observations"):
        Imagination(planner, None, range(9))
    with pytest.raises(ValueError, match=r"(?s)planner=.*give LatentPlanner"):
        Imagination(planner.jepa)
    with pytest.raises(ValueError, match="batch of 9"):
        Imagination(planner).imagine(STATES)
