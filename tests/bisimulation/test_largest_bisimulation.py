"""The exact largest bisimulation against the definition, its quotient, its witnesses, and what is refused."""

import itertools

import numpy as np
import pytest

from jepa_extractor.bisimulation import distinguishing_actions, largest_bisimulation, quotient_mdp
from jepa_extractor.bisimulation.inputs import checked_successors, group_values
from jepa_extractor.bisimulation.refinement import bucket, invert, number_by_first_appearance, refine
from tests.bisimulation.oracles import (
    by_first_appearance,
    pairwise_classes,
    random_mdp,
    signature_refinement,
    witness_lengths,
)

CHAIN = np.array([[0, 1], [0, 2], [1, 3], [2, 3]])
END = np.array([0.0, 0.0, 0.0, 1.0])


@pytest.mark.parametrize("number", [2_000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_right_on_random_mdps(number):
    """The classes of random MDPs of up to 60 states and 1 to 4 actions are those of the definition."""
    rng = np.random.default_rng(0)
    shapes, fewest, most = set(), 0, 0
    for _ in range(number):
        successors, values = random_mdp(rng)
        expected = pairwise_classes(successors, values)
        assert np.array_equal(largest_bisimulation(successors, values), expected), (successors, values)
        shapes.add(successors.shape)
        fewest += expected.max() == 0
        most += expected.max() == len(expected) - 1
    assert {1, 60} <= {n for n, _ in shapes}
    assert {k for _, k in shapes} == {1, 2, 3, 4}
    assert fewest > number / 10  # one class, and as many classes as states, are both common
    assert most > number / 10


def test_right_on_long_chains():
    """Chains of 2,000 states, all distinct, in any order; and a circle whose values repeat."""
    n = 2_000
    order = np.random.default_rng(0).permutation(n)
    there = np.empty(n, int)
    there[order] = order[np.minimum(np.arange(n) + 1, n - 1)]
    end = np.arange(n) == order[-1]
    assert np.array_equal(largest_bisimulation(there[:, None], end), np.arange(n))
    assert len(distinguishing_actions(there[:, None], end, order[0], order[1])) == n - 2
    circle = (np.arange(n)[:, None] + 1) % n
    assert np.array_equal(largest_bisimulation(circle, np.arange(n) % 40 == 0), np.arange(n) % 40)


def test_hopcroft_and_signature_refinement_agree_with_the_definition():
    """Hopcroft's algorithm alone, and the signature refinement of the tests, give the classes of the definition."""
    rng = np.random.default_rng(1)
    for _ in range(400):
        successors, values = random_mdp(rng)
        expected = pairwise_classes(successors, values)
        assert np.array_equal(signature_refinement(successors, values), expected)
        labels, count = group_values(values)
        blocks = refine(labels, count, *invert(checked_successors(successors)))
        assert np.array_equal(number_by_first_appearance(blocks), expected)


def test_partition_kernels_by_hand():
    """``bucket`` leaves out negative labels, and ``invert`` the states that lead nowhere."""
    offsets, order = bucket(np.array([2, -1, 0, 2], np.int32), 3)
    assert offsets.tolist() == [0, 1, 1, 3]
    assert order.tolist() == [2, 0, 3]
    offsets, sources = invert(np.array([[1, -1], [1, 0]], np.int32))
    assert offsets.tolist() == [[0, 0, 2], [0, 1, 1]]
    assert sources[0].tolist() == [0, 1]
    assert sources[1, 0] == 1


def test_numbered_by_first_appearance():
    """Classes are int64, numbered by first appearance."""
    classes = largest_bisimulation([[0], [1], [2], [3], [4]], [7, -5, 7, 9, -5])
    assert classes.tolist() == [0, 1, 0, 2, 1]
    assert classes.dtype == np.int64


@pytest.mark.parametrize(
    "values",
    [
        [0.5, 0.5, -1.5, 0.5],
        np.array([3, 3, 2, 3], np.uint8),
        [True, True, False, True],
        [2**53, 2**53, 2**53 + 1, 2**53],  # equal as float64
        np.array([2**64 - 1, 2**64 - 1, 0, 2**64 - 1], np.uint64),
        [np.inf, np.inf, -np.inf, np.inf],
        [0.0, -0.0, 5e-324, 0.0],
        np.array([0.1, 0.1, 0.2, 0.1], np.float32),
        [[0, 1], [0, 1], [1, 1], [0, 1]],
        [[0.5], [0.5], [0.25], [0.5]],
    ],
)
def test_values_of_every_kind(values):
    """Values may be floats, integers, booleans, or rows of several values; they are compared without rounding."""
    stay = np.arange(4)[:, None]
    assert largest_bisimulation(stay, values).tolist() == [0, 0, 1, 0]


def test_rows_differ_where_any_column_does():
    """All sixteen rows of four bits are apart, whatever their order."""
    rows = np.random.default_rng(0).permutation(list(itertools.product([0, 1], repeat=4)) * 3)
    labels, count = group_values(rows)
    assert count == 16
    assert labels.dtype == np.int32
    assert np.array_equal(labels, by_first_appearance(rows @ [8, 4, 2, 1]))


def test_many_different_values():
    """3,000 different floats, each twice: alone, in rows, and joined in groups by a tolerance."""
    rng = np.random.default_rng(0)
    distinct = np.repeat(rng.permutation(3_000), 2)
    order = rng.permutation(6_000)
    values = (distinct * 0.25)[order]
    expected = by_first_appearance(values)
    for given in (values, np.column_stack([values, -values]), np.column_stack([values // 1, values % 1])):
        assert np.array_equal(group_values(given)[0], expected)
        assert group_values(given)[1] == 3_000
    gaps = values + 10 * (values // 25)  # a gap of more than 10 after every 25
    labels, count = group_values(gaps, tolerance=10)
    assert count == 30
    assert np.array_equal(labels, by_first_appearance(values // 25))


@pytest.mark.parametrize(
    ("values", "tolerance", "expected"),
    [
        ([0.0, 0.5, 1.0, 1.75], 0.5, [0, 0, 0, 1]),  # 0 and 1 are joined through 0.5; 1.75 is further than that
        ([0.0, 0.5, 1.0, 1.75], 0.49, [0, 1, 2, 3]),
        ([3, 0, 1, 5], 1, [0, 1, 1, 2]),
        ([-(2**63), 2**63 - 1, -(2**63) + 1, 0], 1, [0, 1, 0, 2]),  # gaps beyond int64
        ([2**53, 2**53 + 1, 2**53 + 3, 0], 1.5, [0, 0, 1, 2]),  # gaps that floats do not tell apart
        ([-1.7e308, 1.7e308, 1.7e308, -1.7e308], 1.0, [0, 1, 1, 0]),  # a gap beyond float64
        ([np.inf, np.inf, 1e300, -np.inf], 1e300, [0, 0, 1, 2]),
        ([False, True, True, False], 1, [0, 0, 0, 0]),
        ([[0.0, 0.0], [0.1, 0.0], [0.1, 5.0], [0.2, 5.1]], 0.15, [0, 0, 1, 1]),  # each column by itself
    ],
)
def test_tolerance(values, tolerance, expected):
    """Sorted values are cut where the gap between neighbours exceeds the tolerance."""
    assert group_values(values, tolerance)[0].tolist() == expected
    assert largest_bisimulation(np.arange(4)[:, None], values, tolerance).tolist() == expected


def test_tolerance_is_passed_on_everywhere():
    """A value off by rounding splits without a tolerance and does not with one, in all three functions."""
    values = [0.0, 1e-12, 0.0, 1.0]
    assert distinguishing_actions(CHAIN, values, 0, 1) == []
    assert distinguishing_actions(CHAIN, values, 0, 1, tolerance=1e-9) == [1, 1]
    circle, rounded = [[1], [0]], [0.1 + 0.2, 0.3]
    assert largest_bisimulation(circle, rounded).tolist() == [0, 1]
    assert largest_bisimulation(circle, rounded, tolerance=1e-9).tolist() == [0, 0]
    _, kept = quotient_mdp(circle, rounded, [0, 0], tolerance=1e-9)
    assert kept.tolist() == [0.1 + 0.2]  # that of the first state
    with pytest.raises(ValueError, match="states 0 and 1, whose values differ"):
        quotient_mdp(circle, rounded, [0, 0])


def test_arguments_are_left_alone():
    """Any layout and integer type gives the same, read-only or not, and nothing is written to."""
    for given in (CHAIN.astype(np.int32), CHAIN.astype(np.uint8), np.asfortranarray(CHAIN), CHAIN.tolist()):
        before = np.array(given)
        if isinstance(given, np.ndarray):
            given.flags.writeable = False
        assert largest_bisimulation(given, END).tolist() == [0, 1, 2, 3]
        assert distinguishing_actions(given, END, 0, 1) == [1, 1]
        assert np.array_equal(given, before)


def test_quotient_is_the_smallest_model():
    """The quotient has the same values along every path, and no two of its states are bisimilar."""
    rng = np.random.default_rng(2)
    for _ in range(300):
        successors, values = random_mdp(rng)
        classes = largest_bisimulation(successors, values)
        small_successors, small_values = quotient_mdp(successors, values, classes)
        assert small_successors.shape == (classes.max() + 1, successors.shape[1])
        assert np.array_equal(small_values[classes], values)
        assert np.array_equal(small_successors[classes], classes[successors])
        again = largest_bisimulation(small_successors, small_values)
        assert np.array_equal(again, np.arange(len(again)))
        for same, first in zip(
            quotient_mdp(small_successors, small_values, again), (small_successors, small_values), strict=True
        ):
            assert np.array_equal(same, first)


def test_quotient_by_a_finer_bisimulation():
    """Every state a class of its own is a bisimulation too; rows of values and their type are kept, names free."""
    values = np.array([[1, 2], [1, 2], [3, 4]], np.int16)
    successors = np.array([[1], [0], [2]])
    names = np.array([2, 0, 1])
    small_successors, small_values = quotient_mdp(successors, values, names)
    assert small_successors.tolist() == [[2], [1], [0]]
    assert small_values.tolist() == [[1, 2], [3, 4], [1, 2]]
    assert small_values.dtype == np.int16


@pytest.mark.parametrize(
    ("classes", "parts"),
    [
        ([0, 0, 1, 2], ["class 0", "states 0 and 1", "action 1", "classes 0 and 1"]),
        ([0, 1, 2, 2], ["class 2", "states 2 and 3", "values differ"]),
        ([0, 1, 3, 4], ["classes[3]=4", "at most 4"]),
        ([0, -1, 1, 2], ["classes[1]=-1"]),
        ([0, 1, 1, 3], ["never uses 2"]),
        ([0, 1, 2], ["shape (3,)", "4 states"]),
        (None, ["shape ()", "4 states"]),
        ([0.0, 1.0, 2.0, 3.0], ["float64", "integer"]),
    ],
)
def test_what_is_no_bisimulation_is_refused(classes, parts):
    """A quotient by anything else would be a wrong model: the error names the class and two of its states."""
    with pytest.raises(ValueError, match=r"^classes") as error:
        quotient_mdp(CHAIN, END, classes)
    for part in parts:
        assert part in str(error.value)


def test_witnesses_are_valid_and_shortest():
    """For every pair of states, a shortest sequence of actions that tells them apart, or ``None``."""
    rng = np.random.default_rng(3)
    longest = 0
    for _ in range(150):
        successors, values = random_mdp(rng, most_states=14)
        lengths = witness_lengths(successors, values)
        for i, j in itertools.product(range(len(values)), repeat=2):
            actions = distinguishing_actions(successors, values, i, j)
            if lengths[i, j] < 0:
                assert actions is None
                continue
            assert len(actions) == lengths[i, j]
            for a in actions:
                i, j = successors[i, a], successors[j, a]  # noqa: PLW2901
            assert values[i] != values[j]
        longest = max(longest, lengths.max())
    assert longest > 9


def test_witnesses_of_the_chain():
    """Read off by hand: two steps up tell 0 from 1; the ends differ at once; nothing differs from itself."""
    assert distinguishing_actions(CHAIN, END, 0, 1) == [1, 1]
    assert distinguishing_actions(CHAIN, END, np.int64(3), 0) == []
    assert distinguishing_actions(CHAIN, END, 2, 2) is None
    assert all(type(a) is int for a in distinguishing_actions(CHAIN, END, 0, 1))


def test_gaps_between_any_two_integers_are_exact():
    """Also where the difference is more than an int64 holds."""
    for low, high in ((-(2**63), 2**63 - 1), (-1, 2**63 - 1)):
        labels, count = group_values(np.array([low, high, low]), tolerance=1.0)
        assert labels.tolist() == [0, 1, 0]
        assert count == 2
