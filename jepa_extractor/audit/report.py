"""The audit of one encoder on one set: what has collapsed, where, and how surely."""

import json
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jepa_extractor.audit import verdict
from jepa_extractor.audit.audit_set import AuditSet
from jepa_extractor.audit.closure import gap
from jepa_extractor.audit.measures import LEAST_DISTANCE, MOST_ERROR, ClassPairs, compare_classes, finite
from jepa_extractor.audit.neighbours import Interval, Nearness, least_share, look_near
from jepa_extractor.audit.separation import ByClass
from jepa_extractor.audit.verdict import Found, Verdict
from jepa_extractor.audit.words import both
from jepa_extractor.checks import require_bool, require_integer, require_type, shown
from jepa_extractor.diagnostics import effective_rank, random_pair_distance

if TYPE_CHECKING:
    from rich.table import Table

    from jepa_extractor.audit.latents import Encoder

WORST_PAIRS = 20
RANKED = 2_000  # latents of which the effective rank is computed, if they are as wide
CONSTANT, TWIN, THEMSELVES = "constant encoder", "untrained twin", "observations themselves"


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


class Fact(NamedTuple):
    """A number, and what it means, with its 95% interval where it has one."""

    name: str
    value: str
    meaning: str
    interval: str = ""


class Control(NamedTuple):
    """An encoder audited beside, to see what the data can tell.

    Attributes:
        name: ``"constant encoder"``, ``"untrained twin"`` (the same network, drawn anew), or
            ``"observations themselves"``.
        word: its verdict.
        collapse_index: its index.
        interval: the 95% interval of that.
        pairs_kept: how many required pairs of classes it keeps, ``None`` without classes, and of a constant encoder.
    """

    name: str
    word: str
    collapse_index: float
    interval: Interval
    pairs_kept: int | None


@dataclass(frozen=True)
class Report:
    """What an encoder has collapsed that must be kept apart. See ``audit``.

    One definition holds: what lies next to each other in the latent space is judged by what must stay apart. Where
    classes are known, the verdict is that of pairs of classes; where not, that of the collapse index.

    Attributes:
        name: of the encoder.
        audit_set: the N observations, and what must be kept apart.
        latents: float32 (N, D).
        collapse_index: in [0, 1]; 0 if nothing has collapsed, 1 if everything has; NaN if too few pairs must be kept
            apart.
        interval: the ends of its 95% interval over episodes, in [0, 1], NaN for a single episode.
        random_share: the share of random pairs of observations that must be kept apart, in [0, 1].
        hits: for each observation the share of its neighbours that must be kept apart from it, float64 (N,), in [0, 1];
            NaN where it has no neighbours. If there are more than 20,000 observations, 20,000 of them are drawn, and
            the others are NaN.
        worst_pairs: up to 20 pairs of neighbours that must be kept apart, the closest first, one of each reason before
            a second; no observation is in two.
        classes: for a set with classes, the comparison of those that were seen at least twice, ``None`` if these are
            fewer than two. Where episodes show the same observations again and again, each of these is a class.
            ``None`` for other sets.
        prediction_errors: where the encoder holds a ``JEPA``, how far the latent that its transition predicts 1, 2, ...
            steps ahead is from the real one, over the root mean square distance of random pairs.
        verdict: a word, a sentence, and what to do next.
        controls: encoders audited beside.
    """

    name: str
    audit_set: AuditSet
    latents: NDArray[np.float32]
    collapse_index: float
    interval: Interval
    random_share: float
    hits: NDArray[np.float64]
    worst_pairs: list[Pair]
    classes: ClassPairs | None
    prediction_errors: tuple[float, ...]
    verdict: Verdict
    controls: tuple[Control, ...]

    @property
    def observations_hit(self) -> float:
        """The share of observations that have a neighbour from which they must be kept apart, in [0, 1]."""
        return _share_hit(self.hits)

    @property
    def power(self) -> str:
        """Whether the data would have told a constant encoder and an untrained twin apart, in words; "" if unknown."""
        return verdict.power(self.verdict.word, [(control.name, control.word) for control in self.controls])

    @cached_property
    def effective_rank(self) -> float:
        """How many directions the latents use, in [0, D]; of more than 2,000 wide latents, of 2,000 drawn at random."""
        count, width = self.latents.shape
        if min(count, width) <= RANKED:
            return effective_rank(self.latents)
        return effective_rank(self.latents[np.random.default_rng(0).choice(count, RANKED, replace=False)])

    def numbers(self) -> dict[str, float]:
        """Return the measures that are single numbers, by name.

        The keys are ``collapse_index``, ``collapse_index_low`` and ``collapse_index_high`` (its interval),
        ``observations_hit``, ``random_share`` and ``effective_rank``; with ``classes`` also those of
        ``ClassPairs.numbers``, and with ``prediction_errors`` ``prediction_error_1`` and so on.
        """
        return {
            "collapse_index": self.collapse_index,
            "collapse_index_low": self.interval[0],
            "collapse_index_high": self.interval[1],
            "observations_hit": self.observations_hit,
            "random_share": self.random_share,
            "effective_rank": self.effective_rank,
            **{f"prediction_error_{step}": error for step, error in enumerate(self.prediction_errors, start=1)},
            **({} if self.classes is None else self.classes.numbers()),
        }

    def facts(self) -> list[Fact]:
        """Return the numbers that matter, those that decide the verdict first."""
        low, high = self.interval
        first: list[Fact] = []
        if self.classes is not None:
            numbers = self.classes.numbers()
            first.append(
                Fact(
                    "Pairs of classes kept",
                    f"{numbers['required_pairs_kept']:,} of {numbers['required_pairs']:,}",
                    f"At most 1% of the members of one are taken for the other; of the worst pair "
                    f"{numbers['worst_required_error']:.0%}, and 50% is chance.",
                )
            )
        first.append(
            Fact(
                "Collapse index",
                f"{self.collapse_index:.3f}" if np.isfinite(self.collapse_index) else "unknown",
                "0: nothing that must stay apart lies together. 1: everything does. In brackets: 95% interval.",
                f"{low:.3f} to {high:.3f}" if np.isfinite(low) else "",
            )
        )
        if self.prediction_errors:
            first.append(
                Fact(
                    "Prediction error per step",
                    ", ".join(f"{error:.2f}" for error in self.prediction_errors),
                    f"Of the latent predicted 1 to {len(self.prediction_errors)} steps ahead. 0: exact. 1: as far as "
                    "random pairs.",
                )
            )
        first += [
            Fact(f"Index of the {control.name}", f"{control.collapse_index:.3f}", f"Audited beside: {control.word}.")
            for control in self.controls
            if np.isfinite(control.collapse_index)
        ]
        return [
            *first,
            Fact(
                "Observations hit",
                f"{self.observations_hit:.1%}",
                "They have a neighbour in the latent space that must be apart from them.",
            ),
            Fact(
                "Effective rank",
                f"{self.effective_rank:.1f} of {self.latents.shape[1]}",
                "How many directions the latents use, of those that they have.",
            ),
            Fact(
                "Pairs that must be apart",
                f"{self.random_share:.1%}",
                "Of random pairs. Where others collapse, the audit does not see it.",
            ),
        ]

    def _repr_html_(self) -> str:
        from jepa_extractor.audit.notebook import notebook_html

        return notebook_html(str(self), self.facts(), self.worst_pairs[:3], self.audit_set)

    def to_json(self) -> str:
        """Return all but observations, latents and hits as JSON, with ``null`` for what is infinite or NaN."""
        content = {
            "name": self.name,
            "verdict": self.verdict._asdict(),
            "power": self.power,
            "coverage": self.audit_set.coverage(),
            **{name: finite(number) for name, number in self.numbers().items()},
            "controls": [_plain(control) for control in self.controls],
            "worst_pairs": [pair._asdict() for pair in self.worst_pairs],
            "classes": None if self.classes is None else json.loads(self.classes.to_json()),
        }
        return json.dumps(content, indent=2, allow_nan=False) + "\n"

    def __str__(self) -> str:
        """The verdict in words."""
        after = [self.power, f"Next: {self.verdict.next}" if self.verdict.next else ""]
        return " ".join(filter(None, [f"{self.name}: {self.verdict.word}. {self.verdict.sentence}", *after]))

    def table(self) -> "Table":
        """Return a table to be printed with ``rich.print``."""
        from rich.markup import escape

        table = compare([self])
        colour = {verdict.COLLAPSED: "red", verdict.KEPT: "green", verdict.INCONCLUSIVE: "yellow"}[self.verdict.word]
        said = escape(str(self)).replace(self.verdict.word, f"[bold {colour}]{self.verdict.word}[/]", 1)
        table.title, table.caption = said, escape(self.audit_set.coverage())
        for control in self.controls:
            table.add_row(f"index of the {control.name}", f"{control.collapse_index:.3f} ({control.word})")
        for pair in self.worst_pairs[:5]:
            table.add_row(f"observations {pair.left} and {pair.right}", escape(pair.why))
        return table


def audit(
    encoder: "Encoder",
    audit_set: AuditSet,
    name: str = "encoder",
    seed: int = 0,
    vec_normalize: Any = None,
    frame_stack: int | None = None,
    controls: bool = True,
) -> Report:
    """Audit any encoder on a set of observations.

    The collapse index compares each observation with its neighbours in the latent space. It is the share of neighbours
    that must be kept apart from the observation, averaged over the observations that have neighbours, divided by that
    share among random pairs, and at most 1. Observation j is a neighbour of i if it is among i's 20 nearest and
    d <= 2 min(r_i, r_j, q90), where r is the distance to the nearest, and q90 what nine of ten of these do not exceed.
    Where classes are known, ``compare_classes`` says which pairs of them are kept.

    Args:
        encoder: a ``JEPA``; a model or a policy of Stable-Baselines3, whose first features extractor is audited; a
            ``BaseFeaturesExtractor``; or any other ``nn.Module`` or callable. All but the last are given what a policy
            would give them. The last is given a float32 tensor ``(B, *observation shape)``, or a dict of them, on the
            module's device: images (uint8 with three axes) with their channels first and scaled to [0, 1], everything
            else as it is. It returns a tensor or an array (B, D). Training modes are kept.
        audit_set: the observations, and what must be kept apart.
        name: of the encoder, for the report.
        seed: of random pairs, ties and the untrained twin, at least 0.
        vec_normalize: a ``VecNormalize``, which normalises observations before they are encoded, and is not changed; by
            default that of the model's own environment, if it has one. A policy, an extractor, or a model that was
            loaded without environment has none, even if it was trained under one.
        frame_stack: how many frames ``VecFrameStack`` stacks, at least 1, those of one episode, with zeros before its
            first. By default as many as the shape of the encoder's observations says; 1 for an encoder without space.
        controls: whether to audit beside it a constant encoder, an untrained twin where the encoder is a network, and
            without classes the observations themselves.

    Raises:
        ValueError: an argument has the wrong type or is out of range, or the encoder does not take such observations,
            or does not return one finite row for each.
    """
    from jepa_extractor.audit.controls import untrained
    from jepa_extractor.audit.latents import encode
    from jepa_extractor.audit.prediction import prediction_errors

    require_type("audit_set", audit_set, AuditSet, "make one by AuditSet.from_episodes or AuditSet.from_classes")
    require_integer("seed", seed, least=0)
    require_bool("controls", controls)
    latents = encode(encoder, audit_set, vec_normalize, frame_stack)
    beside: dict[str, NDArray[np.float32]] | None = None
    if controls:
        with untrained(encoder, seed) as is_network:
            beside = {TWIN: encode(encoder, audit_set, vec_normalize, frame_stack)} if is_network else {}
    errors = prediction_errors(encoder, latents, audit_set)
    return audit_latents(latents, audit_set, name, seed, beside, errors)


def audit_latents(
    latents: NDArray[np.float32],
    audit_set: AuditSet,
    name: str = "encoder",
    seed: int = 0,
    beside: dict[str, NDArray[np.float32]] | None = None,
    prediction_errors: tuple[float, ...] = (),
) -> Report:
    """Audit the latents (N, D) of the observations of a set; see ``audit``.

    ``beside`` holds the latents of other encoders by name, which are audited as controls, with a constant one;
    ``None`` leaves all of them out.
    """
    from jepa_extractor.audit.controls import reduced

    near = look_near(latents, audit_set, np.random.default_rng(seed))
    worst = _worst_pairs(near, latents, audit_set)
    controls: list[Control] = []
    themselves: Interval | None = None
    if beside is not None:
        by_class = _decide(audit_set)
        others = {**({} if by_class else {THEMSELVES: reduced(audit_set.observations, seed)}), **beside}
        word = verdict.of_constant(audit_set, near.of_constant)
        controls.append(Control(CONSTANT, word, 1.0 if near.random_share else float("nan"), near.of_constant, None))
        for other, its_latents in others.items():
            its_near = look_near(its_latents, audit_set, np.random.default_rng(seed))
            themselves = its_near.interval if other == THEMSELVES else themselves
            pairs = _of_classes(its_latents, audit_set)
            word = _judge(its_latents, audit_set, its_near, pairs, themselves, []).word
            kept = None if pairs is None else int(pairs.numbers()["required_pairs_kept"])
            controls.append(Control(other, word, its_near.collapse_index, its_near.interval, kept))
    pairs = _of_classes(latents, audit_set)
    return Report(
        name=name,
        audit_set=audit_set,
        latents=latents,
        collapse_index=near.collapse_index,
        interval=near.interval,
        random_share=near.random_share,
        hits=near.hits,
        worst_pairs=worst,
        classes=pairs,
        prediction_errors=prediction_errors,
        verdict=_judge(latents, audit_set, near, pairs, themselves, worst),
        controls=tuple(controls),
    )


def compare(reports: Sequence[Report]) -> "Table":
    """Return a table of the numbers of several reports, side by side, to be printed with ``rich.print``.

    Args:
        reports: a column each; a measure that a report lacks is left blank.

    Raises:
        ValueError: ``reports`` is no sequence of reports.
    """
    require_reports(reports)
    from rich.markup import escape
    from rich.table import Table

    table = Table(min_width=80)
    table.add_column("measure")
    for report in reports:
        table.add_column(escape(report.name), justify="right")
    table.add_row("verdict", *(report.verdict.word for report in reports))
    every = [report.numbers() for report in reports]
    for name in dict.fromkeys(chain.from_iterable(every)):
        values = [numbers.get(name) for numbers in every]
        table.add_row(name.replace("_", " "), *(_shown(value) for value in values))
    return table


def require_reports(reports: object) -> None:
    """Raise ``ValueError`` unless ``reports`` are some reports, and not one of them."""
    if isinstance(reports, Report):
        raise ValueError(f"reports is one report, {reports.name!r}: give a list of it, [report]")
    if not isinstance(reports, Sequence) or not len(reports):
        raise ValueError(f"reports={shown(reports)} is no list of reports, or empty: give at least one")
    for report in reports:
        if not isinstance(report, Report):
            raise ValueError(
                f"reports holds a {type(report).__name__}: give what audit(encoder, audit_set) returns; for classes, "
                "the set is that of AuditSet.from_classes"
            )


def _judge(
    latents: NDArray[np.float32],
    audit_set: AuditSet,
    near: Nearness,
    pairs: ClassPairs | None,
    themselves: Interval | None,
    worst: list[Pair],
) -> Verdict:
    if _decide(audit_set):
        return verdict.of_classes(audit_set, pairs)
    example = ""
    if worst:
        example = f", such as {both(audit_set, *worst[0][:2])} ({worst[0].why})"
    found = Found(
        collapse_index=near.collapse_index,
        interval=near.interval,
        observations_hit=_share_hit(near.hits),
        least_hit=least_share(near.hits > 0, np.isfinite(near.hits), audit_set.episodes),
        of_constant=near.of_constant,
        of_observations=themselves,
        is_constant=verdict.is_constant(latents, LEAST_DISTANCE),
        example=example,
        gap=gap(audit_set, near.pairs) if near.collapse_index <= MOST_ERROR else "",
    )
    return verdict.of_episodes(audit_set, found)


def _share_hit(hits: NDArray[np.float64]) -> float:
    known = np.isfinite(hits)
    return float(np.mean(hits[known] > 0)) if known.any() else 0.0


def _worst_pairs(near: Nearness, latents: NDArray[np.float32], audit_set: AuditSet) -> list[Pair]:
    """Return the closest neighbours that must be kept apart, one of each reason first, no observation twice."""
    scale = random_pair_distance(latents)
    pairs: dict[Hashable, tuple[int, int]] = {}
    others: list[tuple[int, int]] = []
    used: set[int] = set()
    found = near.pairs
    for at in np.flatnonzero(near.apart)[np.argsort(found.distances[near.apart], kind="stable")]:
        left, right = sorted((int(found.left[at]), int(found.right[at])))
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


def _decide(audit_set: AuditSet) -> bool:
    """Return whether pairs of classes decide."""
    return audit_set.classes is not None or isinstance(audit_set.required, ByClass)


def _of_classes(latents: NDArray[np.float32], audit_set: AuditSet) -> ClassPairs | None:
    """Return the comparison of the classes that were seen at least twice, or ``None`` where there are none."""
    known = audit_set.classes
    if known is None:
        return None
    rows = known.members >= 0
    return compare_classes(latents[rows], known.names[known.members[rows]], known.required, known.distances)


def _plain(control: Control) -> dict[str, Any]:
    return {
        **control._asdict(),
        "collapse_index": finite(control.collapse_index),
        "interval": [finite(end) for end in control.interval],
    }


def _shown(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)
