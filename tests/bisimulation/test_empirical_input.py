"""What empirical bisimulations refuse, and how they say it."""

import numpy as np
import pytest

from jepa_extractor.bisimulation import EmpiricalBisimulation


def test_too_many_observations_for_data_not_in_episodes():
    """Above 5,000: an error that names the limit, the observation and the mend."""
    successors = np.full((5_001, 2), -1)
    successors[7] = 0
    with pytest.raises(ValueError, match=r"5,001 rows, .* up to 5,000 observations\. Row 7 has 2 .* keep one"):
        EmpiricalBisimulation(successors, np.zeros(5_001))
    assert EmpiricalBisimulation(successors[:5_000], np.zeros(5_000)).count_pairs() == 0
    successors[7, 1] = -1
    values = np.append(np.nan, np.zeros(5_000))
    with pytest.raises(ValueError, match=r"Row 7 leads to an observation of unknown value: give its value, or set"):
        EmpiricalBisimulation(successors, values)
    assert EmpiricalBisimulation(successors[:5_000], values[:5_000]).count_pairs() == 0


@pytest.mark.parametrize(
    ("successors", "values", "message"),
    [
        ([[2], [0]], [0, 1], r"successors\[0, 0\]=2 is out of range"),
        ([[-2], [0]], [0, 1], r"successors\[0, 0\]=-2 is out of range"),
        ([[0.0], [0.0]], [0, 1], "successors has dtype float64"),
        ([0, 1], [0, 1], r"successors has shape \(2,\)"),
        (np.zeros((0, 2), int), [], "successors is empty"),
        (np.zeros((2, 0), int), [0, 1], "successors is empty"),
        ([[[0.5, 0.5]]], [0, 1], r"shape \(1, 1, 2\): .* there are probabilistic_bisimulation and bisimulation_metric"),
        (None, [0, 1], r"successors has shape \(\)"),
        ([[0], [1]], None, r"values has shape \(\)"),
        ([[0], [1]], [0, None], "values has dtype object"),
        ([[0], [1]], [0, 1, 2], "values has length 3 and successors 2"),
    ],
)
def test_bad_input_is_named(successors, values, message):
    """Out of range, shapes and types that do not match, empty input: an error that names the argument."""
    with pytest.raises(ValueError, match=message):
        EmpiricalBisimulation(successors, values)


@pytest.mark.parametrize("index", [-1, 2, 0.5, True])
def test_bad_indices_are_named(index):
    """Not an observation: an error that names the argument."""
    relation = EmpiricalBisimulation([[0], [1]], [0, 1])
    with pytest.raises(ValueError, match="i="):
        relation.distinguishable(index, 0)
    with pytest.raises(ValueError, match="j="):
        relation.witness(0, index)
