"""Which pairs of classes can be told apart in the latent, member by member."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jepa_extractor.audit.collapse import LEAST_DISTANCE, checked_latents

if TYPE_CHECKING:
    from rich.table import Table

MOST_ERROR = 0.01  # of a pair that counts as kept
DISTANCES = 2**22  # computed at once: 32 MiB

Floats = NDArray[np.float64]
Members = NDArray[np.int64]


@dataclass(frozen=True)
class PairwiseReport:
    """Which pairs of c classes an encoder keeps apart, and which it merges. See ``pairwise_audit``.

    An error is the held-out probability of taking a member of one class of the pair for the other, each class drawn
    equally often: 0 where they are apart, 0.5 where they are one.

    Attributes:
        classes: name of each class, (c,), in ascending order.
        counts: number of latents of each class, int64 (c,).
        required: whether the pair must be kept apart, bool (c, c).
        nearest_neighbour: error of the nearest neighbour, float64 (c, c), in [0, 1], 0.5 on the diagonal.
        threshold: error of the best threshold along the line of means, float64 (c, c), in [0, 1], 0.5 on the diagonal.
    """

    classes: NDArray[np.generic]
    counts: NDArray[np.int64]
    required: NDArray[np.bool_]
    nearest_neighbour: Floats
    threshold: Floats

    @property
    def errors(self) -> Floats:
        """The smaller of both errors, (c, c)."""
        return np.minimum(self.nearest_neighbour, self.threshold)

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

    def numbers(self) -> dict[str, float]:
        """Return the measures that are single numbers, by name.

        - ``required_pairs``, and of these ``required_pairs_kept``: numbers of pairs.
        - ``worst_required_error``: the largest error of a required pair, 0 if there is none.
        - ``other_pairs``, and of these ``other_pairs_merged``: numbers of pairs that may merge, and that do.
        - ``groups``: number of groups of classes when pairs that are not kept apart count as one.
        - ``resolution``: the error that one mistake in the smallest class makes. If it is above 0.01, a pair with that
          class is kept only if there is none.
        """
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        upper = np.triu_indices(len(self.classes), k=1)
        required, kept = self.required[upper], self.kept[upper]
        return {
            "required_pairs": int(required.sum()),
            "required_pairs_kept": int((required & kept).sum()),
            "worst_required_error": float(self.errors[upper][required].max(initial=0.0)),
            "other_pairs": int((~required).sum()),
            "other_pairs_merged": int((~required & ~kept).sum()),
            "groups": int(connected_components(coo_array(~self.kept), directed=False)[0]),
            "resolution": float(0.5 / self.counts.min()),
        }

    def to_json(self) -> str:
        """Return everything as JSON."""
        content = {
            **self.numbers(),
            "worst_pairs": self.worst_pairs(),
            "merged_pairs": self.merged_pairs(),
            "classes": self.classes.tolist(),
            "counts": self.counts.tolist(),
            "required": self.required.tolist(),
            "nearest_neighbour": self.nearest_neighbour.tolist(),
            "threshold": self.threshold.tolist(),
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


def pairwise_audit(latents: ArrayLike, classes: ArrayLike, required: ArrayLike | None = None) -> PairwiseReport:
    """Tell the members of each pair of classes apart by their latents, and count the mistakes.

    The theorem is about pairs of observations, so this counts members; ``collapse_audit`` compares means. Every second
    latent of each class is held out, and a held-out latent is taken for one of the two classes in two ways:

    - for the class of its nearest neighbour. Distances up to a hundredth of the latents' root mean square norm are the
      same, since nothing that follows could use them; a tie is half a mistake.
    - by the threshold that makes the fewest mistakes along the line through the two means (in the middle of the widest
      gap, if several do). If the means are no farther apart than that hundredth, every second latent is a mistake.

    Then the halves change places, so that every latent is held out once. A pair is kept if one of the ways has an
    error of at most 0.01. An error is measured in steps: see ``resolution`` in ``PairwiseReport.numbers``. No mistake
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

    Raises:
        ValueError: a latent is not finite (the rows are named), a class is NaN, the shapes do not match, a class has
            too few latents, or ``required`` is not symmetric or true on its diagonal.
    """
    points, labels = checked_latents(latents, classes)
    names, members, counts = np.unique(labels, return_inverse=True, return_counts=True)
    must = ~np.eye(len(names), dtype=np.bool_) if required is None else _checked_required(required, len(names))
    order = np.argsort(members, kind="stable")  # by class, in each as given
    points, members = points[order], members[order]
    rank = np.arange(len(members)) - (np.cumsum(counts) - counts)[members]
    halves = [(points[rank % 2 == half], members[rank % 2 == half]) for half in (0, 1)]
    least = LEAST_DISTANCE * float(np.sqrt(np.mean(np.sum(points**2, axis=1))))

    def error(mistakes: Callable[..., Floats]) -> Floats:
        made = mistakes(*halves[0], *halves[1], least) + mistakes(*halves[1], *halves[0], least)
        shares: Floats = made / counts[:, None]
        return (shares + shares.T) / 2

    return PairwiseReport(names, counts, must, error(_neighbour_mistakes), error(_threshold_mistakes))


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


def _threshold_mistakes(fit: Floats, fit_members: Members, test: Floats, test_members: Members, least: float) -> Floats:
    """Return the same for a threshold along the line of means that is fitted to ``fit``: (c, c)."""
    count = int(fit_members[-1]) + 1
    of_fit = [fit[fit_members == i] for i in range(count)]
    of_test = [test[test_members == i] for i in range(count)]
    means = np.stack([points.mean(axis=0) for points in of_fit])
    along_fit, along_test = ([points @ means.T for points in half] for half in (of_fit, of_test))
    mistakes = np.diag([0.5 * len(points) for points in of_test])
    for i, j in combinations(range(count), 2):
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
