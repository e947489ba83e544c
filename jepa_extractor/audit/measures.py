"""Latents compared with the classes that they belong to: which pairs of classes can be told apart."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jepa_extractor.checks import as_floats, shown

if TYPE_CHECKING:
    from rich.table import Table

LEAST_DISTANCE = 0.01  # over the root mean square norm of the latents; closer ones count as equal
MOST_ERROR = 0.01  # of a pair that counts as kept
MOST_MARGIN = 1e6  # a larger one is the rounding of an infinite one
MANY = 100  # classes of which the threshold is tried only where the nearest neighbour does not keep a pair apart
DISTANCES = 2**22  # computed at once: 32 MiB

Floats = NDArray[np.float64]
Members = NDArray[np.int64]


@dataclass(frozen=True)
class ClassPairs:
    """Which pairs of c classes an encoder keeps apart, and which it merges. See ``compare_classes``.

    An error is the held-out probability of taking a member of one class of the pair for the other, each class drawn
    equally often: 0 where they are apart, 0.5 where they are one.

    Attributes:
        classes: name of each class, (c,), in ascending order.
        counts: number of latents of each class, int64 (c,).
        required: whether the pair must be kept apart, bool (c, c).
        nearest_neighbour: error of the nearest neighbour, float64 (c, c), in [0, 1], 0.5 on the diagonal.
        threshold: error of the best threshold along the line of means, float64 (c, c), in [0, 1], 0.5 on the diagonal;
            of more than 100 classes NaN where the nearest neighbour keeps the pair apart.
        margins: the distance of the means over the sum of the spreads along the line between them (standard deviations
            of the projections), float64 (c, c), at least 0; infinite on the diagonal and without spread. It describes
            a pair: where a class lies in several clouds, its mean may lie in another.
        rank_correlation: Spearman's rank correlation of the distances between class means with the given distances, in
            [-1, 1]; ``None`` if none were given, NaN if the distances of either kind are all equal.
    """

    classes: NDArray[np.generic]
    counts: NDArray[np.int64]
    required: NDArray[np.bool_]
    nearest_neighbour: Floats
    threshold: Floats
    margins: Floats
    rank_correlation: float | None

    @property
    def errors(self) -> Floats:
        """The smaller of both errors, (c, c)."""
        return np.fmin(self.nearest_neighbour, self.threshold)

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Whether the pair is kept apart, required or not: its error is at most 0.01. Bool (c, c)."""
        return self.errors <= MOST_ERROR

    def worst_pairs(self, count: int = 10) -> list[tuple[Any, Any, float]]:
        """Return up to ``count`` required pairs, each as (name, name, error), the largest errors first."""
        return self._pairs(np.triu(self.required, k=1))[:count]

    def merged_pairs(self) -> list[tuple[Any, Any, float]]:
        """Return the pairs that may merge and are not kept apart, each as (name, name, error), largest errors first."""
        return self._pairs(np.triu(~self.required & ~self.kept, k=1))

    def groups(self, merged: NDArray[np.bool_]) -> list[list[Any]]:
        """Return the names of the classes, those in one group that a chain of ``merged`` pairs (c, c) joins."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        count, group = connected_components(coo_array(merged), directed=False)
        return [self.classes[group == i].tolist() for i in range(count)]

    def numbers(self) -> dict[str, float]:
        """Return the measures that are single numbers, by name.

        - ``required_pairs``, and of these ``required_pairs_kept``: numbers of pairs.
        - ``worst_required_error``: the largest error of a required pair, 0 if there is none.
        - ``other_pairs``, and of these ``other_pairs_merged``: numbers of pairs that may merge, and that do.
        - ``groups``: number of groups of classes when pairs that are not kept apart count as one.
        - ``resolution``: the error that one mistake in the smallest class makes. If it is above 0.01, a pair with that
          class is kept only if there is none.
        - ``rank_correlation``, if distances were given.
        """
        upper = np.triu_indices(len(self.classes), k=1)
        required, kept = self.required[upper], self.kept[upper]
        numbers: dict[str, float] = {
            "required_pairs": int(required.sum()),
            "required_pairs_kept": int((required & kept).sum()),
            "worst_required_error": float(self.errors[upper][required].max(initial=0.0)),
            "other_pairs": int((~required).sum()),
            "other_pairs_merged": int((~required & ~kept).sum()),
            "groups": len(self.groups(~self.kept)),
            "resolution": float(0.5 / self.counts.min()),
        }
        return numbers if self.rank_correlation is None else {**numbers, "rank_correlation": self.rank_correlation}

    def to_json(self) -> str:
        """Return everything as JSON, with ``null`` for what is infinite or NaN."""
        content = {
            **{name: finite(number) for name, number in self.numbers().items()},
            "worst_pairs": self.worst_pairs(),
            "merged_pairs": self.merged_pairs(),
            "classes": self.classes.tolist(),
            "counts": self.counts.tolist(),
            "required": self.required.tolist(),
            **{name: _finites(getattr(self, name)) for name in ("nearest_neighbour", "threshold", "margins")},
        }
        return json.dumps(content, indent=2, allow_nan=False) + "\n"

    def table(self) -> "Table":
        """Return a table to be printed with ``rich.print``."""
        from rich.table import Table

        numbers = self.numbers()
        table = Table(title=f"{numbers['required_pairs_kept']} of {numbers['required_pairs']} required pairs kept")
        table.add_column("measure")
        table.add_column("value", justify="right")
        for name, value in numbers.items():
            table.add_row(name.replace("_", " "), f"{value:.3f}" if isinstance(value, float) else str(value))
        for name, pairs in (("worst", self.worst_pairs()), ("merged", self.merged_pairs()[:10])):
            table.add_row(f"{name} pairs", ", ".join(f"{i} and {j} ({error:.3f})" for i, j, error in pairs) or "none")
        return table

    def _pairs(self, chosen: NDArray[np.bool_]) -> list[tuple[Any, Any, float]]:
        names, errors = self.classes.tolist(), self.errors
        pairs = [(names[i], names[j], float(errors[i, j])) for i, j in np.argwhere(chosen)]
        return sorted(pairs, key=lambda pair: -pair[2])


def compare_classes(
    latents: ArrayLike, classes: ArrayLike, required: ArrayLike | None = None, distances: ArrayLike | None = None
) -> ClassPairs:
    """Tell the members of each pair of classes apart by their latents, and count the mistakes.

    Every second latent of each class is held out, and a held-out latent is taken for one of the two classes in two
    ways:

    - for the class of its nearest neighbour. Distances up to a hundredth of the latents' root mean square norm are the
      same, since nothing that follows could use them; a tie is half a mistake.
    - by the threshold that makes the fewest mistakes along the line through the two means (in the middle of the widest
      gap, if several do). If the means are no farther apart than that hundredth, every second latent is a mistake.

    Then the halves change places, so that every latent is held out once. A pair is kept if one of the ways has an
    error of at most 0.01. An error is measured in steps: see ``resolution`` in ``ClassPairs.numbers``. No mistake
    among n members still leaves room, with 95% confidence, for an error of 3 / n. Where each state has one image, all
    members are equal, and the error is 0 or 0.5.

    20,000 latents of width 64 in 33 classes take two seconds.

    Args:
        latents: floats (N, D), D at least 1.
        classes: class of each latent, numbers or strings (N,): at least two classes and two latents of each. To see
            what merges though it need not stay apart, give finer ones than the classes of a bisimulation, such as
            states.
        required: which pairs must be kept apart, bool (c, c), symmetric, in ascending order of the classes. For states
            with bisimulation classes ``b`` (c,) that is ``np.not_equal.outer(b, b)``. By default every pair must.
        distances: how far apart the classes are, finite (c, c), in ascending order of the classes, such as their
            bisimulation metric; only the order of these numbers matters, for ``rank_correlation``.

    Raises:
        ValueError: a latent or a distance is not finite (the rows of latents are named), a class is NaN, the shapes do
            not match, a class has too few latents, or ``required`` is not symmetric or true on its diagonal.
    """
    points, labels = _checked_latents(latents, classes)
    names, members, counts = np.unique(labels, return_inverse=True, return_counts=True)
    must = ~np.eye(len(names), dtype=np.bool_) if required is None else _checked_required(required, len(names))
    given = None if distances is None else _checked_distances(distances, len(names))
    order = np.argsort(members, kind="stable")  # by class, in each as given
    points, members = points[order], members[order]
    rank = np.arange(len(members)) - (np.cumsum(counts) - counts)[members]
    halves = [(points[rank % 2 == half], members[rank % 2 == half]) for half in (0, 1)]
    least = LEAST_DISTANCE * float(np.sqrt(np.mean(np.sum(points**2, axis=1))))

    def error(mistakes: Callable[..., Floats]) -> Floats:
        made = mistakes(*halves[0], *halves[1], least) + mistakes(*halves[1], *halves[0], least)
        shares: Floats = made / counts[:, None]
        return (shares + shares.T) / 2

    by_neighbour = error(_neighbour_mistakes)
    tried = by_neighbour > (MOST_ERROR if len(names) > MANY else -1.0)
    by_threshold = error(partial(_threshold_mistakes, tried=tried))
    means = np.add.reduceat(points, np.flatnonzero(rank == 0)) / counts[:, None]
    return ClassPairs(
        classes=names,
        counts=counts,
        required=must,
        nearest_neighbour=by_neighbour,
        threshold=by_threshold,
        margins=_margins(points, members, means),
        rank_correlation=None if given is None else _rank_correlation(means, given),
    )


def _checked_latents(latents: ArrayLike, classes: ArrayLike) -> tuple[Floats, NDArray[np.generic]]:
    """Return latents (N, D) as floats and the class of each, (N,); raise ``ValueError`` if they cannot be audited."""
    points, labels = as_floats("latents", latents), np.asarray(classes)
    if points.ndim != 2 or points.shape[1] == 0 or labels.shape != points.shape[:1]:
        raise ValueError(
            f"latents has shape {points.shape} and classes {labels.shape}: give (N, D) and (N,), a row for each latent"
        )
    wrong = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if wrong.size:
        rows = ", ".join(map(str, wrong[:10])) + (", ..." if wrong.size > 10 else "")
        raise ValueError(f"latents is not finite in {wrong.size} rows ({rows}): leave them out, or mend the encoder")
    if labels.dtype.kind == "O" and all(isinstance(label, str) for label in labels.flat):
        labels = labels.astype(str)
    if labels.dtype.kind not in "biufSU":
        raise ValueError(f"classes={shown(classes)} are neither numbers nor strings: give one for each latent")
    if labels.dtype.kind == "f" and np.isnan(labels).any():
        raise ValueError(f"classes is NaN in {np.isnan(labels).sum()} rows: leave out what belongs to no known class")
    names, counts = np.unique(labels, return_counts=True)
    if len(names) < 2:
        raise ValueError(f"classes holds {len(names)} class: an audit compares at least two")
    if counts.min() < 2:
        raise ValueError(f"classes holds {names[counts.argmin()]} only once: give at least two latents of each class")
    return points, labels


def _checked_required(required: ArrayLike, count: int) -> NDArray[np.bool_]:
    given = np.asarray(required)
    if given.shape != (count, count) or given.dtype != np.bool_:
        raise ValueError(
            f"required has shape {given.shape} and dtype {given.dtype}: give booleans ({count}, {count}), one row for "
            "each class"
        )
    if (given != given.T).any() or given.diagonal().any():
        raise ValueError("required is not symmetric, or asks a class to differ from itself: give required[i, j] once")
    return given


def _checked_distances(distances: ArrayLike, count: int) -> Floats:
    given = as_floats("distances", distances)
    if given.shape != (count, count) or not np.isfinite(given).all():
        raise ValueError(f"distances has shape {given.shape}: give a finite ({count}, {count}), one row for each class")
    return given


def _neighbour_mistakes(fit: Floats, fit_members: Members, test: Floats, test_members: Members, least: float) -> Floats:
    """Return how many of ``test`` (n, D), of class i, are taken for class j by the nearest of ``fit``: (c, c).

    Both are sorted by class.
    """
    starts = np.flatnonzero(np.diff(fit_members, prepend=-1))
    mistakes = np.zeros((len(starts), len(starts)))
    norms = np.sum(fit**2, axis=1)
    step = max(1, DISTANCES // len(fit))
    for begin in range(0, len(test), step):
        chunk, own = test[begin : begin + step], test_members[begin : begin + step]
        squares = np.sum(chunk**2, axis=1)[:, None] + norms - 2 * chunk @ fit.T
        nearest = np.maximum(np.minimum.reduceat(squares, starts, axis=1), least**2)
        to_own = nearest[np.arange(len(own)), own][:, None]
        np.add.at(mistakes, own, (nearest < to_own) + 0.5 * (nearest == to_own))
    return mistakes


def _threshold_mistakes(
    fit: Floats,
    fit_members: Members,
    test: Floats,
    test_members: Members,
    least: float,
    tried: NDArray[np.bool_],
) -> Floats:
    """Return the same for a threshold along the line of means that is fitted to ``fit``: (c, c).

    It is NaN where the pair is not ``tried``.
    """
    count = int(fit_members[-1]) + 1
    of_fit = [fit[fit_members == i] for i in range(count)]
    of_test = [test[test_members == i] for i in range(count)]
    means = np.stack([points.mean(axis=0) for points in of_fit])
    along_fit, along_test = ([points @ means.T for points in half] for half in (of_fit, of_test))
    mistakes = np.where(tried, np.diag([0.5 * len(points) for points in of_test]), np.nan)
    for i, j in zip(*np.nonzero(np.triu(tried, k=1)), strict=True):
        if np.linalg.norm(means[i] - means[j]) <= least:
            mistakes[i, j], mistakes[j, i] = 0.5 * len(of_test[i]), 0.5 * len(of_test[j])
            continue
        cut = _best_cut(*(along_fit[k][:, j] - along_fit[k][:, i] for k in (i, j)))
        low, high = (along_test[k][:, j] - along_test[k][:, i] for k in (i, j))
        mistakes[i, j] = np.sum(low > cut) + 0.5 * np.sum(low == cut)
        mistakes[j, i] = np.sum(high < cut) + 0.5 * np.sum(high == cut)
    return mistakes


def _best_cut(low: Floats, high: Floats) -> float:
    """Return the number that best has ``low`` (m,) below it and ``high`` (n,) above it: in the widest such gap."""
    places = np.concatenate([low, high])
    order = np.argsort(places)
    places = places[order]
    shares = np.repeat([-1 / len(low), 1 / len(high)], [len(low), len(high)])[order]
    gaps = np.diff(places)
    errors = np.where(gaps > 0, np.cumsum(shares)[:-1], np.inf)
    best = int(np.where(errors <= errors.min() + 1e-9, gaps, 0.0).argmax())
    return float(places[best] + places[best + 1]) / 2


def _margins(points: Floats, members: Members, means: Floats) -> Floats:
    """Return the margin of each pair of classes, (c, c), of points (N, D) that are sorted by class."""
    between = _distances(means)
    with np.errstate(divide="ignore", invalid="ignore"):
        along = [points[members == i] @ means.T for i in range(len(means))]
        spreads = np.stack([(own - own[:, [i]]).std(axis=0) for i, own in enumerate(along)]) / between
        margins: Floats = between / (spreads + spreads.T)
    margins[between == 0] = 0.0
    margins[margins > MOST_MARGIN] = np.inf
    np.fill_diagonal(margins, np.inf)
    return margins


def _rank_correlation(means: Floats, given: Floats) -> float:
    from scipy.stats import spearmanr

    upper = np.triu_indices(len(means), k=1)
    between = _distances(means)[upper]
    if np.ptp(between) == 0 or np.ptp(given[upper]) == 0:  # all equal: there is no order
        return float("nan")
    return float(spearmanr(between, given[upper]).statistic)


def _distances(means: Floats) -> Floats:
    from scipy.spatial.distance import pdist, squareform

    distances: Floats = squareform(pdist(means))
    return distances


def finite(number: float) -> float | None:
    """Return ``number``, or ``None`` where it is infinite or NaN, which JSON does not know."""
    return number if np.isfinite(number) else None


def _finites(rows: Floats) -> list[list[float | None]]:
    return [[finite(number) for number in row] for row in rows.tolist()]
