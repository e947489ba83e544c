"""The arrays that bisimulations take: successors and values, checked, and values grouped into labels."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jepa_extractor.bisimulation.refinement import Ints, meet, number_by_first_appearance
from jepa_extractor.checks import FINITE, as_array, require_weight

_MOST = np.iinfo(np.int32).max
_FEW = 1000
_RANDOM = "for probabilities of successors there are probabilistic_bisimulation and bisimulation_metric"


def checked_mdp(successors: ArrayLike, values: ArrayLike, tolerance: float) -> tuple[Ints, Ints, int]:
    """Return ``checked_successors`` and ``group_values``."""
    followers = checked_successors(successors)
    labels, count = group_values(values, tolerance)
    if len(labels) != len(followers):
        raise ValueError(
            f"values has length {len(labels)} and successors {len(followers)}: give one row for each state"
        )
    return followers, labels, count


def group_values(values: ArrayLike, tolerance: float = 0.0) -> tuple[Ints, int]:
    """Return which values are the same: a label for each, (n,), numbered by first appearance; and how many there are.

    The sorted values are cut wherever the gap between neighbours exceeds ``tolerance``; those between two cuts are
    the same (single linkage), so that "the same" is transitive. For a tolerance of 1, the values 0, 1 and 2 are all
    the same. Of rows of several values, each column is cut by itself, and two rows are the same if all columns are.

    Args:
        values: floats, integers or booleans, (n,), or (n, m) for m values each. An infinity is the same as itself
            alone, and 0.0 as -0.0.
        tolerance: finite, at least 0.

    Raises:
        ValueError: ``values`` has the wrong shape or type, is empty or NaN, or ``tolerance`` is out of range.
    """
    require_weight("tolerance", tolerance, FINITE)
    (labels, count), *more = (_cut(column, tolerance) for column in checked_values(values).T)
    for others, other_count in more:
        labels, count = meet(labels, count, others, other_count)
    return number_by_first_appearance(labels).astype(np.int32), count


def checked_values(values: ArrayLike) -> NDArray[Any]:
    """Return ``values`` as an array (n, m), with m = 1 for values (n,).

    Raises:
        ValueError: the shape or the type is wrong, there are none or too many, or one is NaN.
    """
    rows = checked_rows(values)
    if (wrong := np.flatnonzero(is_unknown(rows))).size:
        raise ValueError(
            f"values is NaN at row {wrong[0]}: give a number; where the value is unknown, use EmpiricalBisimulation"
        )
    return rows


def checked_rows(values: ArrayLike) -> NDArray[Any]:
    """Return ``values`` as ``checked_values`` does, NaN allowed."""
    array = as_array("values", values)
    if array.ndim not in (1, 2):
        raise ValueError(f"values has shape {array.shape}: give one value, or one row of values, for each state")
    _check_length("values", array)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"values has dtype {array.dtype}: give floats, integers or booleans")
    return array.reshape(len(array), -1)


def is_unknown(rows: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which rows of values (n, m) hold a NaN, (n,)."""
    return np.asarray(np.isnan(rows).any(axis=1))


def checked_successors(successors: ArrayLike, least: int = 0) -> Ints:
    """Return ``successors`` as int32, (n, k), each from ``least`` to n - 1.

    Args:
        successors: integers (n, k), k at least 1.
        least: 0; or -1, where that stands for an action that was never observed.

    Raises:
        ValueError: the shape or the type is wrong, there are none or too many, or one is out of range.
    """
    array = as_array("successors", successors)
    if array.ndim != 2:
        raise ValueError(
            f"successors has shape {array.shape}: give one row for each state, one column for each action; {_RANDOM}"
        )
    _check_length("successors", array)
    if array.dtype.kind not in "iu":
        raise ValueError(f"successors has dtype {array.dtype}: give integers, the numbers of states; {_RANDOM}")
    n = len(array)
    if array.min() < least or array.max() >= n:
        i, a = np.argwhere((array < least) | (array >= n))[0]
        mend = f"give the number of a state, in 0..{n - 1}"
        if array[i, a] == -1:
            mend += "; where -1 means never observed, use EmpiricalBisimulation, which takes such data"
        elif least < 0:
            mend += ", or -1 where the action was never observed"
        raise ValueError(f"successors[{i}, {a}]={array[i, a]} is out of range: {mend}")
    return np.require(array, np.int32, ["C", "W"])  # one layout, so that kernels are compiled once


def _check_length(name: str, array: NDArray[Any]) -> None:
    if array.size == 0:
        raise ValueError(f"{name} is empty, of shape {array.shape}: give at least one state and one column")
    if len(array) > _MOST:
        raise ValueError(f"{name} has {len(array):,} rows: there may be at most {_MOST:,} states, what an int32 holds")


def _cut(column: NDArray[Any], tolerance: float) -> tuple[Ints, int]:
    """Return the group of each value, (n,), where sorted values are cut at gaps above ``tolerance``; and how many."""
    distinct = np.unique(column)
    few = len(distinct) <= _FEW  # looking up each value in a long table misses the cache at every step
    ranks = np.searchsorted(distinct, column) if few else np.unique(column, return_inverse=True)[1]
    if distinct.dtype.kind != "f":
        distinct = distinct.astype(np.uint64)  # wraps around, so that the gap between any two integers is exact
    with np.errstate(over="ignore"):
        cuts = np.diff(distinct) > tolerance
    groups = np.append(0, np.cumsum(cuts)).astype(np.int32)
    return groups[ranks], int(groups[-1]) + 1
