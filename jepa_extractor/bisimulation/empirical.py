"""The largest bisimulation of finite data: which pairs of observations the data tells apart."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jepa_extractor.bisimulation.distinguishable_pairs import UNKNOWN, PairTable, WordPairs
from jepa_extractor.bisimulation.inputs import checked_rows, checked_successors, group_values, is_unknown
from jepa_extractor.bisimulation.refinement import Ints, coarsest, number_by_first_appearance
from jepa_extractor.checks import as_array, require_index, require_integer

MAX_OBSERVATIONS = 5_000  # of data that is not in episodes


class EmpiricalBisimulation:
    """Which pairs of n observations finite data tells apart.

    Two observations are *distinguishable* if their values are known and differ, or if some action that was observed
    at both leads to distinguishable observations; nothing else is. What is unknown never tells apart, neither a value
    nor an action that was not observed. So two observations that share no observed action, and of which one has no
    known value, are not distinguishable; and "not distinguishable" need not be transitive: it is a relation, not a
    partition. (The empirical largest bisimulation of Yu et al., "Why and How Auxiliary Tasks Improve JEPA
    Representations", arXiv 2509.12249, is its complement.)

    All pairs are computed here, once, exactly. Data is *in episodes* if each observation has at most one observed
    action, and no action leads to an observation of unknown value. Then n may be any number, at a cost of n log n.
    Other data may have up to 5,000 observations, at a cost of k n^2 and n^2 bytes, and 4 bytes for each
    distinguishable pair.

    Args:
        successors: integers (n, k): ``successors[i, a]`` is the observation to which action a led from observation
            i, or -1 where this was not observed.
        values: what must be told apart at once, such as the reward of arriving: (n,), or (n, m) for m values each.
            NaN where the value is unknown; a row that holds a NaN is unknown as a whole.
        tolerance: values no further apart than this are the same, as for ``largest_bisimulation``; finite, at least 0.

    Raises:
        ValueError: an argument has the wrong shape or is out of range; or there are too many observations for data
            that is not in episodes.
    """

    def __init__(self, successors: ArrayLike, values: ArrayLike, tolerance: float = 0.0) -> None:
        self._successors = checked_successors(successors, least=-1).copy()
        self._labels = _labels(values, tolerance)
        n = len(self._successors)
        if len(self._labels) != n:
            raise ValueError(
                f"values has length {len(self._labels)} and successors {n}: give one row for each observation"
            )
        observed = self._successors >= 0
        self._coverage = float(observed.mean())
        obstacle = _why_not_in_episodes(self._successors, self._labels)
        if obstacle is None:
            self._pairs: WordPairs | PairTable = WordPairs(self._successors, self._labels)
        elif n <= MAX_OBSERVATIONS:
            self._pairs = PairTable(self._successors, self._labels)
        else:
            raise ValueError(
                f"successors has {n:,} rows, and data that is not in episodes may have up to {MAX_OBSERVATIONS:,} "
                f"observations. {obstacle}, or give fewer observations"
            )

    @property
    def coverage(self) -> float:
        """The fraction of observations and actions, n times k, of which the successor was observed, in [0, 1]."""
        return self._coverage

    def distinguishable(self, i: int, j: int) -> bool:
        """Return whether observations i and j, in 0..n-1, are distinguishable; see ``witness`` for why.

        Raises:
            ValueError: i or j is not an observation.
        """
        return self.witness(i, j) is not None

    def distinguishable_pairs(self, pairs: ArrayLike) -> NDArray[np.bool_]:
        """Return which of many pairs are distinguishable, bool (m,): ``distinguishable`` of each row.

        Args:
            pairs: integers (m, 2), each in 0..n-1.

        Raises:
            ValueError: ``pairs`` has the wrong shape or type, or holds what is not an observation.
        """
        array, n = as_array("pairs", pairs), len(self._labels)
        if array.ndim != 2 or array.shape[1] != 2 or array.dtype.kind not in "iu":
            raise ValueError(f"pairs has shape {array.shape} and dtype {array.dtype}: give integers (m, 2)")
        if len(array) and not 0 <= array.min() <= array.max() < n:
            raise ValueError(f"pairs reaches from {array.min()} to {array.max()}: give observations, in 0..{n - 1}")
        return self._pairs.apart(array.astype(np.int64))

    def witness(self, i: int, j: int) -> list[int] | None:
        """Return a shortest sequence of observed actions from i and j after which the values differ.

        It is empty if they differ at once, and ``None`` if i and j are not distinguishable.

        Raises:
            ValueError: i or j is not an observation.
        """
        require_index("i", i, len(self._labels), "an observation")
        require_index("j", j, len(self._labels), "an observation")
        return self._pairs.witness(int(i), int(j))

    def count_pairs(self) -> int:
        """Return how many pairs of observations are distinguishable, each counted once."""
        return self._pairs.count

    def sample_pairs(self, n: int, seed: int) -> NDArray[np.int64]:
        """Draw n distinguishable pairs, uniformly and with replacement; the same seed draws the same.

        Args:
            n: at least 0.
            seed: at least 0.

        Returns:
            int64 (n, 2), the smaller index first.

        Raises:
            ValueError: no pair is distinguishable, or an argument is out of range.
        """
        require_integer("n", n, least=0)
        require_integer("seed", seed, least=0)
        if self._pairs.count == 0:
            raise ValueError("there is no distinguishable pair to draw: all known values are the same")
        return self._pairs.sample(n, np.random.default_rng(seed))

    def classes(self) -> NDArray[np.int64]:
        """Return the partition in which "unknown" is an answer of its own, int64 (n,), numbered by first appearance.

        Where an action was not observed, it is taken to lead to one state more, which has a value of its own and is
        never left; unknown values are taken to be one value more. That makes the MDP complete, and these are the
        classes of its largest bisimulation. Observations in one class are never distinguishable; those in different
        classes may not be.
        """
        n, k = self._successors.shape
        completed = np.append(self._successors, np.full((1, k), n, np.int32), axis=0)
        completed[completed < 0] = n
        labels = np.append(self._labels, self._labels.max() + 1)
        labels -= labels.min()  # UNKNOWN, where there is one, becomes 0
        return number_by_first_appearance(coarsest(labels, int(labels.max()) + 1, completed))[:n]


def _labels(values: ArrayLike, tolerance: float) -> Ints:
    """Return ``group_values`` of the values that are known, (n,), and ``UNKNOWN`` for the others."""
    rows = checked_rows(values)
    known = ~is_unknown(rows)
    labels = np.full(len(rows), UNKNOWN, np.int32)
    if known.any():
        labels[known] = group_values(rows[known], tolerance)[0]
    return labels


def _why_not_in_episodes(successors: Ints, labels: Ints) -> str | None:
    """Return why the data is not in episodes and how to mend it, or ``None`` if it is."""
    observed = successors >= 0
    actions = observed.sum(axis=1)
    if (several := np.flatnonzero(actions > 1)).size:
        return (
            f"Row {several[0]} has {actions[several[0]]} observed actions: keep one of each row and set the others to "
            "-1, as in episodes"
        )
    acted = np.flatnonzero(actions)
    if (blind := acted[labels[successors[acted].max(axis=1)] == UNKNOWN]).size:
        return f"Row {blind[0]} leads to an observation of unknown value: give its value, or set to -1 what leads there"
    return None
