"""Probabilistic bisimulation and the bisimulation metric, against exact arithmetic and linear programming."""

import sys
import time

import numpy as np
import pytest
from scipy import sparse

from jepa_extractor.bisimulation import bisimulation_metric, largest_bisimulation, metric, probabilistic_bisimulation
from tests.bisimulation.empirical_oracles import cheapest_transport, lumped, random_mdp

SPREAD = np.array([[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5], [0, 0, 1, 0], [0, 0, 0, 1]])


def as_sparse(transitions):
    return [sparse.csr_array(np.array(rows, float)) for rows in transitions]


def deterministic(successors):
    n = len(successors)
    return [sparse.csr_array((np.ones(n), (np.arange(n), taken)), shape=(n, n)) for taken in successors.T]


def random_deterministic(rng):
    n, k = rng.integers(1, 20), rng.integers(1, 4)
    return rng.integers(0, n, (n, k)), rng.integers(0, 2, n)


@pytest.mark.parametrize("copies", [1, 3])
def test_lumps_as_exact_arithmetic_does(copies):
    """The largest probabilistic bisimulation: on random MDPs, with and without states planted to be bisimilar."""
    rng = np.random.default_rng(copies)
    for _ in range(150):
        transitions, values = random_mdp(rng, copies=copies)
        expected = lumped(transitions, values)
        assert probabilistic_bisimulation(as_sparse(transitions), values).tolist() == expected


def test_lumps_deterministic_mdps_as_the_largest_bisimulation():
    """A deterministic MDP is a stochastic one; the classes and their numbers are the same."""
    rng = np.random.default_rng(0)
    for _ in range(100):
        successors, values = random_deterministic(rng)
        classes = probabilistic_bisimulation(deterministic(successors), values)
        assert np.array_equal(classes, largest_bisimulation(successors, values))


def test_takes_sparse_and_dense_matrices_and_rows_of_values():
    """``transitions``: one matrix for each action, SciPy sparse or dense; values (n,) or (n, m)."""
    transitions, values = random_mdp(np.random.default_rng(5), copies=3)
    dense = np.array(transitions, float)
    expected = lumped(transitions, values)
    for given in (
        dense,
        list(dense),
        [sparse.coo_matrix(rows) for rows in dense],
        [sparse.csc_array(r) for r in dense],
    ):
        assert probabilistic_bisimulation(given, values).tolist() == expected
    assert probabilistic_bisimulation(dense, np.stack([values, values], axis=1)).tolist() == expected
    assert (
        probabilistic_bisimulation(dense, np.stack([values, np.arange(len(values))], axis=1)).max() == len(values) - 1
    )


def test_sums_are_compared_within_the_tolerance():
    """Total probabilities are the same if no gap between them exceeds the tolerance: rounding never splits a class."""
    # states 2, 3 and 4 are alike; 0 and 1 reach them with 0.1 + 0.2 and with 0.3, which differ as floats
    rows = np.eye(6)
    rows[0] = [0, 0, 0.1, 0.2, 0, 0.7]
    rows[1] = [0, 0, 0, 0, 0.3, 0.7]
    values = [0, 0, 1, 1, 1, 2]
    assert 0.1 + 0.2 != 0.3
    assert probabilistic_bisimulation([rows], values).tolist() == [0, 0, 1, 1, 1, 2]
    rows[1] = [0, 0, 0, 0, 0.3 + 1e-7, 0.7 - 1e-7]
    assert probabilistic_bisimulation([rows], values).tolist() == [0, 1, 2, 2, 2, 3]
    assert probabilistic_bisimulation([rows], values, probability_tolerance=1e-6).tolist() == [0, 0, 1, 1, 1, 2]
    for little in (1e-12, 1 - 1e-12):  # hardly differs from a probability of 0, and from one of 1
        rows[0] = [0, 0, 0, 0, round(little), 1 - round(little)]
        rows[1] = [0, 0, 0, 0, little, 1 - little]
        assert probabilistic_bisimulation([rows], values).tolist() == [0, 0, 1, 1, 1, 2]


def test_values_are_compared_within_their_tolerance():
    """``tolerance``: values no further apart are the same."""
    assert probabilistic_bisimulation([np.eye(3)], [0.0, 1e-3, 1.0]).tolist() == [0, 1, 2]
    assert probabilistic_bisimulation([np.eye(3)], [0.0, 1e-3, 1.0], tolerance=1e-2).tolist() == [0, 0, 1]


@pytest.mark.parametrize("discount", [0.5, 0.95])
def test_metric_satisfies_its_equation(discount):
    """The only d that does: checked by linear programming, over all couplings and without lumping."""
    rng = np.random.default_rng(1)
    mdps = (random_mdp(rng, most_states=5, copies=2) for _ in range(100))
    for transitions, values in [(t, v) for t, v in mdps if max(lumped(t, v)) >= 4][:5]:
        rows = np.array(transitions, float)
        metric = bisimulation_metric(as_sparse(transitions), values, discount, tolerance=1e-9)
        for i in range(len(values)):
            for j in range(i):
                moved = max(cheapest_transport(p[i], p[j], metric) for p in rows)
                expected = (1 - discount) * abs(values[i] - values[j]) + discount * moved
                assert metric[i, j] == pytest.approx(expected, abs=1e-7)


def test_metric_is_zero_exactly_between_bisimilar_states():
    """Zero distance if and only if bisimilar."""
    rng = np.random.default_rng(2)
    for _ in range(40):
        transitions, values = random_mdp(rng, copies=3)
        classes = np.array(lumped(transitions, values))
        metric = bisimulation_metric(as_sparse(transitions), values)
        assert np.array_equal(metric == 0, classes[:, None] == classes[None])


def test_metric_is_a_metric_and_within_the_values():
    """Symmetric, the triangle inequality, at most the largest difference of values; scales with the values."""
    rng = np.random.default_rng(3)
    transitions, values = random_mdp(rng, most_states=12)
    while len(values) < 8:
        transitions, values = random_mdp(rng, most_states=12)
    transitions, values = as_sparse(transitions), values + rng.random(len(values))
    metric = bisimulation_metric(transitions, values, tolerance=1e-9)
    assert np.array_equal(metric, metric.T)
    assert (metric[:, None] <= metric[:, :, None].transpose(0, 2, 1) + metric[None].transpose(0, 2, 1) + 1e-8).all()
    assert metric.max() <= np.ptp(values)
    assert np.allclose(bisimulation_metric(transitions, 3 * values, tolerance=1e-9), 3 * metric, atol=1e-7)


@pytest.mark.parametrize("discount", [0.3, 0.9, 0.999])
def test_metric_of_chains_is_the_discount_to_the_length_of_the_witness(discount):
    """States that n steps lead to 1 for ever, and one that stays at 0: discount ** n apart, by hand."""
    successors = np.array([[0], [1], [1], [2], [3]])
    metric = bisimulation_metric(deterministic(successors), [0, 1, 0, 0, 0], discount, tolerance=1e-12)
    expected = [0, 1, discount, discount**2, discount**3]
    assert metric[0] == pytest.approx(expected, abs=1e-10)
    # from 3 and 2 one step leads to 2 and 1, which differ now and never again
    assert metric[2, 3] == pytest.approx(discount * (1 - discount), abs=1e-10)


def test_metric_of_random_outcomes_by_hand():
    """Coins of bias q and r between ends 1 apart: discount * |q - r|. Leaving for 1 with chance s a step: a series."""
    q, r, s, discount = 0.9, 0.25, 0.125, 0.8
    rows = np.eye(5)
    rows[2:] = [[1 - q, q, 0, 0, 0], [1 - r, r, 0, 0, 0], [0, s, 0, 0, 1 - s]]
    metric = bisimulation_metric([rows], [0, 1, 0, 0, 0], discount, tolerance=1e-12)
    assert metric[2, 3] == pytest.approx(discount * (q - r), abs=1e-11)
    assert metric[0, 4] == pytest.approx(discount * s / (1 - discount * (1 - s)), abs=1e-11)


def test_metric_moves_mass_the_cheapest_way():
    """Four ends in a line, 1 apart; from a coin between the outer two to one between the inner two: each moves by 1."""
    rows = np.eye(6)
    rows[4:] = [[0.5, 0, 0, 0.5, 0, 0], [0, 0.5, 0.5, 0, 0, 0]]
    metric = bisimulation_metric([rows], [0, 1, 2, 3, 0, 0], discount=0.5, tolerance=1e-12)
    assert metric[0, :4] == pytest.approx([0, 1, 2, 3], abs=1e-11)
    assert metric[4, 5] == pytest.approx(0.5 * 1, abs=1e-11)


def test_metric_takes_the_worst_action_and_the_norm_of_values():
    """``max_a``; and || is the Euclidean norm."""
    stay, leave = np.eye(3), np.array([[0, 0, 1], [0, 1, 0], [0, 0, 1]])
    metric = bisimulation_metric([stay, leave], [[0, 0], [0, 0], [3, 4]], discount=0.5, tolerance=1e-12)
    assert metric[0, 2] == pytest.approx(0.5 * 5 + 0.5 * metric[0, 2])
    assert metric[0, 1] == pytest.approx(0.5 * 5)


def test_metric_error_is_within_the_tolerance():
    """``tolerance``: largest error of the result."""
    leaving, discount = 0.01, 0.99  # where the equation, repeated, comes near its fixed point slowly
    rows = np.eye(3)
    rows[2] = [0, leaving, 1 - leaving]
    exact = discount * leaving / (1 - discount * (1 - leaving))
    for tolerance in (1e-1, 1e-3, 1e-6):
        metric = bisimulation_metric([rows], [0, 1, 0], discount, tolerance)
        assert abs(metric[0, 2] - exact) <= tolerance


HALF = [[0.5, 0.5], [0.5, 0.5]]


@pytest.mark.parametrize("function", [probabilistic_bisimulation, bisimulation_metric])
@pytest.mark.parametrize(
    ("transitions", "values", "message"),
    [
        ([HALF, [[0.5, 0.4], [0, 1]]], [0, 1], r"row 0 of transitions\[1\] sums to 0.9, not to 1"),
        ([[[1, 0], [1.5, -0.5]]], [0, 1], r"transitions\[0\] holds -0.5 in row 1"),
        ([[[1, 0], [np.nan, 1]]], [0, 1], r"transitions\[0\] holds nan in row 1"),
        ([[[1, 0], [np.inf, 1]]], [0, 1], r"row 1 of transitions\[0\] sums to inf"),
        ([HALF, np.eye(3)], [0, 1], r"transitions\[1\] has shape \(3, 3\) for 2 values"),
        ([np.ones((2, 1))], [0, 1], r"transitions\[0\] has shape \(2, 1\)"),
        (sparse.csr_array(HALF), [0, 1], r"transitions is a csr_array: give a list with one matrix \(2, 2\)"),
        (None, [0, 1], "transitions is a NoneType: give a list with one matrix"),
        ({0: {0: [(1.0, 1, 0.0, False)]}}, [0, 1], "transitions is a dict: give a list with one matrix"),
        ([None, HALF], [0, 1], r"transitions\[0\] is not a matrix of numbers"),
        ([[[1, 0], [1]]], [0, 1], r"transitions\[0\] is not a matrix of numbers"),
        ([[1, 0], [0, 1]], [0, 1], r"transitions\[0\] has shape .* a table of successors is for largest_bisimulation"),
        ([], [0, 1], "transitions is empty"),
        ([HALF], [0, np.nan], "values"),
        ([np.ones((0, 0))], [], "values"),
    ],
)
def test_bad_input_is_named(function, transitions, values, message):
    """NaN values, shapes that do not match, empty input: an error that names the argument."""
    with pytest.raises(ValueError, match=message):
        function(transitions, values)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"discount": 1.0}, "discount=1.0 is not between 0 and 1: give"),
        ({"discount": 0.0}, "discount=0.0"),
        ({"discount": None}, "discount=None is not between 0 and 1"),
        ({"discount": "0.9"}, "discount='0.9'"),
        ({"discount": True}, "discount=True"),
        ({"tolerance": 0.0}, "tolerance=0.0"),
        ({"tolerance": None}, "tolerance=None"),
    ],
)
def test_bad_options_of_the_metric_are_named(options, message):
    """An error that names the argument."""
    with pytest.raises(ValueError, match=message):
        bisimulation_metric([HALF], [0, 1], **options)


def test_metric_refuses_infinite_values():
    """There is no distance between them; an error that names the argument."""
    with pytest.raises(ValueError, match="values is infinite at row 1"):
        bisimulation_metric([HALF], [0, np.inf])


def test_metric_without_pot_says_what_to_install(monkeypatch):
    """The error names the extra."""
    monkeypatch.setitem(sys.modules, "ot", None)
    with pytest.raises(ImportError, match=r'pip install "counting-jepa\[metric\]"'):
        bisimulation_metric([SPREAD], [0, 1, 2, 3])


def test_metric_without_pot_where_nothing_is_random(monkeypatch):
    """Where each action leads to one state there is nothing to transport: the audit needs no extra."""
    monkeypatch.setitem(sys.modules, "ot", None)
    assert bisimulation_metric([np.eye(2)], [0, 1])[0, 1] == pytest.approx(1)


def test_metric_of_deterministic_actions_equals_the_transport_of_certain_outcomes(monkeypatch):
    """A deterministic action alone, or beside random ones, gives what solving its transport problems gives."""
    rng = np.random.default_rng(4)
    cases = []
    for _ in range(15):
        successors, values = random_deterministic(rng)
        chance = rng.dirichlet(np.full(len(values), 0.5), len(values))
        cases += [(deterministic(successors), values), ([*deterministic(successors), chance], values)]
    fast = [bisimulation_metric(*case, tolerance=1e-10) for case in cases]
    monkeypatch.setattr(metric, "_is_deterministic", lambda rows: False)
    for case, found in zip(cases, fast, strict=True):
        assert found == pytest.approx(bisimulation_metric(*case, tolerance=1e-10), abs=1e-9)


@pytest.mark.slow
def test_metric_of_500_deterministic_states_within_5_seconds(monkeypatch):
    """As many states as Taxi, moves on a grid that can be refused, and no POT: exact by its equation."""
    monkeypatch.setitem(sys.modules, "ot", None)
    rng = np.random.default_rng(5)
    states = np.arange(500)
    moves = [np.clip(states + step, 0, 499) for step in (1, -1, 20, -20)]
    successors = np.stack([np.where(rng.random(500) < 0.2, states, to) for to in [*moves, states, states]], axis=1)
    successors[rng.integers(0, 500, 40), 4] = rng.integers(0, 500, 40)
    values = np.where(rng.random((500, 6)) < 0.02, 20.0, -1.0)
    start = time.process_time()
    found = bisimulation_metric(deterministic(successors), values)
    assert time.process_time() - start < 5
    differences = np.linalg.norm(values[:, None] - values[None], axis=2)
    following = np.max([found[np.ix_(to, to)] for to in successors.T], axis=0)
    assert found == pytest.approx(0.1 * differences + 0.9 * following, abs=1e-6)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_metric_of_huge_and_tiny_values(scale):
    """Distances are in the unit of values, however large or small that is."""
    metric = bisimulation_metric([np.eye(2)], [0, scale], tolerance=1e-6 * scale)
    assert metric[0, 1] / scale == pytest.approx(1)
    with pytest.raises(ValueError, match="differ by more than a float can hold"):
        bisimulation_metric([np.eye(2)], [-1e308, 1e308])


def test_bad_probability_tolerance_is_named():
    """An error that names the argument."""
    with pytest.raises(ValueError, match="probability_tolerance=-1"):
        probabilistic_bisimulation([HALF], [0, 1], probability_tolerance=-1)
