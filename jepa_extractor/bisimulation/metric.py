"""The bisimulation metric: how far apart the states of an MDP are; a bisimulation only says whether they differ."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from jepa_extractor.bisimulation.inputs import checked_values
from jepa_extractor.bisimulation.stochastic import class_indicator, probabilistic_bisimulation
from jepa_extractor.checks import FINITE, Number, require_positive, shown

Floats = NDArray[np.float64]

_ROUNDING = 1e-14  # rounding error of sums of probabilities


def bisimulation_metric(
    transitions: Sequence[Any] | NDArray[Any], values: ArrayLike, discount: float = 0.9, tolerance: float = 1e-6
) -> Floats:
    """Return the bisimulation metric of an MDP: how far apart two states are, in the unit of ``values``.

    The only d with ``d(i, j) = (1 - discount) |p(i) - p(j)| + discount * max_a W(P_a(i), P_a(j))``, where p are the
    values, W the least expected d between next states over all ways to couple the two distributions (Wasserstein-1),
    and || the Euclidean norm. It is 0 if and only if i and j are bisimilar, and at most the largest difference of
    values. (Ferns, Panangaden and Precup, "Metrics for finite Markov decision processes", UAI 2004, with the weights
    1 - discount and discount, and with values of states in the place of rewards of actions.)

    Bisimilar states, as ``probabilistic_bisimulation`` finds them, are merged first. Then d decreases in
    rounds (strategy improvement, Hoffman and Karp 1966): optimal transport gives the couplings that are
    best at the present d, and d is brought to the fixed point of these. That takes a handful of rounds; to repeat
    the equation takes log(tolerance) / log(discount). Where all states have a single successor under an action, the
    transport is known; for each other action a round solves up to n^2 / 2 transport problems by POT (the extra
    ``metric``): good for a few hundred states with few successors each, or a few thousand with one.

    Args:
        transitions: one matrix (n, n) for each action, SciPy sparse or dense, each row a probability distribution.
        values: finite numbers (n,), or (n, m) for m values each.
        discount: between 0 and 1: how much what comes later counts. Values that are 1 apart n steps from now, and at
            no other time, make states ``(1 - discount) * discount ** n`` apart.
        tolerance: largest error of the result, greater than 0.

    Returns:
        float64 (n, n), symmetric, with zeros exactly where states are bisimilar.

    Raises:
        ValueError: an argument is out of range, the shapes do not match, or a row is not a probability distribution.
        ImportError: POT is not installed, and chance decides where an action leads.
    """
    if isinstance(discount, bool) or not isinstance(discount, Number) or not 0 < discount < 1:
        raise ValueError(f"discount={shown(discount)} is not between 0 and 1: give a number above 0 and below 1")
    require_positive("tolerance", tolerance, FINITE)
    points = checked_values(values).astype(np.float64)
    for i in np.flatnonzero(np.isinf(points).any(axis=1))[:1]:
        raise ValueError(f"values is infinite at row {i}: give numbers, whose difference is a distance")
    classes = probabilistic_bisimulation(transitions, points)
    first = np.unique(classes, return_index=True)[1]  # a state of each class stands for all
    lumped = [
        (sparse.csr_array(matrix, dtype=np.float64)[first] @ class_indicator(classes)).toarray()
        for matrix in transitions
    ]
    distributions = [rows / rows.sum(axis=1, keepdims=True) for rows in lumped]
    # hypot: neither huge nor tiny differences are lost, as they would be when squared
    with np.errstate(over="ignore"):
        differences = np.hypot.reduce(np.abs(points[first, None] - points[None, first]), axis=2)
    if not np.isfinite(differences).all():
        raise ValueError("values differ by more than a float can hold: give smaller numbers")
    between = _metric(distributions, differences, discount, tolerance)
    return between[np.ix_(classes, classes)]


class _Transport(NamedTuple):
    """The mass that must move, from s states to t others, to turn one distribution over n states into another."""

    moves: NDArray[np.int64]  # (s, t), each as source * n + target
    leaving: Floats  # (s,), sums to 1
    arriving: Floats  # (t,), sums to 1
    mass: float


def _metric(distributions: Sequence[Floats], differences: Floats, discount: float, tolerance: float) -> Floats:
    """Return the metric (n, n) of states of which no two are bisimilar; ``differences`` (n, n) are those of values."""
    n = len(differences)
    first, second = np.triu_indices(n, 1)
    certain = [_certain_couplings(rows, first, second) for rows in distributions if _is_deterministic(rows)]
    problems = [
        [_transport(rows[i], rows[j]) for i, j in zip(first, second, strict=True)]
        for rows in distributions
        if not _is_deterministic(rows)
    ]
    enough = max(tolerance * (1 - discount), _ROUNDING * differences.max())

    def square(distances: Floats) -> Floats:
        metric = np.zeros((n, n))
        metric[first, second] = metric[second, first] = distances
        return metric

    def equation(distances: Floats, couplings: Sequence[Any]) -> Floats:
        flat = square(distances).ravel()
        later = np.max([coupling @ flat for coupling in couplings], axis=0)
        return np.asarray((1 - discount) * differences[first, second] + discount * later)

    # It starts above the fixed point, where the equation, and so each round, can only lower d. Where the equation
    # moves d by no more than ``enough``, it is within enough * discount / (1 - discount) of the fixed point (Banach).
    before = np.full(len(first), differences.max())
    while True:
        couplings = certain + [_best_couplings(moves, square(before)) for moves in problems]
        after = equation(before, couplings)
        if np.abs(before - after).max(initial=0.0) <= enough:
            return square(after)
        while np.abs(before - after).max() > enough / 2:
            before, after = after, equation(after, couplings)
        before = after


def _is_deterministic(rows: Floats) -> bool:
    return bool((rows.max(axis=1) > 1 - _ROUNDING).all())


def _certain_couplings(rows: Floats, first: NDArray[np.int64], second: NDArray[np.int64]) -> Any:
    """Return the only coupling of each of P pairs under a deterministic action, sparse (P, n * n)."""
    to = rows.argmax(axis=1)
    count = len(first)
    moves = to[first] * len(rows) + to[second]
    return sparse.csr_array((np.ones(count), moves, np.arange(count + 1)), (count, rows.size))


def _optimal_transport() -> Any:
    try:
        import ot
    except ImportError as error:
        raise ImportError('the metric needs POT: pip install "counting-jepa[metric]"') from error
    return ot


def _transport(p: Floats, q: Floats) -> _Transport:
    """Return how to turn p (n,) into q (n,). What both have stays where it is, which is best for any metric."""
    excess = p - q
    sources, targets = np.flatnonzero(excess > _ROUNDING), np.flatnonzero(excess < -_ROUNDING)
    if len(sources) == 0 or len(targets) == 0:
        return _Transport(np.empty((0, 0), np.int64), np.empty(0), np.empty(0), 0.0)
    leaving, arriving = excess[sources], -excess[targets]
    moves = sources[:, None] * len(p) + targets
    return _Transport(moves, leaving / leaving.sum(), arriving / arriving.sum(), float(leaving.sum()))


def _best_couplings(problems: Sequence[_Transport], metric: Floats) -> Any:
    """Return the best coupling of each of P problems under ``metric`` (n, n), sparse (P, n * n)."""
    costs = metric.ravel()
    masses, moved, ends = [np.empty(0)], [np.empty(0, np.int64)], [0]
    for moves, leaving, arriving, mass in problems:
        if min(moves.shape) <= 1:
            flow = np.outer(leaving, arriving)
        else:
            flow = _optimal_transport().emd(leaving, arriving, costs[moves], center_dual=False, check_marginals=False)
        used = flow > 0
        masses.append(mass * flow[used])
        moved.append(moves[used])
        ends.append(ends[-1] + len(moved[-1]))
    return sparse.csr_array((np.concatenate(masses), np.concatenate(moved), ends), (len(problems), metric.size))
