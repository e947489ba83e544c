"""Clusters of latents, their number found: levels of the single-linkage tree, and where it has the largest gap."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]

SAMPLE = 1_500  # latents drawn at random into the tree
FAR = 500  # latents beside them, each far from all before it
LEAST_GAP = 1.25  # ratio of two heights below which a level of the tree is no level
FLOOR = 1e-3  # heights below this part of the largest count as this part


@dataclass(frozen=True)
class Tree:
    """The single-linkage tree of M latents, and which of them is nearest to each of N.

    Attributes:
        latents: of the tree, float32 (M, D), no two of them equal.
        nearest: for each of the N latents that of the tree that is nearest, (N,).
        merges: as SciPy's ``linkage`` returns them, (M - 1, 4).
        repeats: whether each of the M was seen twice or more, on average, so that it may be a cluster of its own.
    """

    latents: Floats
    nearest: Numbers
    merges: NDArray[np.float64]
    repeats: bool

    @property
    def heights(self) -> NDArray[np.float64]:
        """The distances at which clusters meet, ascending, (M - 1,)."""
        heights: NDArray[np.float64] = self.merges[:, 2]
        return heights

    def levels(self, most: int) -> Iterator[tuple[int, float]]:
        """Yield numbers of clusters from 2 to ``most``, and the ratio of the heights between which each exists.

        Those whose ratio is less than ``LEAST_GAP`` are left out.
        """
        heights = np.maximum(self.heights, FLOOR * self.heights[-1])
        lower = np.append(FLOOR * self.heights[-1], heights)  # below the lowest height each latent is a cluster
        for clusters in range(2, min(most, len(self.latents) - (not self.repeats)) + 1):
            above, below = lower[-clusters + 1], lower[-clusters]
            if above >= LEAST_GAP * below:
                yield clusters, float(above / below)

    def cut(self, clusters: int) -> Numbers:
        """Return the cluster of each latent of the tree, (M,), where it has ``clusters`` of them."""
        from scipy.cluster.hierarchy import fcluster

        labels: Numbers = fcluster(self.merges, clusters, "maxclust").astype(np.int64) - 1
        return labels


def tree_of(latents: Floats, generator: np.random.Generator) -> Tree:
    """Return the tree of a sample of ``latents`` (N, D): some drawn at random, then those that are far from all others.

    So rare classes are in it too. The time is that of N * (SAMPLE + FAR) distances.
    """
    from scipy.cluster.hierarchy import linkage

    count = len(latents)
    drawn = np.sort(generator.permutation(count)[:SAMPLE])
    nearest, distances = nearest_of(latents, latents[drawn])
    chosen = list(drawn)
    if count > SAMPLE:
        far = np.argsort(-distances, kind="stable")[: 20 * FAR]  # candidates
        left = distances[far].copy()
        for _ in range(FAR):
            best = int(left.argmax())
            if left[best] == 0.0:
                break
            chosen.append(far[best])
            left = np.minimum(left, np.linalg.norm(latents[far] - latents[far[best]], axis=1))
    distinct = np.unique(latents[chosen], axis=0)
    nearest, _ = nearest_of(latents, distinct)
    merges = linkage(distinct.astype(np.float64), "single") if len(distinct) > 1 else np.zeros((0, 4))
    return Tree(distinct, nearest, merges, 2 * len(distinct) <= len(chosen))


def nearest_of(latents: Floats, others: Floats) -> tuple[Numbers, Floats]:
    """Return for each of ``latents`` (N, D) the nearest of ``others`` (M, D), (N,), and its distance, (N,)."""
    nearest = np.empty(len(latents), np.int64)
    distances = np.empty(len(latents), np.float32)
    squares = np.einsum("md,md->m", others, others)
    for rows in (slice(start, start + 4_096) for start in range(0, len(latents), 4_096)):
        part = squares - 2.0 * latents[rows] @ others.T
        nearest[rows] = part.argmin(1)
        distances[rows] = np.linalg.norm(latents[rows] - others[nearest[rows]], axis=1)
    return nearest, distances
