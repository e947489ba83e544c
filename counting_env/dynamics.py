"""The MDP over counts, apart from any picture."""

import numpy as np
from numpy.typing import NDArray

from counting_env.kernels import ADD, REMOVE, next_count


def count_mdp(max_count: int = 8, target: int = 4) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the MDP over counts that underlies ``CountingEnv``, as two arrays.

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
    counts = range(max_count + 1)
    successors = np.array([[next_count(count, action, max_count) for action in (REMOVE, ADD)] for count in counts])
    return successors, (np.array(counts) == target).astype(np.float64)


def check_counts(max_count: int, target: int) -> None:
    """Raise ``ValueError`` unless ``max_count`` is a positive integer and ``target`` in 0..``max_count``."""
    for name, value, lowest in (("max_count", max_count, 1), ("target", target, 0)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < lowest:
            raise ValueError(f"{name}={value!r} is not an integer of at least {lowest}")
    if target > max_count:
        raise ValueError(f"target={target} cannot be reached: give one in 0..max_count, here 0..{max_count}")
