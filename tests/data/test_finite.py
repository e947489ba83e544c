"""Numbers that are not finite never get into a ring."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from jepa_extractor import TransitionRing
from jepa_extractor.data import Step

ACTION = spaces.Discrete(2)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("begin", "observations of environment 1 hold nan at step 0"),
        ("arrived", "observations of environment 1 hold nan at step 2"),
        ("restarted", "observations of environment 1 hold nan at step 2"),
        ("rewards", "rewards of environment 1 hold nan at step 2"),
    ],
)
def test_numbers_that_are_not_finite(place, message):
    """What would make every loss NaN is named where it comes from, and nothing of that step is stored."""
    ring = TransitionRing(spaces.Box(-1, 1, (2,), np.float32), ACTION, 2, 50, seed=0)
    good, bad = np.zeros((2, 2), np.float32), np.array([[0, 0], [0, np.nan]], np.float32)
    never, second = np.zeros(2, np.bool_), np.array([False, True])
    values = {"rewards": np.zeros(2), "terminated": never, "ended": never, "arrived": good, "restarted": good}
    ring.begin(good)
    ring.add(Step(np.zeros(2, int), **values))
    broken = {"rewards": np.array([0, np.nan]), "arrived": bad, "restarted": bad}
    values |= {place: broken.get(place), "ended": second if place == "restarted" else never}
    values.pop("begin", None)
    other = TransitionRing(spaces.Box(-1, 1, (2,), np.float32), ACTION, 2, 50, seed=0)
    with pytest.raises(ValueError, match=message):
        other.begin(bad) if place == "begin" else ring.add(Step(np.zeros(2, int), **values))
    assert len(ring) == 2
    assert torch.isfinite(ring.newest(9).observations).all()
