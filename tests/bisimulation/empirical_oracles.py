"""Reference implementations by definition, and random data to compare them on."""

from fractions import Fraction

import numpy as np
from scipy.optimize import linprog


def witness_lengths(successors, values):
    """How many actions it takes to tell each pair apart, (n, n), -1 for never: the definition, until it is stable."""
    values = np.asarray(values).reshape(len(successors), -1)
    known = ~np.isnan(values).any(axis=1)
    apart = (values[:, None] != values[None]).any(axis=2) & known[:, None] & known
    lengths = np.where(apart, 0, -1)
    for length in range(1, len(successors) ** 2 + 1):
        grown = apart.copy()
        for taken in np.transpose(successors):
            seen = np.flatnonzero(taken >= 0)
            grown[np.ix_(seen, seen)] |= apart[np.ix_(taken[seen], taken[seen])]
        if np.array_equal(grown, apart):
            break
        lengths[grown & ~apart] = length
        apart = grown
    return lengths


def random_data(rng, single, unknown="none"):
    """Successors (n, k) and values of up to 14 observations; ``single``: at most one observed action of each.

    Successors are arbitrary: circles, loops and shared successors are common. ``unknown`` says which values may be
    NaN: "none", "any", or "first", only those of observations to which no action leads.
    """
    n, k = rng.integers(1, 15), rng.integers(1, 5)
    values = rng.integers(0, rng.integers(1, 4), (n, rng.integers(1, 3))).astype(float)
    successors = np.where(rng.random((n, k)) < rng.random(), rng.integers(0, n, (n, k)), -1)
    if rng.random() < 0.3:  # as in episodes
        successors = np.where(successors >= 0, np.append(np.arange(1, n), -1)[:, None], -1)
    if single:
        successors[np.arange(k) != rng.integers(0, k, n)[:, None]] = -1
    may_be_unknown = {"none": np.zeros(n, bool), "any": np.ones(n, bool), "first": ~np.isin(np.arange(n), successors)}
    rows = may_be_unknown[unknown] & (rng.random(n) < 0.5)
    values[rows, rng.integers(0, values.shape[1], rows.sum())] = np.nan
    return successors, values[:, 0] if values.shape[1] == 1 else values


def random_mdp(rng, most_states=6, copies=1):
    """Transitions and values of a random MDP, as Fractions: k tables n x n, n values.

    With ``copies``, each state of a smaller MDP has up to so many, bisimilar and each with its own probabilities.
    """
    small, k = int(rng.integers(1, most_states + 1)), int(rng.integers(1, 4))
    of = np.repeat(np.arange(small), rng.integers(1, copies + 1, small))
    values = rng.integers(0, 2, small)
    transitions = []
    for _ in range(k):
        into = [random_distribution(rng, small) for _ in range(small)]
        rows = []
        for i in of:
            row = [Fraction(0)] * len(of)
            for s in range(small):
                members = np.flatnonzero(of == s)
                for member, share in zip(members, random_distribution(rng, len(members)), strict=True):
                    row[member] = into[i][s] * share
            rows.append(row)
        transitions.append(rows)
    return transitions, values[of]


def random_distribution(rng, n):
    """n Fractions with sum 1 and small denominators, some of them 0."""
    weights = rng.integers(0, 4, n) * (rng.random(n) < 0.6)
    weights[rng.integers(n)] += 1
    return [Fraction(int(weight), int(weights.sum())) for weight in weights]


def lumped(transitions, values):
    """The classes of the largest probabilistic bisimulation, in exact arithmetic, by splitting until nothing splits."""
    classes = number([float(value) for value in values])
    while True:
        finer = number([(classes[i], *(total(rows[i], classes) for rows in transitions)) for i in range(len(classes))])
        if max(finer) == max(classes):
            return finer
        classes = finer


def total(row, classes):
    """The probability of going to each class."""
    into = [Fraction(0)] * (max(classes) + 1)
    for probability, c in zip(row, classes, strict=True):
        into[c] += probability
    return tuple(into)


def number(names):
    """Integers for names, in the order of first appearance."""
    numbers: dict = {}
    return [numbers.setdefault(name, len(numbers)) for name in names]


def cheapest_transport(p, q, costs):
    """Least expected cost of turning p (n,) into q (n,), by linear programming over all n x n moves."""
    n = len(p)
    leaving, arriving = np.kron(np.eye(n), np.ones(n)), np.kron(np.ones(n), np.eye(n))
    return linprog(costs.ravel(), A_eq=np.vstack([leaving, arriving]), b_eq=np.concatenate([p, q])).fun


def check_witness(successors, values, i, j, witness, length):
    """Each action was observed on both ways, known values differ at the end, and it could not be shorter."""
    if witness is None:
        assert length == -1
        return
    assert len(witness) == length
    for action in witness:
        assert type(action) is int
        i, j = successors[i, action], successors[j, action]
        assert i >= 0
        assert j >= 0
    assert not np.isnan(values[[i, j]]).any()
    assert np.any(values[i] != values[j])
