"""Latents compared with the classes that must stay apart: which pairs have collapsed."""

import json
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from rich.table import Table

MOST_MARGIN = 5.0  # above it, pictures show no difference
LEAST_DISTANCE = 0.01  # of two class means, over the root mean square norm of the latents; closer ones count as equal


@dataclass(frozen=True)
class CollapseReport:
    """Which of the c classes that must stay apart do so. See ``collapse_audit``.

    Attributes:
        classes: name of each class, (c,), in ascending order; every pair below names classes by it.
        margins: margin of each pair, float64 (c, c), at least 0; infinite on the diagonal, and where the means differ
            but neither class has any spread along the line between them.
        collapsed_pairs: the pairs that did not stay apart.
        smallest_margin: the least of ``margins``.
        closest_pair: the pair with the smallest margin.
        nearest_centroid_accuracy: accuracy on one half of the latents, with centroids from the other half, in [0, 1].
        adjusted_rand_index: agreement of k-means, given the number of classes, with the classes; 1 is perfect, 0 is
            chance.
        rank_correlation: Spearman's rank correlation of the distances between class means with the given distances, in
            [-1, 1]; ``None`` if none were given, NaN if the distances of either kind are all equal.
        classes_kept: number of groups that remain when collapsed pairs count as one, in 1..c.
        classes_required: c.
        latents: what was audited, float64 (N, D).
        members: index into ``classes`` of each latent, int64 (N,).
    """

    classes: NDArray[np.generic]
    margins: NDArray[np.float64]
    collapsed_pairs: list[tuple[Any, Any]]
    smallest_margin: float
    closest_pair: tuple[Any, Any]
    nearest_centroid_accuracy: float
    adjusted_rand_index: float
    rank_correlation: float | None
    classes_kept: int
    classes_required: int
    latents: NDArray[np.float64]
    members: NDArray[np.int64]

    def numbers(self) -> dict[str, float]:
        """Return the measures that are single numbers, by the names of their attributes.

        The keys are ``classes_kept``, ``classes_required``, ``smallest_margin``, ``nearest_centroid_accuracy``,
        ``adjusted_rand_index`` and, unless it is ``None``, ``rank_correlation``.
        """
        numbers = {
            "classes_kept": self.classes_kept,
            "classes_required": self.classes_required,
            "smallest_margin": self.smallest_margin,
            "nearest_centroid_accuracy": self.nearest_centroid_accuracy,
            "adjusted_rand_index": self.adjusted_rand_index,
        }
        return numbers if self.rank_correlation is None else {**numbers, "rank_correlation": self.rank_correlation}

    def to_json(self) -> str:
        """Return everything but latents and members as JSON, with ``null`` for what is infinite or NaN."""
        content = {
            **{name: finite(number) for name, number in self.numbers().items()},
            "closest_pair": self.closest_pair,
            "collapsed_pairs": self.collapsed_pairs,
            "classes": self.classes.tolist(),
            "margins": [[finite(margin) for margin in row] for row in self.margins.tolist()],
        }
        return json.dumps(content, indent=2, allow_nan=False) + "\n"

    def table(self) -> "Table":
        """Return a table to be printed with ``rich.print``."""
        from rich.table import Table

        table = Table(title=f"{self.classes_kept} of {self.classes_required} classes kept")
        table.add_column("measure")
        table.add_column("value", justify="right")
        for name, value in self.numbers().items():
            table.add_row(name.replace("_", " "), f"{value:.3f}" if isinstance(value, float) else str(value))
        table.add_row("closest pair", _pairs([self.closest_pair]))
        table.add_row("collapsed pairs", _pairs(self.collapsed_pairs) or "none")
        return table


def collapse_audit(latents: ArrayLike, classes: ArrayLike, distances: ArrayLike | None = None) -> CollapseReport:
    """Compare latents with the classes that must stay apart.

    The margin of two classes is the distance of their means over the sum of their spreads along the line between the
    means (standard deviations of the projections). Other spread does not count: an encoder may keep more than it
    must. A pair has collapsed if its margin is below 1, or if the means are closer than a hundredth of the latents'
    root mean square norm, so that nothing that follows can tell them apart.

    Args:
        latents: floats (N, D), D at least 1.
        classes: class of each latent, numbers or strings (N,), at least two classes and two latents of each.
        distances: how far apart the classes are, finite (c, c), in ascending order of the classes, such as their
            bisimulation metric; only the order of these numbers matters.

    Raises:
        ValueError: a latent or a distance is not finite (the rows of latents are named), a class is NaN, the shapes do
            not match, or a class has too few latents.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial.distance import pdist, squareform
    from sklearn.model_selection import train_test_split

    from jepa_extractor.diagnostics import kmeans_rand_index, nearest_centroid_accuracy

    points, labels = checked_latents(latents, classes)
    unique, members = np.unique(labels, return_inverse=True)
    names = unique.tolist()
    means = np.stack([points[members == i].mean(axis=0) for i in range(len(names))])
    between = squareform(pdist(means))
    given = None if distances is None else _checked_distances(distances, len(names))
    margins, collapsed = np.full(between.shape, np.inf), np.zeros(between.shape, np.bool_)
    scale = float(np.sqrt(np.mean(np.sum(points**2, axis=1))))
    for i, j in combinations(range(len(names)), 2):
        line = (means[j] - means[i]) / max(between[i, j], np.finfo(float).tiny)
        spread = sum(float((points[members == k] @ line).std()) for k in (i, j))
        margin = between[i, j] / spread if spread > 0 else np.inf
        margins[i, j] = margins[j, i] = margin if between[i, j] > 0 else 0.0
        collapsed[i, j] = margins[i, j] < 1 or between[i, j] <= LEAST_DISTANCE * scale
    closest = min(combinations(range(len(names)), 2), key=lambda pair: margins[pair])
    kept, _ = connected_components(coo_array(collapsed), directed=False)
    fit, test, fit_members, test_members = train_test_split(
        points, members, test_size=0.5, random_state=0, stratify=members
    )
    return CollapseReport(
        classes=unique,
        margins=margins,
        collapsed_pairs=[(names[i], names[j]) for i, j in np.argwhere(collapsed)],
        smallest_margin=float(margins.min()),
        closest_pair=(names[closest[0]], names[closest[1]]),
        nearest_centroid_accuracy=nearest_centroid_accuracy(fit, fit_members, test, test_members),
        adjusted_rand_index=kmeans_rand_index(points, members),
        rank_correlation=None if given is None else _rank_correlation(between, given),
        classes_kept=int(kept),
        classes_required=len(names),
        latents=points,
        members=members,
    )


def checked_latents(latents: ArrayLike, classes: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.generic]]:
    """Return latents (N, D) as floats and the class of each, (N,); raise ``ValueError`` if they cannot be audited."""
    points, labels = np.asarray(latents, np.float64), np.asarray(classes)
    if points.ndim != 2 or points.shape[1] == 0 or labels.shape != points.shape[:1]:
        raise ValueError(
            f"latents has shape {points.shape} and classes {labels.shape}: give (N, D) and (N,), a row for each latent"
        )
    wrong = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if wrong.size:
        shown = ", ".join(map(str, wrong[:10])) + (", ..." if wrong.size > 10 else "")
        raise ValueError(f"latents is not finite in {wrong.size} rows ({shown}): leave them out, or mend the encoder")
    if labels.dtype.kind == "f" and np.isnan(labels).any():
        raise ValueError(f"classes is NaN in {np.isnan(labels).sum()} rows: leave out what belongs to no known class")
    names, counts = np.unique(labels, return_counts=True)
    if len(names) < 2:
        raise ValueError(f"classes holds {len(names)} class: an audit compares at least two")
    if counts.min() < 2:
        raise ValueError(f"classes holds {names[counts.argmin()]} only once: give at least two latents of each class")
    return points, labels


def _checked_distances(distances: ArrayLike, count: int) -> NDArray[np.float64]:
    given = np.asarray(distances, np.float64)
    if given.shape != (count, count) or not np.isfinite(given).all():
        raise ValueError(f"distances has shape {given.shape}: give a finite ({count}, {count}), one row for each class")
    return given


def _rank_correlation(between: NDArray[np.float64], given: NDArray[np.float64]) -> float:
    from scipy.stats import spearmanr

    upper = np.triu_indices(len(between), k=1)
    if np.ptp(between[upper]) == 0 or np.ptp(given[upper]) == 0:  # all equal: there is no order
        return float("nan")
    return float(spearmanr(between[upper], given[upper]).statistic)


def finite(number: float) -> float | None:
    """Return ``number``, or ``None`` where it is infinite or NaN, which JSON does not know."""
    return number if np.isfinite(number) else None


def _pairs(pairs: list[tuple[Any, Any]]) -> str:
    return ", ".join(f"{i} and {j}" for i, j in pairs)
