"""The audit of one encoder on one set: what has collapsed, where, and how surely."""

import json
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jepa_extractor.audit.audit_set import AuditSet
from jepa_extractor.audit.collapse import CollapseReport, collapse_audit, finite
from jepa_extractor.audit.neighbours import NEIGHBOURS, Neighbours, neighbours
from jepa_extractor.audit.pairwise import PairwiseReport, pairwise_audit
from jepa_extractor.audit.separation import DifferentClasses, Indices
from jepa_extractor.checks import require_integer, require_type
from jepa_extractor.diagnostics import random_pair_distance

if TYPE_CHECKING:
    from rich.table import Table
    from stable_baselines3.common.vec_env import VecNormalize

    from jepa_extractor.audit.latents import Encoder

MOST = 20_000  # observations that are compared with each other
RESAMPLES = 1_000
WORST_PAIRS = 20
MOST_CLASSES = 100  # of a pairwise audit, which compares each with each


class Pair(NamedTuple):
    """Two observations that must be kept apart, and whose latents are neighbours.

    Attributes:
        left: number of one of them in the ``AuditSet``, in 0..N-1.
        right: number of the other, above ``left``.
        distance: of their latents, over the root mean square distance of random pairs; at least 0.
        why: what tells the observations apart, in words.
    """

    left: int
    right: int
    distance: float
    why: str


@dataclass(frozen=True)
class Report:
    """What an encoder has collapsed that must be kept apart. See ``audit``.

    Attributes:
        name: of the encoder.
        audit_set: the N observations, and what must be kept apart.
        latents: float32 (N, D).
        collapse_index: at least 0; 0 if nothing has collapsed, about 1 if everything has; NaN if too few pairs must be
            kept apart.
        interval: the ends of its 95% bootstrap interval over episodes, NaN for a single episode.
        random_share: the share of random pairs of observations that must be kept apart, in [0, 1].
        hits: for each observation the share of its neighbours that must be kept apart from it, float64 (N,), in [0, 1];
            NaN where it has no neighbours. If there are more than 20,000 observations, 20,000 of them are drawn, and
            the others are NaN.
        worst_pairs: up to 20 pairs of neighbours that must be kept apart, the closest first, one of each reason before
            a second; no observation is in two.
        classes: for a set with classes, the audit of those that were seen at least twice; ``None`` if these are fewer
            than two, and for other sets.
        pairwise: the same pair by pair; ``None`` also for more than 100 classes.
    """

    name: str
    audit_set: AuditSet
    latents: NDArray[np.float32]
    collapse_index: float
    interval: tuple[float, float]
    random_share: float
    hits: NDArray[np.float64]
    worst_pairs: list[Pair]
    classes: CollapseReport | None
    pairwise: PairwiseReport | None

    @property
    def observations_hit(self) -> float:
        """The share of observations that have a neighbour from which they must be kept apart, in [0, 1]."""
        return float(np.mean(self.hits[np.isfinite(self.hits)] > 0)) if np.isfinite(self.hits).any() else 0.0

    @property
    def verdict(self) -> str:
        """What has collapsed, in one sentence."""
        if not np.isfinite(self.collapse_index):
            return f"{self.name}: too few pairs must be kept apart to say whether any has collapsed."
        found = f"collapse index {self.collapse_index:.3f}"
        if np.isfinite(self.interval).all():
            found += ", 95% interval {:.3f} to {:.3f}".format(*self.interval)
        if self.classes is not None:
            found += f", {self.classes.classes_kept} of {self.classes.classes_required} classes kept"
        if self.collapse_index == 0:
            apart = "no two observations that must be kept apart lie next to each other"
            but = "" if self.all_kept else "some classes are not kept, although "
            return f"{self.name}: {but}{apart} ({found})."
        return (
            f"{self.name}: {self.observations_hit:.1%} of the observations lie next to one from which they must be "
            f"kept apart ({found})."
        )

    @property
    def all_kept(self) -> bool:
        """Whether neither the collapse index nor, where there are classes, their number tells of a collapse.

        The two can differ. Where observations repeat exactly, the neighbours of a latent are its copies, and the index
        sees no class that is merely close; where a class lies in several clouds, its mean may lie in another.
        """
        return self.collapse_index == 0 and (
            self.classes is None or self.classes.classes_kept == self.classes.classes_required
        )

    def numbers(self) -> dict[str, float]:
        """Return the measures that are single numbers, by name.

        The keys are ``collapse_index``, ``collapse_index_low`` and ``collapse_index_high`` (its interval),
        ``observations_hit`` and ``random_share``; with ``classes`` also those of ``CollapseReport.numbers``, and with
        ``pairwise`` those of ``PairwiseReport.numbers``.
        """
        return {
            "collapse_index": self.collapse_index,
            "collapse_index_low": self.interval[0],
            "collapse_index_high": self.interval[1],
            "observations_hit": self.observations_hit,
            "random_share": self.random_share,
            **({} if self.classes is None else self.classes.numbers()),
            **({} if self.pairwise is None else self.pairwise.numbers()),
        }

    def to_json(self) -> str:
        """Return all but observations, latents and hits as JSON, with ``null`` for what is infinite or NaN."""
        content = {
            "name": self.name,
            "verdict": self.verdict,
            "coverage": self.audit_set.coverage(),
            **{name: finite(number) for name, number in self.numbers().items()},
            "worst_pairs": [pair._asdict() for pair in self.worst_pairs],
            "classes": None if self.classes is None else json.loads(self.classes.to_json()),
            "pairwise": None if self.pairwise is None else json.loads(self.pairwise.to_json()),
        }
        return json.dumps(content, indent=2, allow_nan=False) + "\n"

    def _repr_html_(self) -> str:
        from jepa_extractor.audit.page import notebook_html

        return notebook_html(self)

    def table(self) -> "Table":
        """Return a table to be printed with ``rich.print``."""
        from rich.markup import escape

        table = compare([self])
        table.title, table.caption = escape(self.verdict), escape(self.audit_set.coverage())
        for pair in self.worst_pairs[:5]:
            table.add_row(f"observations {pair.left} and {pair.right}", escape(pair.why))
        return table


def audit(
    encoder: "Encoder",
    audit_set: AuditSet,
    name: str = "encoder",
    seed: int = 0,
    vec_normalize: "VecNormalize | None" = None,
    frame_stack: int | None = None,
) -> Report:
    """Audit any encoder on a set of observations.

    The collapse index compares each observation with its neighbours in the latent space. It is the share of neighbours
    that must be kept apart from the observation, averaged over the observations that have neighbours, divided by that
    share among random pairs. The neighbours of a latent are among its 20 nearest. They are no farther from it than
    twice the distance from either of the two to its own nearest, nor than twice the distance that nine of ten latents
    have to theirs.

    Args:
        encoder: a model or a policy of Stable-Baselines3, whose first features extractor is audited; a
            ``BaseFeaturesExtractor``; a ``JEPA``; or any other ``nn.Module`` or callable. The first two
            kinds are given what a policy would give them. The last is given a float32 tensor ``(B, *observation
            shape)``, or a dict of them, on the module's device: images (uint8 with three axes) with their channels
            first and scaled to [0, 1], everything else as it is. It returns a tensor or an array (B, D). Training modes
            are kept.
        audit_set: the observations, and what must be kept apart.
        name: of the encoder, for the report.
        seed: of random pairs, ties and resamples, at least 0.
        vec_normalize: normalises observations before they are encoded, and is not changed; by default that of the
            model's own environment, if it has one. A policy, an extractor, or a model that was loaded without
            environment has none, even if it was trained under one.
        frame_stack: how many frames ``VecFrameStack`` stacks, at least 1, those of one episode, with zeros before its
            first. By default as many as the shape of the encoder's observations says; 1 for an encoder without space.

    Raises:
        ValueError: an argument has the wrong type or is out of range, or the encoder does not take such observations,
            or does not return one finite row for each.
    """
    from jepa_extractor.audit.latents import encode

    require_type("audit_set", audit_set, AuditSet, "make one by AuditSet.from_episodes or AuditSet.from_classes")
    require_integer("seed", seed, least=0)
    return audit_latents(encode(encoder, audit_set, vec_normalize, frame_stack), audit_set, name, seed)


def audit_latents(latents: NDArray[np.float32], audit_set: AuditSet, name: str = "encoder", seed: int = 0) -> Report:
    """Audit the latents (N, D) of the observations of a set; see ``audit``."""
    rng = np.random.default_rng(seed)
    n = len(audit_set)
    looked_at = np.sort(rng.choice(n, MOST, replace=False)) if n > MOST else np.arange(n)
    near = neighbours(latents[looked_at], rng)
    near = Neighbours(looked_at[near.left], looked_at[near.right], near.distances)
    apart = audit_set.apart(near.left, near.right)
    counts = np.bincount(near.left, minlength=n)
    with np.errstate(invalid="ignore"):
        hits = np.bincount(near.left, weights=apart, minlength=n) / counts
    left = np.repeat(looked_at, NEIGHBOURS)
    right = rng.choice(looked_at, len(left))
    right[right == left] = looked_at[(np.searchsorted(looked_at, right[right == left]) + 1) % len(looked_at)]
    of_random = audit_set.apart(left, right).reshape(-1, NEIGHBOURS).mean(axis=1)
    index, interval = _index(hits[looked_at], of_random, audit_set.episodes[looked_at], rng)
    classes, pairwise = _of_classes(latents, audit_set.required)
    return Report(
        name=name,
        audit_set=audit_set,
        latents=latents,
        collapse_index=index,
        interval=interval,
        random_share=float(of_random.mean()),
        hits=hits,
        worst_pairs=_worst_pairs(near, apart, latents, audit_set),
        classes=classes,
        pairwise=pairwise,
    )


def compare(reports: Sequence[Report]) -> "Table":
    """Return a table of the numbers of several reports, side by side, to be printed with ``rich.print``.

    Args:
        reports: a column each; a measure that a report lacks is left blank.
    """
    from rich.markup import escape
    from rich.table import Table

    table = Table(min_width=80)
    table.add_column("measure")
    for report in reports:
        table.add_column(escape(report.name), justify="right")
    every = [report.numbers() for report in reports]
    for name in dict.fromkeys(chain.from_iterable(every)):
        values = [numbers.get(name) for numbers in every]
        table.add_row(name.replace("_", " "), *(_shown(value) for value in values))
    return table


def _index(
    hits: NDArray[np.float64], of_random: NDArray[np.float64], episodes: Indices, rng: np.random.Generator
) -> tuple[float, tuple[float, float]]:
    """Return the collapse index of m observations and its interval; all arguments are (m,)."""
    _, episodes = np.unique(episodes, return_inverse=True)
    known = np.isfinite(hits)
    shares = np.stack([np.where(known, hits, 0), known, of_random, np.ones(len(hits))])
    sums = np.stack([np.bincount(episodes, weights=share) for share in shares])

    def ratio(total: NDArray[Any]) -> float:
        near, near_count, random, random_count = total
        return float((near / near_count) / (random / random_count)) if near_count and random else float("nan")

    index, count = ratio(sums.sum(axis=1)), sums.shape[1]
    if count == 1 or not np.isfinite(index):
        return index, (float("nan"), float("nan"))
    drawn = [ratio(sums @ np.bincount(rng.integers(count, size=count), minlength=count)) for _ in range(RESAMPLES)]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return index, (float(low), float(high))


def _worst_pairs(
    near: Neighbours, apart: NDArray[np.bool_], latents: NDArray[np.float32], audit_set: AuditSet
) -> list[Pair]:
    """Return the closest neighbours that must be kept apart, one of each reason first, no observation twice."""
    scale = random_pair_distance(latents)
    pairs: dict[Hashable, tuple[int, int]] = {}
    others: list[tuple[int, int]] = []
    used: set[int] = set()
    for at in np.flatnonzero(apart)[np.argsort(near.distances[apart], kind="stable")]:
        left, right = sorted((int(near.left[at]), int(near.right[at])))
        if not used & {left, right}:
            used |= {left, right}
            if pairs.setdefault(audit_set.required.kind(left, right), (left, right)) != (left, right):
                others.append((left, right))
            if len(pairs) == WORST_PAIRS or len(used) == 100 * WORST_PAIRS:
                break
    chosen = np.array([*pairs.values(), *others][:WORST_PAIRS], np.int64).reshape(-1, 2)
    distances = np.linalg.norm(np.float64(latents[chosen[:, 0]]) - latents[chosen[:, 1]], axis=1) / (scale or 1.0)
    return [
        Pair(left, right, float(distance), audit_set.why(left, right))
        for (left, right), distance in zip(chosen.tolist(), distances, strict=True)
    ]


def _of_classes(latents: NDArray[np.float32], required: Any) -> tuple[CollapseReport | None, PairwiseReport | None]:
    """Return the audits of the classes that were seen at least twice, or ``None`` where there are none."""
    if not isinstance(required, DifferentClasses):
        return None, None
    rows, names, distances = required.seen_twice()
    count = len(np.unique(names))
    if count < 2:
        return None, None
    pairwise = pairwise_audit(latents[rows], names) if count <= MOST_CLASSES else None
    return collapse_audit(latents[rows], names, distances), pairwise


def _shown(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)
