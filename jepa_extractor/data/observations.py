"""Observations: an array, or a dict of arrays where the observation space is a ``Dict``."""

from collections.abc import Callable
from typing import Any, TypeVar

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
