"""Partition refinement, on which deterministic and empirical bisimulations are built: Numba kernels on int32 arrays.

A partition of 0..n-1 is an array of labels, (n,): the number of each element's block.
"""

import numpy as np
from numpy.typing import NDArray

from jepa_extractor.bisimulation.jit import kernel

Ints = NDArray[np.int32]

_ROUNDS = 6


@kernel
def number_by_first_appearance(labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Renumber labels (n,), each in 0..n-1, to 0, 1, ... in the order in which they first appear."""
    names = np.full(len(labels), -1, np.int32)
    numbered = np.empty(len(labels), np.int64)
    found = 0
    for i in range(len(labels)):
        if names[labels[i]] < 0:
            names[labels[i]] = found
            found += 1
        numbered[i] = names[labels[i]]
    return numbered


@kernel
def bucket(labels: Ints, count: int) -> tuple[Ints, Ints]:
    """Sort 0..n-1 by labels (n,) in 0..count-1; those with label b are ``order[offsets[b]:offsets[b + 1]]``.

    Returns ``offsets`` (count + 1,) and ``order`` (n - number of negative labels,): a negative label is left out.
    """
    offsets = np.zeros(count + 1, np.int32)
    order = np.empty(len(labels), np.int32)
    _fill(labels, offsets, order)
    return offsets, order[: offsets[count]]


@kernel
def invert(successors: Ints) -> tuple[Ints, Ints]:
    """Return the predecessors: those that action a takes to s are ``sources[a, offsets[a, s]:offsets[a, s + 1]]``.

    ``successors`` is (n, k), with -1 for none; ``offsets`` is (k, n + 1), ``sources`` (k, n).
    """
    n, k = successors.shape
    offsets = np.zeros((k, n + 1), np.int32)
    sources = np.empty((k, n), np.int32)
    for a in range(k):
        _fill(successors[:, a], offsets[a], sources[a])
    return offsets, sources


@kernel
def _fill(labels: Ints, offsets: Ints, order: Ints) -> None:
    """Write what ``bucket`` returns into ``offsets``, all zeros, and to the front of ``order``."""
    count = len(offsets) - 1
    for label in labels:
        if label >= 0:
            offsets[label + 1] += 1
    for b in range(count):
        offsets[b + 1] += offsets[b]
    total = offsets[count]
    for i in range(len(labels) - 1, -1, -1):  # fills each bucket from its end, and leaves its start in its place
        if labels[i] >= 0:
            offsets[labels[i] + 1] -= 1
            order[offsets[labels[i] + 1]] = i
    for b in range(count):
        offsets[b] = offsets[b + 1]
    offsets[count] = total


@kernel
def coarsest(labels: Ints, count: int, successors: Ints) -> Ints:
    """Return the coarsest partition (n,) finer than ``labels`` whose blocks every action maps into blocks.

    A few rounds of signature refinement, O(k n) each, are enough for many MDPs, and read memory more in order than
    Hopcroft's algorithm does. That one follows where they are not enough, and bounds the cost to O(k n log n).

    Args:
        labels: the given partition, (n,), in 0..count-1, each label used.
        count: its number of blocks.
        successors: (n, k), in 0..n-1.
    """
    for _ in range(_ROUNDS):
        finer, found = labels, count
        for a in range(successors.shape[1]):
            finer, found = meet(finer, found, labels[successors[:, a]], count)
        if found == count or found == len(labels):
            return finer
        labels, count = finer, found
    offsets, sources = invert(successors)
    return refine(labels, count, offsets, sources)


@kernel
def meet(labels: Ints, count: int, others: Ints, other_count: int) -> tuple[Ints, int]:
    """Return the coarsest partition (n,) finer than two, ``labels`` and ``others``, and how many blocks it has.

    O(n): through a table of all pairs of blocks, if that is no longer than n. Otherwise block by block of the second,
    where each block of the first gets a new name when it is first met.
    """
    finer = np.empty(len(labels), np.int32)
    found = 0
    if count * other_count <= len(labels):
        names = np.full((count, other_count), -1, np.int32)
        for i in range(len(labels)):
            if names[labels[i], others[i]] < 0:
                names[labels[i], others[i]] = found
                found += 1
            finer[i] = names[labels[i], others[i]]
        return finer, found
    offsets, order = bucket(others, other_count)
    met_in = np.full(count, -1, np.int32)
    name = np.empty(count, np.int32)
    for b in range(other_count):
        for i in order[offsets[b] : offsets[b + 1]]:
            c = labels[i]
            if met_in[c] != b:
                met_in[c] = b
                name[c] = found
                found += 1
            finer[i] = name[c]
    return finer, found


@kernel
def refine(labels: Ints, count: int, offsets: Ints, sources: Ints) -> Ints:
    """Return the coarsest partition (n,) finer than ``labels`` whose blocks every action maps into blocks.

    Hopcroft's algorithm, O(k n log n). The invariant: for each block that is not waiting, and each action, no
    block has members inside and outside its preimage. When a block splits, its smaller half is named anew and
    waits; the larger half need not, unless the block was waiting already.

    The members of each block stand next to each other (the refinable partition of Valmari and Lehtinen, "Efficient
    minimization of DFAs with partial transition functions", STACS 2008): ``elements[first[b]:end[b]]`` are those of
    block b, ``place`` is the inverse of ``elements``, and ``block`` names the block of each element.

    Args:
        labels: the given partition, (n,), in 0..count-1, each label used.
        count: its number of blocks.
        offsets: from ``invert``.
        sources: from ``invert``.
    """
    n, k = len(labels), len(offsets)
    starts, elements = bucket(labels, count)
    place = np.empty(n, np.int32)
    for i in range(n):
        place[elements[i]] = i
    block = labels.copy()
    first = np.empty(n, np.int32)
    end = np.empty(n, np.int32)
    marked = np.zeros(n, np.int32)  # of each block, how many members stand at its front, marked
    touched = np.empty(n, np.int32)  # blocks with marked members
    waiting = np.empty(n, np.int32)  # a stack of blocks
    preimage = np.empty(n, np.int32)  # those that the action at work takes to the block at work
    for b in range(count):
        first[b], end[b] = starts[b], starts[b + 1]
        waiting[b] = b
    waiters = count
    while waiters:
        waiters -= 1
        b = waiting[waiters]
        splitter = elements[first[b] : end[b]]  # stays the same set, though b itself may split meanwhile
        for a in range(k):
            touches = 0
            for source in preimage[: _gather(splitter, offsets[a], sources[a], preimage)]:
                c = block[source]
                if marked[c] == 0:
                    touched[touches] = c
                    touches += 1
                # swap it with the first member that is not marked
                here, there = place[source], first[c] + marked[c]
                other = elements[there]
                elements[there], elements[here] = source, other
                place[source], place[other] = there, here
                marked[c] += 1
            for c in touched[:touches]:
                middle = first[c] + marked[c]
                marked[c] = 0
                if middle == end[c]:
                    continue
                if middle - first[c] <= end[c] - middle:
                    first[count], end[count] = first[c], middle
                    first[c] = middle
                else:
                    first[count], end[count] = middle, end[c]
                    end[c] = middle
                for i in range(first[count], end[count]):
                    block[elements[i]] = count
                waiting[waiters] = count
                waiters += 1
                count += 1
    return block


@kernel
def _gather(targets: Ints, offsets: Ints, sources: Ints, preimage: Ints) -> int:
    """Write the sources of ``targets`` under one action to the front of ``preimage``, and return how many they are."""
    size = 0
    for s in targets:
        for i in range(offsets[s], offsets[s + 1]):
            preimage[size] = sources[i]
            size += 1
    return size
