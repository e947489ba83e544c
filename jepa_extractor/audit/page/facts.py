"""What the page says of a report in words and numbers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jepa_extractor.audit.separation import DifferentClasses
from jepa_extractor.diagnostics import effective_rank

if TYPE_CHECKING:
    from jepa_extractor.audit.report import Report

Rows = NDArray[np.int64]
SHOWN = 5_000  # observations shown one by one


class Fact(NamedTuple):
    """A number, what it means, and its 95% interval where it has one."""

    name: str
    value: str
    meaning: str
    interval: str = ""


def facts(report: "Report") -> list[Fact]:
    """Return the six numbers that matter."""
    low, high = report.interval
    worst = min((pair.distance for pair in report.worst_pairs), default=None)
    classes = report.classes
    kept = "unknown" if classes is None else f"{classes.classes_kept} of {classes.classes_required}"
    return [
        Fact(
            "Collapse index",
            f"{report.collapse_index:.3f}" if np.isfinite(report.collapse_index) else "unknown",
            "0: nothing that must stay apart lies together. 1: everything does. In brackets: 95% interval.",
            f"{low:.3f} to {high:.3f}" if np.isfinite(low) else "",
        ),
        Fact(
            "Observations hit",
            f"{report.observations_hit:.1%}",
            "They have a neighbour in the latent space that must be apart from them.",
        ),
        Fact(
            "Closest such neighbours",
            "none" if worst is None else f"{worst:.3f}",
            "Their distance; that of random pairs is about 1.",
        ),
        Fact("Classes kept", kept, "Classes that collapsed into one another count as one."),
        Fact(
            "Effective rank",
            f"{effective_rank(report.latents):.1f} of {report.latents.shape[1]}",
            "How many directions the latents use, of those that they have.",
        ),
        Fact(
            "Pairs that must be apart",
            f"{report.random_share:.1%}",
            "Of random pairs. Where others collapse, the audit does not see it.",
        ),
    ]


def described(report: "Report", row: int) -> str:
    """Return where observation ``row`` comes from, and its labels."""
    data = report.audit_set
    parts = [f"{name} {plain(values[row])}" for name, values in data.labels.items()]
    reward = data.rewards[row]
    parts += [f"episode {data.episodes[row]}", f"step {data.steps[row]}"]
    if np.isfinite(reward):
        parts.append(f"reward {plain(reward)}")
    return ", ".join(parts)


def plain(number: object) -> str:
    """Return a number without a point where it is an integer."""
    if isinstance(number, float | np.floating):
        return f"{number:.0f}" if float(number).is_integer() else f"{number:.4g}"
    return str(number)


def shown_rows(count: int) -> Rows:
    """Return which of ``count`` observations are shown one by one: all, or 5,000 drawn at random, ascending."""
    rows: Rows = np.sort(np.random.default_rng(0).choice(count, min(count, SHOWN), replace=False))
    return rows


def class_members(report: "Report") -> Rows:
    """Return the class of each observation, (N,), an index into ``report.classes.classes``, or -1 where it has none."""
    required, classes = report.audit_set.required, report.classes
    assert isinstance(required, DifferentClasses), "the audit set has no classes"
    assert classes is not None
    members = np.full(len(report.latents), -1)
    members[required.seen_twice()[0]] = classes.members
    return members


def returns(report: "Report") -> NDArray[np.float64]:
    """Return the sum of the rewards from each observation on to the end of its episode, its own included, (N,)."""
    data = report.audit_set
    rewards = np.nan_to_num(np.asarray(data.rewards, np.float64))
    order = np.lexsort((data.steps, data.episodes))
    total = np.cumsum(rewards[order])
    lasts = np.flatnonzero(np.diff(data.episodes[order], append=-1))
    end = total[lasts[np.searchsorted(lasts, np.arange(len(order)))]]
    summed = np.empty(len(order))
    summed[order] = end - total + rewards[order]
    return summed


@dataclass(frozen=True)
class Group:
    """What the map shows of a class or cluster, for those who do not see it."""

    name: str
    count: int
    hit: str
    nearest: str


def groups(report: "Report", members: Rows, names: list[str]) -> Iterator[Group]:
    """Yield what the map shows of each group; ``members`` (N,) index ``names``, and are -1 where unknown."""
    present = [i for i in range(len(names)) if (members == i).any()]
    means = np.stack([report.latents[members == i].mean(axis=0, dtype=np.float64) for i in present])
    for place, i in enumerate(present):
        inside = members == i
        between = np.linalg.norm(means - means[place], axis=1)
        between[place] = np.inf
        nearest = names[present[int(between.argmin())]] if len(present) > 1 else "none"
        yield Group(names[i], int(inside.sum()), f"{np.mean(report.hits[inside] > 0):.1%}", nearest)
