"""Reference implementations of the largest bisimulation by definition, and random MDPs to compare them on."""

import numpy as np


def witness_lengths(successors, values):
    """How many actions it takes to tell each two states apart, (n, n), -1 if none do: the definition, repeated."""
    n = len(successors)
    rows = np.asarray(values).reshape(n, -1)
    apart = (rows[:, None] != rows[None]).any(axis=2)
    lengths = np.where(apart, 0, -1)
    length = 0
    while True:
        length += 1
        led_apart = np.zeros((n, n), bool)
        for following in successors.T:
            led_apart |= apart[np.ix_(following, following)]
        fresh = led_apart & ~apart
        if not fresh.any():
            return lengths
        lengths[fresh] = length
        apart |= fresh


def pairwise_classes(successors, values):
    """The classes of the largest bisimulation, numbered by first appearance, from pairs of states."""
    bisimilar = witness_lengths(successors, values) < 0
    return by_first_appearance(bisimilar.argmax(axis=1))  # the first state that each is bisimilar to


def signature_refinement(successors, values):
    """The same, in rounds: a state's signature is its class and those of its successors."""
    classes = np.unique(np.reshape(values, (len(successors), -1)), axis=0, return_inverse=True)[1].ravel()
    while True:
        signatures = np.column_stack([classes, classes[successors]])
        finer = np.unique(signatures, axis=0, return_inverse=True)[1].ravel()
        if finer.max() == classes.max():
            return by_first_appearance(finer)
        classes = finer


def by_first_appearance(labels):
    """Labels renumbered 0, 1, ... in the order in which they first appear."""
    numbers: dict = {}
    return np.array([numbers.setdefault(label, len(numbers)) for label in labels.tolist()])


def random_mdp(rng, most_states=60):
    """Successors (n, k) and values (n,) of a random complete MDP of 1 to 60 states and 1 to 4 actions.

    One in eight each: a long chain; values all equal; values all different. More than half of the others are copies
    of the states of a smaller MDP, so that many are bisimilar. The states are in random order.
    """
    n = 1 if rng.random() < 0.02 else int(rng.integers(1, most_states + 1))
    k = int(rng.integers(1, 5))
    kind = rng.integers(8)
    if kind == 0:  # action 0 walks along, the others walk back, stay or walk along too; one end is rewarded
        steps = np.append(1, rng.integers(-1, 2, k - 1))
        successors = np.clip(np.arange(n)[:, None] + steps, 0, n - 1)
        values = np.arange(n) == n - 1
    elif kind < 5 or n < 4:
        successors = rng.integers(0, n, (n, k))
        values = rng.integers(0, rng.integers(1, 4), n)
    else:
        small = int(rng.integers(1, n // 2))
        of = np.append(np.arange(small), rng.integers(0, small, n - small))
        to = rng.integers(0, small, (small, k))[of]
        copies, grouped = np.bincount(of), np.argsort(of)
        successors = grouped[(np.cumsum(copies) - copies)[to] + (rng.random((n, k)) * copies[to]).astype(int)]
        values = rng.integers(0, 3, small)[of]
    if kind == 1:
        values = np.ones(n)
    if kind == 2:
        values = rng.permutation(n)
    order = rng.permutation(n)  # state i is called order[i]
    named = np.empty_like(successors)
    named[order] = order[successors]
    return named, values[np.argsort(order)].astype(float)
