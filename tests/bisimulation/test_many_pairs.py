"""Many pairs of observations at once."""

import numpy as np
import pytest

from jepa_extractor.bisimulation import EmpiricalBisimulation
from tests.bisimulation.empirical_oracles import random_data


@pytest.mark.parametrize("unknown", ["none", "first", "any"])
@pytest.mark.parametrize("single", [True, False])
def test_many_pairs_are_as_one_by_one(single, unknown):
    """``distinguishable_pairs`` says of each pair what ``distinguishable`` does, for data in episodes and for other."""
    rng = np.random.default_rng(0)
    for _ in range(150):
        successors, values = random_data(rng, single, unknown)
        relation = EmpiricalBisimulation(successors, values)
        n = len(successors)
        pairs = np.argwhere(np.ones((n, n), bool))
        assert list(relation.distinguishable_pairs(pairs)) == [relation.distinguishable(i, j) for i, j in pairs]


def test_words_that_never_end():
    """Of two circles with the same values no pair is distinguishable, and the question ends."""
    successors = np.array([[1], [2], [0], [4], [3], [3]])
    same = EmpiricalBisimulation(successors, np.zeros(6))
    pairs = np.argwhere(np.ones((6, 6), bool))
    assert not same.distinguishable_pairs(pairs).any()
    relation = EmpiricalBisimulation(successors, [0, 0, 1, 0, 1, 0])
    assert list(relation.distinguishable_pairs(pairs)) == [relation.distinguishable(i, j) for i, j in pairs]


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([0, 1], r"pairs has shape \(2,\)"),
        ([[0, 1, 2]], r"pairs has shape \(1, 3\)"),
        ([[0.0, 1.0]], "dtype float64: give integers"),
        ([[0, 3]], "pairs reaches from 0 to 3: give observations, in 0..2"),
        ([[-1, 0]], "pairs reaches from -1 to 0"),
    ],
)
def test_bad_pairs(pairs, message):
    """Errors name the shape, the type or the range."""
    with pytest.raises(ValueError, match=message):
        EmpiricalBisimulation([[1], [2], [-1]], [0, 0, 1]).distinguishable_pairs(pairs)
