"""Observations: an array, or a dict of arrays where the observation space is a ``Dict``."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Arrays = NDArray[Any] | dict[str, NDArray[Any]]

T = TypeVar("T")


def map_arrays(function: Callable[..., T], *observations: Any) -> T | dict[str, T]:
    """Call ``function`` with observations that are arrays, or key by key with those of dicts; return the same form."""
    if isinstance(observations[0], dict):
        return {key: function(*(observation[key] for observation in observations)) for key in observations[0]}
    return function(*observations)


def length(observations: Any) -> int:
    """Return the first dimension of observations (N, ...)."""
    return len(next(iter(observations.values())) if isinstance(observations, dict) else observations)


def all_finite(arrays: Arrays) -> bool:
    """Return whether all numbers are finite; at small arrays faster than ``np.isfinite(...).all()``."""
    if isinstance(arrays, dict):
        return all(map(all_finite, arrays.values()))
    return arrays.dtype.kind != "f" or np.isfinite(arrays).tobytes().find(0) < 0


def require_finite(name: str, arrays: Arrays, step: int, envs: Sequence[int] | NDArray[Any] | None = None) -> None:
    """Raise ``ValueError`` if what environments gave, (n, ...), is not finite; the message names the environment.

    ``envs`` (n,) are their numbers, by default 0..n-1.
    """
    for key, array in arrays.items() if isinstance(arrays, dict) else (("", arrays),):
        if not all_finite(array):
            i = int(np.argwhere(~np.isfinite(array))[0, 0])
            part, number = f"{name}[{key!r}]" if key else name, i if envs is None else envs[i]
            value = array[i][~np.isfinite(array[i])].flat[0]
            raise ValueError(
                f"{part} of environment {number} hold {value} at step {step}: make the environment give finite numbers"
            )
