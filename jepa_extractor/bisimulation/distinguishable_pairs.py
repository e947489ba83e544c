"""The distinguishable pairs of finite data, in two ways: by words where data is in episodes, by a table elsewhere.

Both ways know the observations by label: two have the same label if and only if their values are the same. The label
of an unknown value is ``UNKNOWN``; it differs from no other.
"""

import numpy as np
from numpy.typing import NDArray

from jepa_extractor.bisimulation.jit import kernel
from jepa_extractor.bisimulation.refinement import Ints, invert

UNKNOWN = -1
_VALUES_DIFFER = 1


class PairTable:
    """Distinguishable pairs of n observations, found backwards from those whose values differ; O(k n^2).

    Memory: n^2 bytes (for up to 254 actions), and 4 bytes for each distinguishable pair; 75 MB for n = 5,000.

    Args:
        successors: int32 (n, k), -1 for none; n^2 must fit an int32.
        labels: int32 (n,), at least 0, or ``UNKNOWN``.
    """

    def __init__(self, successors: Ints, labels: Ints) -> None:
        n, k = successors.shape
        self._successors = successors
        self._why = np.zeros((n, n), np.min_scalar_type(k + 1))
        self._pairs = _mark(labels, *invert(successors), self._why)
        self.count = len(self._pairs)

    def witness(self, i: int, j: int) -> list[int] | None:
        """Return a shortest sequence of actions after which values differ, or ``None``."""
        actions: list[int] = []
        while True:
            why = int(self._why[min(i, j), max(i, j)])
            if why == 0:
                return None
            if why == _VALUES_DIFFER:
                return actions
            actions.append(why - 2)
            i, j = self._successors[i, actions[-1]], self._successors[j, actions[-1]]

    def apart(self, pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which pairs (m, 2) are distinguishable, (m,)."""
        return np.asarray(self._why[pairs.min(axis=1), pairs.max(axis=1)] != 0)

    def sample(self, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw n pairs uniformly, (n, 2), the smaller index first."""
        drawn = self._pairs[rng.integers(self.count, size=n)]
        return np.stack(np.divmod(drawn.astype(np.int64), len(self._why)), axis=1)


class WordPairs:
    """Distinguishable pairs of n observations, each with at most one observed action; O(n log n) and a sort a round.

    An observation then begins one word: its value, its action, the next value, the next action, and so on to where
    no action is observed; for ever, if its successors run in a circle. Two observations of known value are
    distinguishable if and only if their words first differ at a value. Sorted, words with a common beginning are
    neighbours, and the pairs that part at one place are a range of words before it times a range behind it.

    An observation of unknown value, to which no action leads, is compared with all others by the words without their
    first value. These are sorted a second time, and of the pairs that part at one place those count of which at least
    one is unknown.

    Memory: 8 n bytes a round, for as many rounds as the longest common beginning, in steps, has binary digits.

    Args:
        successors: int32 (n, k), -1 for none, at most one in each row that is not.
        labels: int32 (n,), at least 0, or ``UNKNOWN`` where no action leads.
    """

    def __init__(self, successors: Ints, labels: Ints) -> None:
        observed = successors >= 0
        self._actions = np.where(observed.any(axis=1), observed.argmax(axis=1), -1).astype(np.int32)
        self._next = successors.max(axis=1)
        self._labels = labels
        ranks, jumps = _sort_beginnings(self._next, self._actions, labels)
        self._words = ranks[-1, :-1].copy()  # the same for two observations if and only if their whole words are
        known = np.flatnonzero(labels != UNKNOWN)
        order = known[np.argsort(ranks[-1, known], kind="stable")]
        begin, middle, end = _partings(_first_differences(order, ranks, jumps, labels))
        # A rectangle of pairs: each of elements[begin:end] with each of other elements[begin:end].
        elements, rectangles = [order], [np.stack([begin, middle, middle, end])]
        if len(known) < len(labels):
            of_unknown, more = _pairs_with_unknown(self._actions, ranks, jumps, labels)
            rectangles += [rectangle + len(order) for rectangle in more]
            elements += of_unknown
        self._elements = np.concatenate(elements)
        self._rectangles = np.concatenate(rectangles, axis=1)
        begin, end, other_begin, other_end = self._rectangles
        self._pairs_up_to = np.cumsum((end - begin) * (other_end - other_begin))
        self.count = int(self._pairs_up_to[-1]) if len(begin) else 0

    def witness(self, i: int, j: int) -> list[int] | None:
        """Return the only sequence of actions that may lead to different values, or ``None``."""
        length = _steps_apart(self._next, self._actions, self._labels, i, j)
        if length < 0:
            return None
        actions = []
        for _ in range(length):
            actions.append(int(self._actions[i]))
            i = self._next[i]
        return actions

    def apart(self, pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which pairs (m, 2) are distinguishable, (m,); O(m) times the steps for which their words agree."""
        return _are_apart(self._next, self._actions, self._labels, self._words, np.ascontiguousarray(pairs))

    def sample(self, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw n pairs uniformly, (n, 2), the smaller index first."""
        at = np.searchsorted(self._pairs_up_to, rng.integers(self.count, size=n), side="right")
        begin, end, other_begin, other_end = self._rectangles[:, at]
        pairs = np.stack([rng.integers(begin, end), rng.integers(other_begin, other_end)], axis=1)
        return np.sort(self._elements[pairs], axis=1)


@kernel
def _mark(labels: Ints, offsets: Ints, sources: Ints, why: NDArray[np.unsignedinteger]) -> Ints:
    """Return the distinguishable pairs i < j as i * n + j, by the length of their witness.

    Writes into ``why[i, j]``, all 0 before, 1 if the values differ, else the first action of a witness, plus 2.
    """
    n = len(labels)
    pairs = np.empty(n * (n - 1) // 2, np.int32)
    count = 0
    for i in range(n):
        for j in range(i + 1, n):
            if labels[i] != labels[j] and labels[i] != UNKNOWN and labels[j] != UNKNOWN:
                why[i, j] = _VALUES_DIFFER
                pairs[count] = i * n + j
                count += 1
    done = 0
    while done < count:
        s, t = pairs[done] // n, pairs[done] % n
        done += 1
        for a in range(len(offsets)):
            for i in sources[a, offsets[a, s] : offsets[a, s + 1]]:
                for j in sources[a, offsets[a, t] : offsets[a, t + 1]]:
                    low, high = min(i, j), max(i, j)
                    if why[low, high] == 0:
                        why[low, high] = a + 2
                        pairs[count] = low * n + high
                        count += 1
    return pairs[:count].copy()


def _sort_beginnings(successors: Ints, actions: Ints, labels: Ints) -> tuple[Ints, Ints]:
    """Return the rank of each word among the beginnings of 1, 2, 4, ... steps, and the observation where it goes on.

    Both are (rounds, n + 1); the last rank is that of the whole word. A step is a value and the action after it.
    Index n, of rank 0, stands for the end of a word. Doubling: a beginning of 2m steps is one of m steps and that
    of the observation m steps later (Karp, Miller and Rosenberg, STOC 1972).

    It stops when there are no more different beginnings of 2m steps than of m. Words that agree for m steps then agree
    for m + 1, so what follows their first step agrees for m steps, and so on: they agree for ever.
    """
    n = len(labels)
    jump = np.append(np.where(successors < 0, n, successors), n).astype(np.int32)
    steps = np.append((labels.astype(np.int64) - UNKNOWN) * (actions.max() + 2) + actions + 2, 0)
    rank = np.unique(steps, return_inverse=True)[1].astype(np.int32)
    ranks, jumps = [rank], [jump]
    while True:
        twice = np.unique(rank.astype(np.int64) * (n + 1) + rank[jump], return_inverse=True)[1].astype(np.int32)
        if twice.max() == rank.max():
            return np.stack(ranks), np.stack(jumps)
        rank, jump = twice, jump[jump]
        ranks.append(rank)
        jumps.append(jump)


@kernel
def _first_differences(order: NDArray[np.int64], ranks: Ints, jumps: Ints, labels: Ints) -> NDArray[np.int64]:
    """Return where each word in ``order`` first differs from the one before it: 2m at the value after m steps,
    2m + 1 at the action after that. Equal words: more than any other, and odd; the first word: -1.
    """
    differences = np.full(len(order), -1, np.int64)
    for p in range(1, len(order)):
        i, j = order[p - 1], order[p]
        if ranks[-1, i] == ranks[-1, j]:
            differences[p] = 2 * len(labels) + 1
            continue
        steps = 0
        for level in range(len(ranks) - 2, -1, -1):
            if ranks[level, i] == ranks[level, j]:
                steps += 1 << level
                i, j = jumps[level, i], jumps[level, j]
        differences[p] = 2 * steps + (labels[i] == labels[j])
    return differences


@kernel
def _partings(differences: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return begin, middle and end of the ranges of sorted words between which pairs first differ at a value.

    Each of begin..middle-1 is such a pair with each of middle..end-1. Two sorted words first differ at the least of
    ``differences`` from behind the first to the second. Each pair is given to the leftmost place with that least (a
    Cartesian tree).
    """
    n = len(differences)
    begin = np.zeros(n, np.int64)
    end = np.zeros(n, np.int64)
    stack = np.empty(n, np.int64)
    height = 0
    for p in range(n):
        while height and differences[stack[height - 1]] > differences[p]:
            height -= 1
            if differences[stack[height]] % 2 == 0:
                end[stack[height]] = p
        if height:
            begin[p] = stack[height - 1]
        stack[height] = p
        height += 1
    for p in stack[:height]:
        if differences[p] % 2 == 0:
            end[p] = n
    middle = np.flatnonzero(end)
    return begin[middle], middle, end[middle]


def _pairs_with_unknown(
    actions: Ints, ranks: Ints, jumps: Ints, labels: Ints
) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]:
    """Return the distinguishable pairs of which at least one is unknown, as elements and rectangles of them."""
    following = jumps[0, :-1]
    order = np.lexsort((ranks[-1, following], actions))  # by the words without their first value
    differences = _first_differences(following[order].astype(np.int64), ranks, jumps, np.append(labels, UNKNOWN)) + 2
    differences[1:][np.diff(actions[order]) != 0] = 1
    differences[0] = -1
    begin, middle, end = _partings(differences)
    unknown = labels[order] == UNKNOWN
    before = np.append(0, np.cumsum(unknown))  # how many unknown ones there are before each place
    n, count = len(order), before[-1]
    return [order, order[unknown], order[~unknown]], [
        # the unknown before the parting with all behind it, and the known before it with the unknown behind it
        np.stack([n + before[begin], n + before[middle], middle, end]),
        np.stack(
            [
                n + count + begin - before[begin],
                n + count + middle - before[middle],
                n + before[middle],
                n + before[end],
            ]
        ),
    ]


@kernel
def _steps_apart(successors: Ints, actions: Ints, labels: Ints, i: int, j: int) -> int:
    """Return after how many steps the words of i and j first differ, if at a value; else -1."""
    # as words of an automaton of n + 1 states, they differ within n steps or never (Moore 1956)
    for steps in range(len(labels) + 1):
        if labels[i] != labels[j] and labels[i] != UNKNOWN and labels[j] != UNKNOWN:
            return steps
        if actions[i] != actions[j] or actions[i] < 0:
            return -1
        i, j = successors[i], successors[j]
    return -1


@kernel
def _are_apart(
    successors: Ints, actions: Ints, labels: Ints, words: Ints, pairs: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return which pairs (m, 2) have words that first differ at a value, (m,)."""
    apart = np.zeros(len(pairs), np.bool_)
    for p in range(len(pairs)):
        i, j = pairs[p]
        while words[i] != words[j]:  # once they are the same, they agree for ever
            if labels[i] != labels[j] and labels[i] != UNKNOWN and labels[j] != UNKNOWN:
                apart[p] = True
                break
            if actions[i] != actions[j] or actions[i] < 0:
                break
            i, j = successors[i], successors[j]
    return apart
