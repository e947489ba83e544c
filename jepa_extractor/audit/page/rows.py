"""Which observations a page shows, and what it says of them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jepa_extractor.audit.report import Report

Rows = NDArray[np.int64]
SHOWN = 5_000  # observations shown one by one


def shown_rows(count: int) -> Rows:
    """Return which of ``count`` observations are shown one by one: all, or 5,000 drawn at random, ascending."""
    rows: Rows = np.sort(np.random.default_rng(0).choice(count, min(count, SHOWN), replace=False))
    return rows


def class_members(report: Report) -> Rows:
    """Return the class of each observation, (N,), an index into ``report.classes.classes``, or -1 where it has none."""
    known = report.audit_set.classes
    assert known is not None, "the audit set has no classes"
    return known.members


def returns(report: Report) -> NDArray[np.float64]:
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


def groups(report: Report, members: Rows, names: list[str]) -> Iterator[Group]:
    """Yield what the map shows of each group; ``members`` (N,) index ``names``, and are -1 where unknown."""
    present = [i for i in range(len(names)) if (members == i).any()]
    means = np.stack([report.latents[members == i].mean(axis=0, dtype=np.float64) for i in present])
    for place, i in enumerate(present):
        inside = members == i
        between = np.linalg.norm(means - means[place], axis=1)
        between[place] = np.inf
        nearest = names[present[int(between.argmin())]] if len(present) > 1 else "none"
        yield Group(names[i], int(inside.sum()), f"{np.mean(report.hits[inside] > 0):.1%}", nearest)
