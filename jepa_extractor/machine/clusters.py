"""Clusters of latents, their number found: the levels that last in the trees of two linkages."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]
Matrix = NDArray[np.float64]

SAMPLE = 1_500  # latents drawn at random into the trees
FAR = 500  # latents beside them, each far from all before it
LEAST_RATIO = 1.25  # of the heights between which a level exists; those that last less are none
FLOOR = 1e-3  # heights below this part of the largest count as this part


class Level(NamedTuple):
    """A number of clusters, in one of the trees.

    Attributes:
        ratio: of the heights between which the tree has so many clusters.
        clusters: how many.
        linkage: ``"ward"`` or ``"single"``.
    """

    ratio: float
    clusters: int
    linkage: str


@dataclass(frozen=True)
class Trees:
    """Trees of M latents, and which of them is nearest to each of N.

    Ward's joins compact clusters, whatever stray latent lies between two; single linkage joins chains, such as an
    encoder leaves that has not quite merged what it may merge.

    Attributes:
        latents: of the trees, float32 (M, D).
        nearest: for each of the N latents that of the trees that is nearest, (N,).
        merges: by linkage, as SciPy's ``linkage`` returns them, (M - 1, 4).
    """

    latents: Floats
    nearest: Numbers
    merges: dict[str, Matrix]

    def levels(self, most: int) -> list[Level]:
        """Return the levels with 2 to ``most`` clusters that last, the longest first.

        Each has clusters of two latents, on average, or more.
        """
        found = [level for linkage in self.merges for level in self._levels(linkage, most)]
        return sorted(found, key=lambda level: -level.ratio)

    def _levels(self, linkage: str, most: int) -> Iterator[Level]:
        heights = self.merges[linkage][:, 2]
        if not len(heights) or heights[-1] <= 0:
            return
        heights = np.maximum(heights, FLOOR * heights[-1])
        for clusters in range(2, min(most, len(self.latents) // 2) + 1):
            ratio = heights[-clusters + 1] / heights[-clusters]
            if ratio >= LEAST_RATIO:
                yield Level(float(ratio), clusters, linkage)

    def cut(self, level: Level) -> Numbers:
        """Return the cluster of each latent of the trees, (M,)."""
        from scipy.cluster.hierarchy import fcluster

        labels: Numbers = fcluster(self.merges[level.linkage], level.clusters, "maxclust").astype(np.int64) - 1
        return labels


def trees_of(latents: Floats, generator: np.random.Generator) -> Trees:
    """Return the trees of a sample of ``latents`` (N, D): some drawn at random, then those far from all others.

    So rare classes are in it too. The time is that of N * (SAMPLE + FAR) distances.
    """
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import pdist

    chosen = generator.permutation(len(latents))[:SAMPLE]
    if len(latents) > SAMPLE:
        _, distances = nearest_of(latents, latents[chosen])
        candidates = np.argsort(-distances, kind="stable")[: 20 * FAR]
        left, far = distances[candidates], []
        for _ in range(FAR):
            best = int(left.argmax())
            far.append(int(candidates[best]))
            left = np.minimum(left, np.linalg.norm(latents[candidates] - latents[far[-1]], axis=1))
        chosen = np.concatenate([chosen, far])
    kept = latents[np.sort(chosen)]
    nearest, _ = nearest_of(latents, kept)
    if len(kept) < 2:
        return Trees(kept, nearest, {})
    distances = pdist(kept.astype(np.float64))
    return Trees(kept, nearest, {name: linkage(distances, name) for name in ("ward", "single")})


def nearest_of(latents: Floats, others: Floats) -> tuple[Numbers, Floats]:
    """Return for each of ``latents`` (N, D) the nearest of ``others`` (M, D), (N,), and its distance, (N,)."""
    nearest = np.empty(len(latents), np.int64)
    distances = np.empty(len(latents), np.float32)
    squares = np.einsum("md,md->m", others, others)
    for rows in (slice(start, start + 4_096) for start in range(0, len(latents), 4_096)):
        nearest[rows] = (squares - 2.0 * latents[rows] @ others.T).argmin(1)
        distances[rows] = np.linalg.norm(latents[rows] - others[nearest[rows]], axis=1)
    return nearest, distances


class Prototypes(NamedTuple):
    """Latents by which nodes are known.

    Attributes:
        latents: float32 (P, D).
        nodes: of each, (P,), ascending.
    """

    latents: NDArray[np.float32]
    nodes: NDArray[np.int64]

    def nodes_of(self, latents: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the node of each of ``latents`` (n, D), (n,): that of the nearest prototype."""
        nearest, _ = nearest_of(latents, self.latents)
        return self.nodes[nearest]
