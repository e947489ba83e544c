"""Checks of arguments: each error names the argument, its value and what to give instead."""

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

Number = int | float | np.integer | np.floating

LONGEST = 2**63 - 1  # integer that arrays and generators of torch hold
FINITE = float(np.finfo(np.float64).max)
LARGEST = 1e30  # number that float32 holds, its products with others too


def shown(value: object) -> str:
    """Return ``repr(value)`` in one line of at most 200 letters: arrays and networks have many."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 200 else f"{text[:197]}..."


def require_type(name: str, value: object, kind: type, mend: str) -> None:
    """Raise ``ValueError`` unless ``value`` is an instance of ``kind``; ``mend`` says what to give."""
    if not isinstance(value, kind):
        raise ValueError(f"{name}={shown(value)} is not of type {kind.__name__}: {mend}")


def require_bool(name: str, value: object) -> None:
    """Raise ``ValueError`` unless ``value`` is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name}={shown(value)} is neither True nor False")


def require_callable(name: str, value: object, takes: str) -> None:
    """Raise ``ValueError`` unless ``value`` can be called; ``takes`` says with what."""
    if not callable(value):
        raise ValueError(f"{name}={shown(value)} is not a function: give one that takes {takes}")


def require_mapping(name: str, value: object) -> None:
    """Raise ``ValueError`` unless ``value`` is a mapping from strings, such as further arguments."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"{name}={shown(value)} is not a dict whose keys are strings")


def require_strings(name: str, value: object) -> None:
    """Raise ``ValueError`` unless ``value`` is a sequence of strings, and not one string."""
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(one, str) for one in value):
        raise ValueError(f"{name}={shown(value)} is not a sequence of strings: give a tuple, as in ('count',)")


def require_sequence(name: str, value: object, what: str) -> None:
    """Raise ``ValueError`` unless ``value`` is a sequence or an array, and not one string; ``what`` says of what."""
    if (
        isinstance(value, str | bytes)
        or not isinstance(value, Sequence | np.ndarray)
        or (isinstance(value, np.ndarray) and not value.ndim)
    ):
        raise ValueError(f"{name}={shown(value)} is not a sequence: give {what}")


def require_key(name: str, value: object) -> None:
    """Raise ``ValueError`` unless ``value`` is a string, a key of ``info``, or ``None``."""
    if value is not None and (not isinstance(value, str) or not value):
        raise ValueError(f"{name}={shown(value)} is not a key of info: give a string")


def as_path(name: str, value: object) -> Path:
    """Return ``value``, a string or path, as a path; raise ``ValueError`` if it is neither, or no name of a file."""
    if not isinstance(value, str | Path) or not str(value) or "\0" in str(value):
        raise ValueError(f"{name}={shown(value)} is not a path: give a string or a Path")
    return Path(value)


def as_array(name: str, value: Any) -> NDArray[Any]:
    """Return ``value`` as an array; rows of different lengths are a ``ValueError``."""
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} is not an array: give rows of equal length") from error


def as_floats(name: str, value: object) -> NDArray[np.float64]:
    """Return ``value`` as an array of floats; raise ``ValueError`` if it holds anything but real numbers."""
    array = as_array(name, value)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name}={shown(value)} is not an array of numbers")
    return array.astype(np.float64, copy=False)


def optional_path(name: str, value: object) -> Path | None:
    """Return ``as_path``, or ``None`` for ``None``."""
    return None if value is None else as_path(name, value)


def require_integer(name: str, value: object, least: int) -> None:
    """Raise ``ValueError`` unless ``value`` is an integer of at least ``least``, and below 2**63."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name}={shown(value)} is not an integer of at least {least}")
    if value > LONGEST:
        raise ValueError(f"{name}={shown(value)} is too large: give an integer below 2**63")


def require_index(name: str, value: object, n: int, what: str) -> None:
    """Raise ``ValueError`` unless ``value`` is an integer in 0..n-1, the number of a ``what``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 0 <= value < n:
        raise ValueError(f"{name}={shown(value)} is not {what}: give an integer in 0..{n - 1}")


def require_indices(name: str, value: object, n: int) -> None:
    """Raise ``ValueError`` unless ``value`` is an array (M,) of integers, each in 0..n-1."""
    fits = isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "iu"
    array = np.asarray(value if fits else -1)
    if not fits or (len(array) and not 0 <= array.min() <= array.max() < n):
        raise ValueError(f"{name}={shown(value)} is not an array of integers (M,), each in 0..{n - 1}")


def _is_number(value: object) -> TypeGuard[float]:
    """Return whether ``value`` is a real number, which float64 and int64 hold."""
    return (
        isinstance(value, Number)
        and not isinstance(value, bool)
        and bool(value <= LONGEST or not isinstance(value, int))
    )


def require_number(name: str, value: object) -> None:
    """Raise ``ValueError`` unless ``value`` is a number, and not NaN."""
    if not _is_number(value) or math.isnan(value):
        raise ValueError(f"{name}={shown(value)} is not a number")


def require_weight(name: str, value: object, largest: float = LARGEST) -> None:
    """Raise ``ValueError`` unless ``value`` is a number from 0 to ``largest``."""
    if not _is_number(value) or not 0 <= float(value) <= largest:
        raise ValueError(f"{name}={shown(value)} is not a finite number of at least 0, and at most {largest:g}")


def require_positive(name: str, value: object, largest: float = LARGEST) -> None:
    """Raise ``ValueError`` unless ``value`` is a number above 0, and at most ``largest``."""
    if not _is_number(value) or not 0 < float(value) <= largest:
        raise ValueError(f"{name}={shown(value)} is not a positive number of at most {largest:g}")


def require_fraction(name: str, value: object) -> None:
    """Raise ``ValueError`` unless ``value`` is a number in [0, 1]."""
    if not _is_number(value) or not 0 <= value <= 1:
        raise ValueError(f"{name}={shown(value)} is not a number in [0, 1]")


def require_positive_fraction(name: str, value: object) -> None:
    """Raise ``ValueError`` unless ``value`` is a number in (0, 1]."""
    if not _is_number(value) or not 0 < value <= 1:
        raise ValueError(f"{name}={shown(value)} is not a number in (0, 1]")


def require_choice(name: str, value: object, choices: Collection[str]) -> None:
    """Raise ``ValueError`` unless ``value`` is one of ``choices``."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name}={shown(value)} is unknown: choose one of {', '.join(choices)}")
