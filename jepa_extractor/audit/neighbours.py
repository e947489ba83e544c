"""Which latents lie next to each other."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jepa_extractor.audit.collapse import LEAST_DISTANCE
from jepa_extractor.audit.separation import Indices

NEIGHBOURS = 20
FARTHEST = 2.0  # times the distance to the nearest of all
MOST_LATENTS = 0.9  # those that are not outliers
TIES = 1e-3  # squares of distances that differ by less are ties
DISTANCES = 2**24  # computed at once: 64 MiB


class Neighbours(NamedTuple):
    """P pairs of neighbours; a pair may be there twice, from the left and from the right."""

    left: Indices
    right: Indices
    distances: NDArray[np.float32]


def neighbours(latents: NDArray[np.float32], rng: np.random.Generator) -> Neighbours:
    """Return the neighbours of each of n latents (n, D), n at least 2.

    The neighbours of a latent are among its 20 nearest, and not farther from it than twice the distance from either of
    the two to its own nearest, nor than twice the distance that nine of ten latents have to theirs. So observations of
    a state that was seen less than 21 times have only each other as neighbours, and that of a state that was seen once
    has none, if other states are far enough. Distances up to a hundredth of the latents' root mean square norm count as
    that, and ties are broken at random.

    n = 20,000 and D = 512 take about 15 s on one core.
    """
    n, k = len(latents), min(NEIGHBOURS, len(latents) - 1)
    least = max(LEAST_DISTANCE**2 * float(np.mean(np.sum(np.float64(latents) ** 2, axis=1))), 1e-30)
    points = latents - latents.mean(axis=0)
    norms = np.sum(points**2, axis=1)
    nearest, squares = np.empty((n, k), np.int64), np.empty((n, k), np.float32)
    step = max(1, DISTANCES // n)
    for begin in range(0, n, step):
        rows = np.arange(begin, min(begin + step, n))
        between = norms[rows, None] + norms - 2 * points[rows] @ points.T
        np.maximum(between, np.float32(least), out=between)
        between *= 1 + np.float32(TIES) * rng.random(between.shape, np.float32)
        between[rows - begin, rows] = np.inf
        nearest[rows] = np.argpartition(between, k - 1, axis=1)[:, :k]
        squares[rows] = np.take_along_axis(between, nearest[rows], axis=1)
    first = squares.min(axis=1)
    own = np.minimum(first, np.quantile(first, MOST_LATENTS))
    near = squares <= FARTHEST**2 * np.minimum(own[:, None], own[nearest])
    left, place = np.nonzero(near)
    return Neighbours(left, nearest[left, place], np.sqrt(squares[left, place]))
