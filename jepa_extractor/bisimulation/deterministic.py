"""The largest bisimulation of a deterministic MDP, its quotient, and the actions that tell two states apart."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jepa_extractor.bisimulation.inputs import checked_mdp
from jepa_extractor.bisimulation.jit import kernel
from jepa_extractor.bisimulation.refinement import Ints, coarsest, number_by_first_appearance
from jepa_extractor.checks import as_array, require_index


def largest_bisimulation(successors: ArrayLike, values: ArrayLike, tolerance: float = 0.0) -> NDArray[np.int64]:
    """Return the classes of the largest bisimulation of a complete deterministic MDP.

    It is the coarsest partition such that states of one class have the same value and are taken by every action to
    states of one class. Two states are in different classes if and only if some sequence of actions leads from them
    to different values; see ``distinguishing_actions``. An encoder whose losses are both zero keeps different
    classes apart (Yu et al., "Why and How Auxiliary Tasks Improve JEPA Representations", arXiv 2509.12249).

    Hopcroft's algorithm, after a few rounds of signature refinement: O(k n log n). Ten million states and two actions
    take about a gigabyte.

    Args:
        successors: integers (n, k), k at least 1: ``successors[i, a]`` is the state in 0..n-1 to which action a
            leads from state i. Whatever ends an episode leads to a state too, such as one that is never left.
        values: what must be told apart at once, such as the reward of arriving: floats, integers or booleans, (n,),
            or (n, m) for m values each.
        tolerance: finite, at least 0. Values no further apart than this are the same, and so are values that a chain of
            such values joins: for a tolerance of 1, the values 0, 1 and 2 are all the same. Rows of m values are the
            same if all m are.

    Returns:
        The class of each state, int64 (n,), numbered 0, 1, ... by first appearance.

    Raises:
        ValueError: an argument has the wrong shape or type, is out of range, empty or NaN, or the MDP is not
            complete. Data in which some actions were never observed is for ``EmpiricalBisimulation``.
    """
    followers, labels, count = checked_mdp(successors, values, tolerance)
    return number_by_first_appearance(coarsest(labels, count, followers))


def quotient_mdp(
    successors: ArrayLike, values: ArrayLike, classes: ArrayLike, tolerance: float = 0.0
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return the MDP whose states are the c classes of a bisimulation.

    Args:
        successors: (n, k), as for ``largest_bisimulation``.
        values: (n,) or (n, m), as for ``largest_bisimulation``.
        classes: integers (n,), each of 0..c-1 used: a bisimulation, the largest or a finer one.
        tolerance: as for ``largest_bisimulation``. The value of a class is that of its first state.

    Returns:
        Its successors, int64 (c, k), and values, (c,) or (c, m) of the dtype of ``values``.

    Raises:
        ValueError: ``classes`` is not a bisimulation; or an argument is wrong, as for ``largest_bisimulation``.
    """
    followers, labels, _ = checked_mdp(successors, values, tolerance)
    numbers = _checked_classes(classes, len(labels))
    first = np.empty(numbers.max() + 1, np.int64)
    first[numbers[::-1]] = np.arange(len(numbers))[::-1]  # where an index comes twice, the last assignment stays
    if (wrong := np.flatnonzero(labels != labels[first][numbers])).size:
        i = wrong[0]
        raise ValueError(
            f"classes is not a bisimulation: class {numbers[i]} holds the states {first[numbers[i]]} and {i}, whose "
            "values differ; give what largest_bisimulation returns, with the same tolerance"
        )
    quotient = numbers[followers[first]]
    for a, following in enumerate(followers.T):
        if (wrong := np.flatnonzero(numbers[following] != quotient[numbers, a])).size:
            i = wrong[0]
            raise ValueError(
                f"classes is not a bisimulation: class {numbers[i]} holds the states {first[numbers[i]]} and {i}, "
                f"which action {a} leads to the classes {quotient[numbers[i], a]} and {numbers[following[i]]}; give "
                "what largest_bisimulation returns"
            )
    return quotient, np.asarray(values)[first]


def distinguishing_actions(
    successors: ArrayLike, values: ArrayLike, i: int, j: int, tolerance: float = 0.0
) -> list[int] | None:
    """Return a shortest sequence of actions that leads from states i and j to different values.

    They are found breadth first over pairs of states, of which at most n - 1 are followed (with the sets of Hopcroft
    and Karp, "A linear algorithm for testing equivalence of finite automata", 1971): near-linear in k n, and 20 bytes
    a state.

    Args:
        successors: (n, k), as for ``largest_bisimulation``.
        values: (n,) or (n, m), as for ``largest_bisimulation``.
        i: a state, in 0..n-1.
        j: a state, in 0..n-1.
        tolerance: as for ``largest_bisimulation``.

    Returns:
        The actions, each in 0..k-1; none, if the values of i and j differ at once. ``None`` if i and j are bisimilar.

    Raises:
        ValueError: i or j is not a state; or an argument is wrong, as for ``largest_bisimulation``.
    """
    followers, labels, _ = checked_mdp(successors, values, tolerance)
    require_index("i", i, len(labels), "a state")
    require_index("j", j, len(labels), "a state")
    pair, came_from, came_by = _search(followers, labels, int(i), int(j))
    if pair < 0:
        return None
    actions = []
    while came_from[pair] >= 0:
        actions.append(int(came_by[pair]))
        pair = came_from[pair]
    return actions[::-1]


def _checked_classes(classes: ArrayLike, n: int) -> NDArray[np.int64]:
    array = as_array("classes", classes)
    if array.shape != (n,) or array.dtype.kind not in "iu":
        raise ValueError(
            f"classes has shape {array.shape} and dtype {array.dtype}: give one integer for each of {n} states"
        )
    if (wrong := np.flatnonzero((array < 0) | (array >= n))).size:
        i = wrong[0]
        raise ValueError(f"classes[{i}]={array[i]} is out of range: number at most {n} classes 0, 1, ...")
    if (unused := np.flatnonzero(np.bincount(array) == 0)).size:
        raise ValueError(f"classes never uses {unused[0]}: number the classes 0, 1, ... without a gap")
    return array.astype(np.int64, copy=False)


@kernel
def _search(successors: Ints, labels: Ints, i: int, j: int) -> tuple[int, Ints, Ints]:
    """Follow the states i and j, by the same actions, until their labels (n,) differ.

    Breadth first over pairs of states. Each pair that is followed unites its two; one whose two are united already
    is joined by pairs met no later, and what tells it apart tells apart one of those. So the first found is nearest.

    Returns:
        The first pair found of different labels, or -1 if there is none; and for each pair met, from which pair, -1
        for the first, and by which action.
    """
    n, k = successors.shape
    parent = np.empty(n, np.int32)  # sets of united states, as trees
    for s in range(n):
        parent[s] = s
    parent[i] = j
    left, right = np.empty(n, np.int32), np.empty(n, np.int32)
    came_from, came_by = np.empty(n, np.int32), np.empty(n, np.int32)
    left[0], right[0], came_from[0] = i, j, -1
    met, pair = 1, 0
    while pair < met:
        if labels[left[pair]] != labels[right[pair]]:
            return pair, came_from, came_by
        for a in range(k):
            p, q = successors[left[pair], a], successors[right[pair], a]
            p_root, q_root = _root(parent, p), _root(parent, q)
            if p_root != q_root:
                parent[p_root] = q_root
                left[met], right[met], came_from[met], came_by[met] = p, q, pair, a
                met += 1
        pair += 1
    return -1, came_from, came_by


@kernel
def _root(parent: Ints, s: int) -> int:
    """Return the root of the tree that holds s, and shorten the path to it."""
    while parent[s] != s:
        parent[s] = parent[parent[s]]
        s = parent[s]
    return s
