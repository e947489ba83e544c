"""Which latents lie next to each other, and how many of these must be kept apart: the collapse index."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jepa_extractor.audit.audit_set import AuditSet
from jepa_extractor.audit.measures import LEAST_DISTANCE
from jepa_extractor.audit.separation import Indices

NEIGHBOURS = 20
FARTHEST = 2.0  # times the distance to the nearest of all
MOST_LATENTS = 0.9  # those that are not outliers
TIES = 1e-3  # squares of distances that differ by less are ties
DISTANCES = 2**24  # computed at once: 64 MiB
MOST = 20_000  # observations that are compared with each other

Interval = tuple[float, float]
UNKNOWN: Interval = (float("nan"), float("nan"))


class Pairs(NamedTuple):
    """P pairs of neighbours; a pair may be there twice, from the left and from the right."""

    left: Indices
    right: Indices
    distances: NDArray[np.float32]


class Nearness(NamedTuple):
    """What lies next to each of N observations, and how much of it must be kept apart.

    Attributes:
        pairs: the neighbours.
        apart: whether each pair of these must be kept apart, (P,).
        hits: for each observation the share of its neighbours that must be kept apart from it, (N,), NaN where it has
            none, or is not among the 20,000 that are compared.
        collapse_index: the collapse index, in [0, 1]; NaN if too few pairs must be kept apart.
        interval: its 95% interval over episodes, NaN for a single episode.
        random_share: the share of random pairs that must be kept apart.
        of_constant: the interval that latents which are all equal would have.
    """

    pairs: Pairs
    apart: NDArray[np.bool_]
    hits: NDArray[np.float64]
    collapse_index: float
    interval: Interval
    random_share: float
    of_constant: Interval


def look_near(latents: NDArray[np.float32], audit_set: AuditSet, rng: np.random.Generator) -> Nearness:
    """Compare the neighbours of the latents (N, D) of a set with random pairs; see ``audit`` for the index."""
    n = len(audit_set)
    looked_at = np.sort(rng.choice(n, MOST, replace=False)) if n > MOST else np.arange(n)
    near = neighbours(latents[looked_at], rng)
    near = Pairs(looked_at[near.left], looked_at[near.right], near.distances)
    apart = audit_set.apart(near.left, near.right)
    counts = np.bincount(near.left, minlength=n)
    with np.errstate(invalid="ignore"):
        hits = np.bincount(near.left, weights=apart, minlength=n) / counts
    left = np.repeat(looked_at, NEIGHBOURS)
    right = rng.choice(looked_at, len(left))
    right[right == left] = looked_at[(np.searchsorted(looked_at, right[right == left]) + 1) % len(looked_at)]
    of_random = audit_set.apart(left, right)
    _, episodes = np.unique(audit_set.episodes, return_inverse=True)
    found = _Share(apart, 1 / counts[near.left], episodes[near.left], episodes[near.right])
    random = _Share(of_random, np.ones(len(left)), episodes[left], episodes[right])
    halves = [
        _Share(of_random[half], np.ones(half.sum()), episodes[left[half]], episodes[right[half]])
        for half in (np.arange(len(left)) % 2 == 0, np.arange(len(left)) % 2 == 1)
    ]
    index, interval = _ratio(found, random, episodes[looked_at])
    return Nearness(
        pairs=near,
        apart=apart,
        hits=hits,
        collapse_index=index,
        interval=interval,
        random_share=float(of_random.mean()),
        of_constant=_ratio(halves[0], halves[1], episodes[looked_at])[1],
    )


def neighbours(latents: NDArray[np.float32], rng: np.random.Generator) -> Pairs:
    """Return the neighbours of each of n latents (n, D), n at least 2.

    j is a neighbour of i if it is among i's 20 nearest and d <= 2 min(r_i, r_j, q90), where r is the distance of a
    latent to its nearest, and q90 what nine of ten of these do not exceed. So a state that was seen k < 21 times has
    no neighbours but its own observations, and one seen once has none, if other states are far enough. Distances are
    those of ``nearest``.

    n = 20,000 and D = 512 take about 15 s on one core.
    """
    places, squares = nearest(latents, NEIGHBOURS, rng)
    first = squares.min(axis=1)
    own = np.minimum(first, np.quantile(first, MOST_LATENTS))
    near = squares <= FARTHEST**2 * np.minimum(own[:, None], own[places])
    left, column = np.nonzero(near)
    return Pairs(left, places[left, column], np.sqrt(squares[left, column]))


def nearest(latents: NDArray[np.float32], count: int, rng: np.random.Generator) -> tuple[Indices, NDArray[np.float32]]:
    """Return which others lie nearest to each of n latents (n, D), and the squares of their distances, both (n, k).

    k is ``count``, or n - 1 if that is less. Distances up to a hundredth of the latents' root mean square norm count
    as that, and ties are broken at random. The nearest come first.
    """
    n, k = len(latents), min(count, len(latents) - 1)
    least = max(LEAST_DISTANCE**2 * float(np.mean(np.sum(np.float64(latents) ** 2, axis=1))), 1e-30)
    points = latents - latents.mean(axis=0)
    norms = np.sum(points**2, axis=1)
    places, squares = np.empty((n, k), np.int64), np.empty((n, k), np.float32)
    step = max(1, DISTANCES // n)
    for begin in range(0, n, step):
        rows = np.arange(begin, min(begin + step, n))
        between = norms[rows, None] + norms - 2 * points[rows] @ points.T
        np.maximum(between, np.float32(least), out=between)
        between *= 1 + np.float32(TIES) * rng.random(between.shape, np.float32)
        between[rows - begin, rows] = np.inf
        chosen = np.argpartition(between, k - 1, axis=1)[:, :k]
        found = np.take_along_axis(between, chosen, axis=1)
        order = np.argsort(found, axis=1)
        places[rows] = np.take_along_axis(chosen, order, axis=1)
        squares[rows] = np.take_along_axis(found, order, axis=1)
    return places, squares


class _Share(NamedTuple):
    """A share of P weighted pairs, each of which joins two episodes; all (P,)."""

    apart: NDArray[np.bool_]
    weights: NDArray[np.float64]
    left: Indices
    right: Indices

    def value(self) -> float:
        total = self.weights.sum()
        return float(self.weights @ self.apart / total) if total else float("nan")

    def influence(self, episodes: int) -> NDArray[np.float64]:
        """Return by how much the share would grow with the weight of each episode, (episodes,)."""
        rest = self.weights * (self.apart - self.value()) / self.weights.sum()
        both = np.bincount(self.left, rest, episodes) + np.bincount(self.right, rest, episodes)
        same = self.left == self.right
        return np.asarray(both - np.bincount(self.left[same], rest[same], episodes), np.float64)


def _ratio(near: _Share, random: _Share, episodes: Indices) -> tuple[float, Interval]:
    """Return the share of ``near`` over that of ``random``, and its 95% interval over episodes, all at most 1."""
    ratio, error = ratio_and_error(near, random, episodes)
    low, high = max(ratio - error, 0.0), min(ratio + error, 1.0)
    return min(ratio, 1.0), (min(low, 1.0), high) if np.isfinite(error) else UNKNOWN


def ratio_and_error(near: _Share, random: _Share, episodes: Indices) -> tuple[float, float]:
    """Return the share of ``near`` over that of ``random``, and half the width of its 95% interval; NaN if unknown.

    Both ends of a pair are of an episode that chance has drawn, and an observation may be next to many others (in 64
    dimensions a few are next to nearly all). So an episode counts with all pairs that it takes part in, from either
    side: its influence on the ratio. The interval is Student's, of the sum of these.
    """
    from scipy.special import stdtrit

    one, other = near.value(), random.value()
    if not (np.isfinite(one) and other > 0):
        return float("nan"), float("nan")
    ratio = one / other
    count = len(np.unique(episodes))
    if count == 1:
        return ratio, float("nan")
    width = int(episodes.max()) + 1
    influence = near.influence(width) / other - ratio * random.influence(width) / other
    return ratio, float(np.sqrt(count / (count - 1) * np.sum(influence**2)) * stdtrit(count - 1, 0.975))


def least_share(are: NDArray[np.bool_], counted: NDArray[np.bool_], episodes: Indices) -> float:
    """Return the lower end of the 95% interval over episodes of the share of the counted (N,) that ``are`` (N,)."""
    from scipy.special import stdtrit

    total, count = counted.sum(), len(np.unique(episodes[counted]))
    if count < 2:
        return float("nan")
    share = are[counted].mean()
    influence = np.bincount(episodes[counted], are[counted] - share) / total
    return float(share - np.sqrt(count / (count - 1) * np.sum(influence**2)) * stdtrit(count - 1, 0.975))
