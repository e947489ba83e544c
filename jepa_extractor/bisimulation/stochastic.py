"""What must stay apart where outcomes are random: the largest probabilistic bisimulation, and a metric that grades it.

States are bisimilar or not; a little noise in the probabilities makes all of them not. The metric says how much.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from jepa_extractor.bisimulation.deterministic import checked_values, group_values
from jepa_extractor.bisimulation.partition import number_by_first_appearance
from jepa_extractor.checks import require_positive, require_weight

Floats = NDArray[np.float64]

_ROUNDING = 1e-14  # what sums of probabilities are off by


def probabilistic_bisimulation(
    transitions: Sequence[Any], values: ArrayLike, tolerance: float = 0.0, probability_tolerance: float = 1e-9
) -> NDArray[np.int64]:
    """Return the classes of the largest probabilistic bisimulation of an MDP.

    It is the coarsest partition such that states of one class have the same value and, under each action, the same
    total probability of going to each class (Larsen and Skou, "Bisimulation through probabilistic testing", 1991;
    for MDPs Givan, Dean and Greig 2003). Found by splitting classes until nothing splits. A round costs about as much
    as to read the matrices; few are needed as a rule, but n of them where the states form one long chain.

    Args:
        transitions: one matrix (n, n) for each action, SciPy sparse or dense: row i holds the probabilities of going
            from state i to each state.
        values: (n,), or (n, m) for m values each.
        tolerance: values no further apart than this are the same; see ``group_values``.
        probability_tolerance: sums of floats are seldom exact, so total probabilities of going to a class are
            compared thus: those of the states of one class are sorted, with 0 in front, and cut wherever the gap
            between neighbours is larger than this; those between two cuts are the same. Rows must sum to 1 within it.

    Returns:
        The class of each state, (n,), numbered by first appearance.

    Raises:
        ValueError: an argument is out of range, the shapes do not match, or a row is not a probability distribution.
    """
    require_weight("probability_tolerance", probability_tolerance)
    labels, count = group_values(values, tolerance)
    matrices = _checked_transitions(transitions, len(labels), probability_tolerance)
    return number_by_first_appearance(_lump(matrices, labels.astype(np.int64), count, probability_tolerance))


def bisimulation_metric(
    transitions: Sequence[Any], values: ArrayLike, discount: float = 0.9, tolerance: float = 1e-6
) -> Floats:
    """Return the bisimulation metric of an MDP: how far apart two states are, in the unit of ``values``.

    The only d with ``d(i, j) = (1 - discount) |p(i) - p(j)| + discount * max_a W(P_a(i), P_a(j))``, where p are the
    values, W the least expected d between next states over all ways to couple the two distributions (Wasserstein-1),
    and || the Euclidean norm. It is 0 if and only if i and j are bisimilar, and at most the largest difference of
    values. (Ferns, Panangaden and Precup, "Metrics for finite Markov decision processes", UAI 2004, with the weights
    1 - discount and discount, and with values of states in the place of rewards of actions.)

    Bisimilar states, as ``probabilistic_bisimulation`` finds them, are one from the start. Then d comes down from
    above in rounds (strategy improvement, Hoffman and Karp 1966): optimal transport gives the couplings that are
    best at the present d, and d is brought to the fixed point of these. That takes a handful of rounds; to repeat
    the equation takes log(tolerance) / log(discount). A round solves up to k n^2 / 2 transport problems by POT (the
    extra ``metric``): good for a few hundred states with few successors each.

    Args:
        transitions: one matrix (n, n) for each action, SciPy sparse or dense, each row a probability distribution.
        values: (n,), or (n, m) for m values each.
        discount: between 0 and 1: how much what comes later counts. Values that are 1 apart n steps from now, and at
            no other time, make states ``(1 - discount) * discount ** n`` apart.
        tolerance: largest error of the result, greater than 0.

    Returns:
        (n, n), symmetric, with zeros exactly where states are bisimilar.

    Raises:
        ValueError: an argument is out of range, the shapes do not match, or a row is not a probability distribution.
        ImportError: POT is not installed, and chance decides where an action leads.
    """
    if not 0 < discount < 1:
        raise ValueError(f"discount={discount!r} is not between 0 and 1")
    require_positive("tolerance", tolerance)
    points = checked_values(values).astype(np.float64)
    for i in np.flatnonzero(np.isinf(points).any(axis=1))[:1]:
        raise ValueError(f"values is infinite at row {i}: give numbers, whose difference is a distance")
    classes = probabilistic_bisimulation(transitions, points)
    first = np.unique(classes, return_index=True)[1]  # a state of each class stands for all
    lumped = [(sparse.csr_array(matrix)[first] @ _indicator(classes)).toarray() for matrix in transitions]
    distributions = [rows / rows.sum(axis=1, keepdims=True) for rows in lumped]
    # hypot: neither huge nor tiny differences are lost, as they would be when squared
    with np.errstate(over="ignore"):
        differences = np.hypot.reduce(np.abs(points[first, None] - points[None, first]), axis=2)
    if not np.isfinite(differences).all():
        raise ValueError("values differ by more than a float can hold: give smaller numbers")
    between = _metric(distributions, differences, discount, tolerance)
    return between[np.ix_(classes, classes)]


def _checked_transitions(transitions: Sequence[Any], n: int, tolerance: float) -> list[Any]:
    """Return ``transitions`` as CSR matrices in float64; an error names the action and the row."""
    if sparse.issparse(transitions):
        raise ValueError("transitions is a single matrix: give a list with one for each action")
    if len(transitions) == 0:
        raise ValueError("transitions is empty: give one matrix for each action")
    checked = []
    for a, given in enumerate(transitions):
        matrix = sparse.csr_array(given, dtype=np.float64)
        if matrix.shape != (n, n):
            raise ValueError(f"transitions[{a}] has shape {matrix.shape} for {n} values: give ({n}, {n})")
        rows = np.repeat(np.arange(n), np.diff(matrix.indptr))
        wrong = np.flatnonzero(~(matrix.data >= 0))
        if len(wrong):
            raise ValueError(
                f"transitions[{a}] holds {matrix.data[wrong[0]]} in row {rows[wrong[0]]}: "
                "probabilities are numbers of at least 0"
            )
        sums = matrix.sum(axis=1)
        wrong = np.flatnonzero(~(np.abs(sums - 1) <= tolerance))
        if len(wrong):
            raise ValueError(
                f"row {wrong[0]} of transitions[{a}] sums to {sums[wrong[0]]:.12g}, not to 1: "
                "divide each row by its sum, and give states that end an episode a row that stays there"
            )
        checked.append(matrix)
    return checked


def _indicator(classes: NDArray[np.int64]) -> Any:
    """Return the matrix (n, number of classes) that is 1 where a state belongs to a class."""
    n = len(classes)
    return sparse.csr_array((np.ones(n), classes, np.arange(n + 1)), shape=(n, int(classes.max()) + 1))


def _lump(matrices: Sequence[Any], classes: NDArray[np.int64], count: int, tolerance: float) -> NDArray[np.int64]:
    """Split ``classes`` (n,), in 0..count-1, until all states of one have the same probabilities of going to each."""
    while True:
        indicator = _indicator(classes)
        finer = classes
        for matrix in matrices:
            finer = _split(finer, matrix @ indicator, tolerance)
        if finer.max() + 1 == count:
            return finer
        classes, count = finer, int(finer.max()) + 1


def _split(classes: NDArray[np.int64], probabilities: Any, tolerance: float) -> NDArray[np.int64]:
    """Split ``classes`` (n,) by ``probabilities``, sparse (n, m), rows that agree within ``tolerance`` together."""
    rows, columns, data = sparse.find(probabilities)
    order = np.lexsort((data, columns, classes[rows]))
    rows, columns, data = rows[order], columns[order], data[order]
    # within a class and a column: how many gaps there are between 0 and each number
    begins = np.ones(len(data), np.bool_)
    begins[1:] = (classes[rows[1:]] != classes[rows[:-1]]) | (columns[1:] != columns[:-1])
    gap = np.diff(data, prepend=0.0)
    gap[begins] = data[begins]
    gaps = np.cumsum(gap > tolerance)
    gaps -= np.repeat((gaps - (gap > tolerance))[begins], np.diff(np.append(np.flatnonzero(begins), len(data))))
    signatures = sparse.csr_array((gaps, (rows, columns)), shape=probabilities.shape)
    signatures.eliminate_zeros()
    signatures.sort_indices()
    names: dict[tuple[int, bytes, bytes], int] = {}
    finer = np.empty_like(classes)
    for i, (begin, end) in enumerate(zip(signatures.indptr[:-1], signatures.indptr[1:], strict=True)):
        signature = (
            int(classes[i]),
            signatures.indices[begin:end].tobytes(),
            signatures.data[begin:end].tobytes(),
        )
        finer[i] = names.setdefault(signature, len(names))
    return finer


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
    problems = [[_transport(rows[i], rows[j]) for i, j in zip(first, second, strict=True)] for rows in distributions]
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
        couplings = [_couplings(moves, square(before)) for moves in problems]
        after = equation(before, couplings)
        if np.abs(before - after).max(initial=0.0) <= enough:
            return square(after)
        while np.abs(before - after).max() > enough / 2:
            before, after = after, equation(after, couplings)
        before = after


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


def _couplings(problems: Sequence[_Transport], metric: Floats) -> Any:
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
