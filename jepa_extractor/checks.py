"""Checks of arguments: each error names the argument, its value and what to give instead."""

import math
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

Number = int | float | np.integer | np.floating


def require_type(name: str, value: object, kind: type, mend: str) -> None:
    """Raise ``ValueError`` unless ``value`` is an instance of ``kind``; ``mend`` says what to give."""
    if not isinstance(value, kind):
        raise ValueError(f"{name}={value!r} is not of type {kind.__name__}: {mend}")


def require_strings(name: str, value: object) -> None:
    """Raise ``ValueError`` unless ``value`` is a sequence of strings, and not one string."""
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(one, str) for one in value):
        raise ValueError(f"{name}={value!r} is not a sequence of strings: give a tuple, as in ('count',)")


def require_key(name: str, value: object) -> None:
    """Raise ``ValueError`` unless ``value`` is a string, a key of ``info``, or ``None``."""
    if value is not None and (not isinstance(value, str) or not value):
        raise ValueError(f"{name}={value!r} is not a key of info: give a string")


def optional_path(name: str, value: object) -> Path | None:
    """Return ``value``, a string or path, as a path; raise ``ValueError`` if it is neither, nor ``None``."""
    if value is not None and not isinstance(value, str | Path):
        raise ValueError(f"{name}={value!r} is not a path: give a string or a Path")
    return None if value is None else Path(value)


def require_integer(name: str, value: object, least: int) -> None:
    """Raise ``ValueError`` unless ``value`` is an integer of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name}={value!r} is not an integer of at least {least}")


def require_weight(name: str, value: object) -> None:
    """Raise ``ValueError`` unless ``value`` is a finite number of at least 0."""
    if isinstance(value, bool) or not isinstance(value, Number) or not 0 <= value < math.inf:
        raise ValueError(f"{name}={value!r} is not a finite number of at least 0")


def require_positive(name: str, value: object) -> None:
    """Raise ``ValueError`` unless ``value`` is a number above 0."""
    if isinstance(value, bool) or not isinstance(value, Number) or not value > 0:
        raise ValueError(f"{name}={value!r} is not a positive number")


def require_fraction(name: str, value: object) -> None:
    """Raise ``ValueError`` unless ``value`` is a number in [0, 1]."""
    if isinstance(value, bool) or not isinstance(value, Number) or not 0 <= value <= 1:
        raise ValueError(f"{name}={value!r} is not a number in [0, 1]")


def require_positive_fraction(name: str, value: object) -> None:
    """Raise ``ValueError`` unless ``value`` is a number in (0, 1]."""
    if isinstance(value, bool) or not isinstance(value, Number) or not 0 < value <= 1:
        raise ValueError(f"{name}={value!r} is not a number in (0, 1]")


def require_choice(name: str, value: object, choices: Collection[str]) -> None:
    """Raise ``ValueError`` unless ``value`` is one of ``choices``."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name}={value!r} is unknown: choose one of {', '.join(choices)}")
