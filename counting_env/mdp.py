"""The MDP that underlies the environment, apart from any picture."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from counting_env.checks import Target, check_integer, check_target
from counting_env.kernels import ADD, REMOVE, SHAPES, Rules, next_count


def count_mdp(max_count: int = 8, target: int = 4) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the MDP over the counts 0 to ``max_count``, as two arrays.

    Args:
        max_count: largest count, at least 1.
        target: rewarded count, from 0 to ``max_count``.

    Returns:
        ``successors``, int64 of shape (max_count + 1, 2): ``successors[c, a]`` is the count after action
        ``a`` (0 removes, 1 adds) at count ``c``. ``values``, float64 of shape (max_count + 1,): the
        sparse reward for arriving at each count, ``1{c = target}``.

    Raises:
        ValueError: ``max_count`` or ``target`` is out of range.
    """
    check_integer("max_count", max_count, 1)
    check_integer("target", target, 0)
    check_target(target, 0, max_count)
    values = (np.arange(max_count + 1) == target).astype(np.float64)
    return _next_counts(0, int(max_count), wrap=False), values


def class_mdp(rules: Rules) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the successors, int64 (n, 2), and the rewards for arriving, float64 (n,), of the states of ``info``.

    Raises:
        ValueError: ``slip`` makes the transitions random.
    """
    if rules.slip > 0:
        raise ValueError(
            f"slip={rules.slip} makes transitions random, and class_mdp is for deterministic ones: "
            "take class_transitions, for probabilistic_bisimulation(*env.class_transitions)"
        )
    return _successors(rules), _values(rules)


def class_transitions(rules: Rules) -> tuple[list[NDArray[np.float64]], NDArray[np.float64]]:
    """Return a matrix of transition probabilities (n, n) for each action, and the rewards for arriving (n,)."""
    identity = np.eye(len(_values(rules)))
    removed, added = (identity[column] for column in _successors(rules).T)
    slip = rules.slip
    return [(1 - slip) * removed + slip * added, (1 - slip) * added + slip * removed], _values(rules)


def target_table(target: Target, max_count: int) -> NDArray[np.bool_]:
    """Return which counts are rewarded, bool of shape (1, max_count + 1), or (4, max_count + 1) where shapes differ."""
    counts = np.arange(max_count + 1)
    if isinstance(target, Mapping):
        return np.stack([np.isin(counts, target.get(shape, ())) for shape in SHAPES])
    return np.isin(counts, target)[None]


def reward_table(
    targets: NDArray[np.bool_], dense: bool, least_count: int, max_count: int, wrap: bool
) -> NDArray[np.float64]:
    """Return the reward for arriving at each count, of the shape of ``targets``.

    Sparse: 1 at a target, otherwise 0. Dense: 1 at a target and elsewhere minus the distance to the nearest one, scaled
    to [-1, 0), so that arriving sooner is always better than staying away; 0 where a shape has no target.
    """
    rewards = targets.astype(np.float64)
    counts = np.arange(max_count + 1)
    for row in range(len(targets)) if dense else ():
        distances = np.abs(counts[:, None] - np.flatnonzero(targets[row]))
        if wrap:
            distances = np.minimum(distances, max_count - least_count + 1 - distances)
        if distances.size:
            nearest = distances.min(axis=1)
            rewards[row] = np.where(targets[row], 1.0, -nearest / max(1, nearest[least_count:].max()))
    return rewards


def _next_counts(least_count: int, max_count: int, wrap: bool) -> NDArray[np.int64]:
    """Return the count after each action, (max_count - least_count + 1, 2)."""
    counts = range(least_count, max_count + 1)
    return np.array(
        [[next_count(count, action, least_count, max_count, wrap) for action in (REMOVE, ADD)] for count in counts]
    )


def _successors(rules: Rules) -> NDArray[np.int64]:
    """Return the state after each action where it does not slip, (n, 2); no action changes the shape."""
    after = _next_counts(rules.least_count, rules.max_count, rules.wrap) - rules.least_count
    return np.concatenate([after + row * len(after) for row in range(len(rules.rewards))])


def _values(rules: Rules) -> NDArray[np.float64]:
    return rules.rewards[:, rules.least_count :].ravel()
