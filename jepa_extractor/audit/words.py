"""Observations and numbers in words."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jepa_extractor.audit.audit_set import AuditSet

SHOWN = 4  # names in a list that is cut


def plain(number: object) -> str:
    """Return a number without a point where it is an integer."""
    if isinstance(number, float | np.floating):
        return f"{number:.0f}" if float(number).is_integer() else f"{number:.4g}"
    return str(number)


def listed(names: Sequence[Any]) -> str:
    """Return names as "1, 2 and 3", the later ones counted where there are many."""
    words = [plain(name) for name in names]
    if len(words) > SHOWN + 1:
        words = [*words[:SHOWN], f"{len(words) - SHOWN} more"]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def described(audit_set: AuditSet, row: int) -> str:
    """Return where observation ``row`` comes from, and its labels."""
    parts = [f"{name} {plain(values[row])}" for name, values in audit_set.labels.items()]
    reward = audit_set.rewards[row]
    parts += [f"episode {audit_set.episodes[row]}", f"step {audit_set.steps[row]}"]
    if np.isfinite(reward):
        parts.append(f"reward {plain(reward)}")
    return ", ".join(parts)


def both(audit_set: AuditSet, left: int, right: int) -> str:
    """Return in short what two observations are: by the first label in which they differ, or else by number."""
    for name, values in audit_set.labels.items():
        one, other = values[left], values[right]
        if np.isfinite([one, other]).all() and one != other:
            return f"{name} {listed([one, other])}"
    return f"observations {left} and {right}"
