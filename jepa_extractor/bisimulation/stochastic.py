"""The largest probabilistic bisimulation: which states must stay apart where outcomes are random."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from jepa_extractor.bisimulation.inputs import group_values
from jepa_extractor.bisimulation.refinement import number_by_first_appearance
from jepa_extractor.checks import FINITE, require_weight


def probabilistic_bisimulation(
    transitions: Sequence[Any] | NDArray[Any],
    values: ArrayLike,
    tolerance: float = 0.0,
    probability_tolerance: float = 1e-9,
) -> NDArray[np.int64]:
    """Return the classes of the largest probabilistic bisimulation of an MDP.

    It is the coarsest partition such that states of one class have the same value and, under each action, the same
    total probability of going to each class (Larsen and Skou, "Bisimulation through probabilistic testing", 1991;
    for MDPs Givan, Dean and Greig 2003). Classes are split in rounds until none splits. A round reads each matrix once.
    A few rounds are enough for most MDPs; a long chain of n states needs n.

    Args:
        transitions: one matrix (n, n) for each action, SciPy sparse or dense: row i holds the probabilities of going
            from state i to each state.
        values: floats, integers or booleans (n,), or (n, m) for m values each.
        tolerance: values no further apart than this are the same, as for ``largest_bisimulation``; finite, at least 0.
        probability_tolerance: finite, at least 0. Total probabilities of going to a class carry rounding errors. Those
            of the states of one class are sorted, with 0 in front, and cut wherever the gap between neighbours is
            larger than this; those between two cuts are the same. Rows must sum to 1 within it.

    Returns:
        The class of each state, int64 (n,), numbered by first appearance.

    Raises:
        ValueError: an argument is out of range, the shapes do not match, or a row is not a probability distribution.
    """
    require_weight("probability_tolerance", probability_tolerance, FINITE)
    labels, count = group_values(values, tolerance)
    matrices = _checked_transitions(transitions, len(labels), probability_tolerance)
    return number_by_first_appearance(_lump(matrices, labels.astype(np.int64), count, probability_tolerance))


def _checked_transitions(transitions: Sequence[Any] | NDArray[Any], n: int, tolerance: float) -> list[Any]:
    """Return ``transitions`` as CSR matrices in float64; an error names the action and the row."""
    if not isinstance(transitions, Sequence | np.ndarray) or (
        isinstance(transitions, np.ndarray) and not transitions.ndim
    ):
        raise ValueError(
            f"transitions is a {type(transitions).__name__}: give a list with one matrix ({n}, {n}) for each action"
        )
    if len(transitions) == 0:
        raise ValueError("transitions is empty: give one matrix for each action")
    checked = []
    for a, given in enumerate(transitions):
        try:
            matrix = sparse.csr_array(given, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"transitions[{a}] is not a matrix of numbers: give ({n}, {n})") from error
        if matrix.shape != (n, n):
            other = "; a table of successors is for largest_bisimulation" if matrix.ndim == 1 else ""
            raise ValueError(f"transitions[{a}] has shape {matrix.shape} for {n} values: give ({n}, {n}){other}")
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


def class_indicator(classes: NDArray[np.int64]) -> Any:
    """Return the matrix (n, number of classes) that is 1 where a state belongs to a class."""
    n = len(classes)
    return sparse.csr_array((np.ones(n), classes, np.arange(n + 1)), shape=(n, int(classes.max()) + 1))


def _lump(matrices: Sequence[Any], classes: NDArray[np.int64], count: int, tolerance: float) -> NDArray[np.int64]:
    """Split ``classes`` (n,), in 0..count-1, until all states of one have the same probabilities of going to each."""
    while True:
        indicator = class_indicator(classes)
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
