"""Checks of arguments: each ``ValueError`` names the argument, its value and what would be right."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from counting_env.kernels import DARKEST, SHAPES

LONGEST = 2**31 - 1  # integer: whatever is counted here fits an int32

Target = int | Sequence[int] | Mapping[str, int | Sequence[int]]


def shown(value: object) -> str:
    """Return ``repr(value)`` in one line of at most 200 letters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 200 else f"{text[:197]}..."


def check_target(target: Target, least_count: int, max_count: int) -> None:
    """Raise ``ValueError`` unless ``target`` is of one of the forms that ``CountingEnv`` describes, and reachable."""
    if isinstance(target, Mapping):
        for shape in target:
            if shape not in SHAPES:
                raise ValueError(
                    f"target={shown(target)} has the unknown shape {shape!r}: choose among {', '.join(SHAPES)}"
                )
        parts = list(target.values())
    else:
        parts = [target]
    counts = [count for part in parts for count in (part if isinstance(part, tuple | list) else (part,))]
    if not counts:
        raise ValueError(f"target={shown(target)} names no count: give at least one")
    for count in counts:
        if not is_integer(count):
            raise ValueError(
                f"target={shown(target)} is not an integer, a tuple of integers or a mapping from shape to these"
            )
        if not least_count <= count <= max_count:
            raise ValueError(
                f"target={shown(target)} cannot be reached: give counts in least_count..max_count, "
                f"here {least_count}..{max_count}"
            )


def check_integer(name: str, value: Any, lowest: int) -> None:
    """Raise ``ValueError`` unless ``value``, the argument ``name``, is an integer of at least ``lowest``."""
    if not is_integer(value) or value < lowest:
        raise ValueError(f"{name}={shown(value)} is not an integer of at least {lowest}")
    if value > LONGEST:
        raise ValueError(f"{name}={shown(value)} is too large: give an integer of at most {LONGEST}")


def check_bool(name: str, value: object) -> None:
    """Raise ``ValueError`` unless ``value``, the argument ``name``, is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name}={shown(value)} is neither True nor False")


def is_choice(value: object, choices: Sequence[str]) -> bool:
    """Return whether ``value`` is one of ``choices``."""
    return isinstance(value, str) and value in choices


def is_integer(value: object) -> bool:
    """Return whether ``value`` is an integer, Python's or NumPy's, and no truth value."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def is_color(value: object) -> bool:
    """Return whether ``value`` is three integers in 0..255 of which one is at least ``DARKEST``."""
    try:
        channels = np.asarray(value)
    except ValueError:  # ragged
        return False
    return bool(
        channels.shape == (3,)
        and np.issubdtype(channels.dtype, np.integer)
        and channels.min() >= 0
        and DARKEST <= channels.max() <= 255
    )
