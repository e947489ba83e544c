"""What a count does, apart from any picture: transition, reward, and the class MDP."""

import numpy as np
from numpy.typing import NDArray

from counting_env.kernels import kernel

REMOVE = 0
ADD = 1


@kernel
def next_count(count: int, action: int, max_count: int) -> int:
    """Return the count after ``action`` (``REMOVE`` or ``ADD``), clipped to 0..``max_count``."""
    if action == ADD:
        return min(count + 1, max_count)
    return max(count - 1, 0)


@kernel
def reward_at(count: int, target: int, max_count: int, dense: bool) -> float:
    """Return the reward for arriving at ``count``.

    Sparse: ``1{count = target}``. Dense: 1 at the target and elsewhere minus the distance to it,
    scaled to [-1, 0), so that arriving sooner is always better than staying away.
    """
    if count == target:
        return 1.0
    if dense:
        return -abs(count - target) / max(target, max_count - target)
    return 0.0


def count_mdp(max_count: int = 8, target: int = 4) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the MDP over counts that underlies every ``CountingEnv``, as two arrays.

    Args:
        max_count: largest count, at least 1.
        target: rewarded count, in 0..``max_count``.

    Returns:
        ``successors``, int64 of shape (max_count + 1, 2): ``successors[c, a]`` is the count after action
        ``a`` (0 removes, 1 adds) at count ``c``. ``values``, float64 of shape (max_count + 1,): the
        sparse reward for arriving at each count, ``1{c = target}``.

    Raises:
        ValueError: if ``max_count`` or ``target`` is out of range.
    """
    check_counts(max_count, target)
    max_count = int(max_count)  # a small NumPy integer would overflow
    counts = np.arange(max_count + 1)
    successors = np.stack([np.maximum(counts - 1, 0), np.minimum(counts + 1, max_count)], axis=1)
    return successors, (counts == target).astype(np.float64)


def check_counts(max_count: int, target: int) -> None:
    """Raise ``ValueError`` unless ``max_count`` is a positive integer and ``target`` in 0..``max_count``."""
    for name, value, lowest in (("max_count", max_count, 1), ("target", target, 0)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < lowest:
            raise ValueError(f"{name}={value!r} is not an integer of at least {lowest}")
    if target > max_count:
        raise ValueError(f"target={target} cannot be reached: give one in 0..max_count, here 0..{max_count}")
