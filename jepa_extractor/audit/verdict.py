"""The verdict of an audit: one word, one sentence, and what to do next."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jepa_extractor.audit.audit_set import AuditSet
from jepa_extractor.audit.measures import MOST_ERROR, ClassPairs
from jepa_extractor.audit.neighbours import Interval
from jepa_extractor.audit.separation import ByFuture
from jepa_extractor.audit.words import listed

COLLAPSED, KEPT, INCONCLUSIVE = "COLLAPSED", "KEPT", "INCONCLUSIVE"

SURE = 0.01  # least probability that so many mistakes are chance, over all pairs of classes
MOST_HIT = 0.005  # share of the observations that may be taken for another
HALF = 0.25  # an error half as large as that of classes that are one
LIKE_CONSTANT = 0.9  # a collapse index that could be that of a constant encoder
SHOWN = 4  # groups of classes that a sentence names
BY_CLASS = "--classes-from KEY: AuditSet.collect(env, classes_from=key)"

Bools = NDArray[np.bool_]


class Verdict(NamedTuple):
    """What an audit found.

    Attributes:
        word: ``"COLLAPSED"``, ``"KEPT"`` or ``"INCONCLUSIVE"``.
        sentence: what looks alike, or what is kept, or why nothing can be said.
        next: what to do where nothing can be said, as options of the command line and as arguments; else "".
    """

    word: str
    sentence: str
    next: str = ""

    def __str__(self) -> str:
        """The word and the sentence."""
        return f"{self.word}. {self.sentence}"


class Found(NamedTuple):
    """What a verdict by episodes reads.

    Attributes:
        collapse_index: of the encoder.
        interval: its 95% interval.
        observations_hit: the share of observations that have a neighbour from which they must be kept apart.
        least_hit: the lower end of its 95% interval, NaN for a single episode.
        of_constant: the interval of the index of a constant encoder.
        of_observations: that of the observations themselves, ``None`` if it was not looked at.
        is_constant: whether all latents are equal.
        example: a pair that looks alike, in words, or "".
        gap: which differences the data may not have shown, in words, or "".
    """

    collapse_index: float
    interval: Interval
    observations_hit: float
    least_hit: float
    of_constant: Interval
    of_observations: Interval | None
    is_constant: bool
    example: str
    gap: str


def of_episodes(audit_set: AuditSet, found: Found) -> Verdict:
    """Return the verdict where episodes say what must be kept apart.

    KEPT: the collapse index is surely at most 0.01, at most 0.5% of the observations are hit, and the data shows all
    differences that there are. COLLAPSED: the index is surely above 0.01, or more are surely hit, and the index is
    surely not that of the observations themselves. It is neither where a constant encoder would not have been found,
    or chance may decide what differs.
    """
    more = f"--play model, or --episodes {_more(audit_set):,}: AuditSet.collect(env, policy=model, episodes=...)"
    least, most = found.interval if np.isfinite(found.interval).all() else (found.collapse_index, found.collapse_index)
    if not found.of_constant[0] > MOST_ERROR:  # also where it is NaN
        return Verdict(
            INCONCLUSIVE,
            "A constant encoder would have passed: too few of these observations are told apart by what follows them.",
            more,
        )
    if most <= MOST_ERROR and found.observations_hit <= MOST_HIT:
        if found.gap:
            return Verdict(INCONCLUSIVE, f"All that the data tells apart looks different to it, but {found.gap}.", more)
        return Verdict(KEPT, "All that must be apart looks different to it, and what looks alike stays alike.")
    hit = f"{found.observations_hit:.1%} of its observations look like another that must be apart"
    word, sentence, mend = INCONCLUSIVE, f"{hit}{found.example}: too few to be sure.", more
    if audit_set.doubt:
        sentence = f"{hit}, perhaps by chance. {audit_set.doubt}"
        mend = "--auxiliary action_reward" if "action_reward" in audit_set.doubt else BY_CLASS
    elif found.is_constant:
        word, sentence = COLLAPSED, "Everything looks the same to it: all latents are equal."
    elif _says_nothing(found.of_observations, least, most):
        sentence = f"{hit}, but so they do where nothing encodes them: what is near says little here."
        mend = f"--tolerance T where rewards are real numbers, or {BY_CLASS}"
    elif least >= LIKE_CONSTANT:
        word, sentence = COLLAPSED, f"Everything looks the same to it, as to a constant encoder{found.example}."
    elif least > MOST_ERROR or found.least_hit > MOST_HIT:
        word, sentence = COLLAPSED, f"{hit}{found.example}."
    return Verdict(word, sentence, mend if word == INCONCLUSIVE else "")


def _says_nothing(of_observations: Interval | None, least: float, most: float) -> bool:
    """Return whether an index in [least, most] may be that of the observations themselves, or both of a constant."""
    if of_observations is None or not of_observations[1] > MOST_ERROR:
        return False
    both_constant = min(of_observations[1], most) >= LIKE_CONSTANT
    return both_constant or (least <= of_observations[1] and of_observations[0] <= most)


def of_classes(audit_set: AuditSet, pairs: ClassPairs | None) -> Verdict:  # one for each answer
    """Return the verdict where classes are known: that of the pairs of classes, not of their means.

    KEPT: each required pair has an error of at most 0.01, and each class was seen often enough. COLLAPSED: more
    mistakes were made in some pair than chance explains (1%, over all pairs) where its error is 0.01.
    """
    more = f"--episodes {_more(audit_set):,}, or --play model: AuditSet.collect(env, episodes=...)"
    known = audit_set.classes
    if pairs is None or known is None:
        return Verdict(INCONCLUSIVE, "Fewer than two classes were seen twice.", more)
    label, trials = known.label, _trials(pairs.counts)
    if not _merged(np.full_like(pairs.errors, 0.5), trials, pairs.required).any():
        return Verdict(INCONCLUSIVE, f"A constant encoder would have passed: each {label} was seen too seldom.", more)
    merged = _merged(pairs.errors, trials, pairs.required)
    if merged.any():
        return Verdict(COLLAPSED, _alike(pairs, merged, label))
    near = pairs.required & ~pairs.kept
    if near.any():
        left, right, error = pairs.worst_pairs(1)[0]
        nearly = f"{label} {listed([left, right])} look nearly the same to it ({error:.1%} are taken for the other)"
        return Verdict(INCONCLUSIVE, f"{nearly}: too few were seen to be sure.", more)
    required = audit_set.required
    unseen = required.untried() if isinstance(required, ByFuture) else ""
    if known.rare:
        unseen = f"{label} {listed(known.rare)} {'were' if len(known.rare) > 1 else 'was'} seen too seldom"
    if unseen:
        return Verdict(INCONCLUSIVE, f"It keeps apart what was seen often, but {unseen}.", more)
    count = int(pairs.required.sum()) // 2
    every = 2 * count == pairs.required.size - len(pairs.classes)
    kept = f"All {len(pairs.classes)} classes of {label}" if every else f"All {count:,} pairs that must be apart"
    return Verdict(KEPT, f"{kept} look different to it.")


def of_constant(audit_set: AuditSet, interval: Interval) -> str:
    """Return the word for a constant encoder, whose collapse index has this interval."""
    known = audit_set.classes
    if known is not None:
        counts = np.bincount(known.members[known.members >= 0])
        found = bool(_merged(0.5 * np.ones(known.required.shape), _trials(counts), known.required).any())
    else:
        found = interval[0] > MOST_ERROR and not audit_set.doubt
    return COLLAPSED if found else INCONCLUSIVE


def _trials(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return of how many trials the errors of pairs of classes are, each class counting as much, (c, c)."""
    trials: NDArray[np.float64] = 4 / np.add.outer(1 / counts, 1 / counts)
    return trials


def _merged(errors: NDArray[np.float64], trials: NDArray[np.float64], required: Bools) -> Bools:
    """Return which required pairs made more mistakes than an error of 0.01 explains, (c, c).

    It is more in one pair (1% for all pairs together), or in all of them together, where many classes were seen a few
    times; then those are meant that are taken for another half as often as if they were one.
    """
    upper = np.triu(required, k=1)
    if not upper.any():
        return np.zeros_like(required)
    sure = _chance(errors, trials) < SURE / upper.sum()
    observations = trials[upper].mean() * len(required) / 2
    if _chance(errors[upper].mean(), observations) < SURE:
        sure |= errors >= HALF
    return np.asarray(required & (errors > MOST_ERROR) & sure)


def _chance(errors: Any, trials: Any) -> Any:
    """Return how probable so many mistakes are where the error is 0.01."""
    from scipy.special import betainc

    mistakes = np.maximum(errors * trials, 1e-9)
    return np.where(errors > 0, betainc(mistakes, np.maximum(trials - mistakes, 0) + 1, MOST_ERROR), 1.0)


def _alike(pairs: ClassPairs, merged: Bools, label: str) -> str:
    """Return in a sentence which classes look the same."""
    worst = float(pairs.errors[merged].max())
    groups = sorted((group for group in pairs.groups(merged) if len(group) > 1), key=len, reverse=True)
    share = f"up to {2 * worst:.0%} as often as if they were one" if worst < 0.45 else "as if they were one"
    if len(groups[0]) == len(pairs.classes) and merged[pairs.required].all() and worst >= 0.45:
        return f"Everything looks the same to it: it takes all {len(pairs.classes)} classes of {label} for one another."
    named = "; ".join(listed(group) for group in groups[:SHOWN])
    more = f"; and {len(groups) - SHOWN} more groups" if len(groups) > SHOWN else ""
    return f"{label} {named}{more} look the same to it: one is taken for the other, {share}."


def _more(audit_set: AuditSet) -> int:
    """Return how many episodes to record next: four times as many."""
    return 4 * len(np.unique(audit_set.episodes))


def power(word: str, controls: Sequence[tuple[str, str]]) -> str:
    """Return in a sentence whether the data would have told other encoders from a good one.

    Args:
        word: the verdict.
        controls: names and words of the encoders that were audited beside.
    """
    words = dict(controls)
    if not words:
        return ""
    constant = words.get("constant encoder")
    text = "A constant encoder would have been found." if constant == COLLAPSED else "A constant encoder is not found."
    twin = words.get("untrained twin")
    if twin is None:
        return text
    if twin == word == KEPT:
        return f"{text} An untrained twin is KEPT too: the training is not what made the difference."
    return f"{text} An untrained twin is {twin}{' too' if twin == word else ''}."


def is_constant(latents: NDArray[np.float32], least: float) -> bool:
    """Return whether latents (N, D) are all equal, up to ``least`` of their root mean square norm."""
    points = np.asarray(latents, np.float64)
    farthest = np.sqrt(np.sum((points - points.mean(axis=0)) ** 2, axis=1)).max()
    return bool(2 * farthest <= least * np.sqrt(np.mean(np.sum(points**2, axis=1))) or farthest == 0)
