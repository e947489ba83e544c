"""The study of verdicts whose truth is known."""

import numpy as np
import pytest

from studies import verdicts
from studies.verdicts import CONFIGURATIONS, Grid, run, table


def test_verdicts_that_are_right(tmp_path):
    """With enough data, what was merged is COLLAPSED, what was not is not; the same seed gives the same."""
    name = "counting, by classes, enough"
    first, again = (run(CONFIGURATIONS[name], 0, tmp_path) for _ in "ab")
    assert first == again
    assert set(first) == set(verdicts.ENCODERS)
    assert (first["faithful"], first["merged"]) == (("KEPT", "KEPT"), ("COLLAPSED", "COLLAPSED"))
    assert first["constant"] == ("COLLAPSED", "COLLAPSED")
    trials = {"0": {"merged": ["COLLAPSED", "COLLAPSED"]}, "1": {"merged": ["INCONCLUSIVE", "COLLAPSED"]}}
    assert table({"results": {name: trials}}).endswith(f"| {name} | merged | COLLAPSED | 1 | 0 | 1 |")


@pytest.mark.parametrize(("place", "after"), [(0, [0, 1, 0, 5]), (12, [11, 13, 7, 17]), (24, [24] * 4)])
def test_the_grid(place, after):
    """A step leads to a neighbour, unless a wall is there; the goal is not left, and rewards whoever arrives."""
    successors, rewards = Grid.mdp()
    assert successors[place].tolist() == after
    assert np.flatnonzero(rewards).tolist() == [24]
