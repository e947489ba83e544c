"""Measures that show whether latents have collapsed."""

import warnings

import numpy as np
from numpy.typing import NDArray


def latent_std(latents: NDArray[np.floating]) -> float:
    """Return the standard deviation over the batch, averaged over components, of latents (B, D)."""
    return float(latents.std(axis=0).mean())


def random_pair_distance(latents: NDArray[np.floating]) -> float:
    """Return the root mean square distance of random pairs of latents (N, D)."""
    return float(np.sqrt(2 * np.sum(np.var(np.float64(latents), axis=0))))


def warn_if_dead(latents: NDArray[np.floating], when: str) -> None:
    """Warn if latents (B, D) of different observations are all equal, up to rounding.

    A collapse by training leaves differences that are small, but far above rounding (2e-4 for dynamics alone). Latents
    that are equal to the last bits come from units that no longer react to any input, and so get no gradient either.
    """
    if len(latents) > 1 and np.ptp(latents, axis=0).max() <= 1e-6 * max(np.abs(latents).max(), 1e-30):
        warnings.warn(
            f"all latents are equal {when}: the encoder no longer reacts to its input and cannot recover; lower the "
            "learning rate, clip the gradient (max_grad_norm), or draw more rewarded transitions (rewarded_fraction)",
            stacklevel=2,
        )


def effective_rank(latents: NDArray[np.floating]) -> float:
    """Return the effective rank of latents (B, D), in [1, D], or 0 if they are all equal.

    ``exp(H(p))`` with H the Shannon entropy and ``p`` the singular values of the centred matrix divided by
    their sum (Roy and Vetterli, EUSIPCO 2007). RankMe (Garrido et al. 2023) does not centre.
    """
    singular = np.linalg.svd(latents - latents.mean(axis=0), compute_uv=False)
    if singular.sum() == 0:
        return 0.0
    p = singular / singular.sum()
    p = p[p > 0]
    return float(np.exp(-(p * np.log(p)).sum()))


def nearest_centroid_accuracy(
    latents: NDArray[np.floating],
    labels: NDArray[np.generic],
    held_out_latents: NDArray[np.floating],
    held_out_labels: NDArray[np.generic],
) -> float:
    """Return the share of held-out latents (M, D) whose nearest class mean is that of their label (M,).

    The class means come from ``latents`` (N, D) and ``labels`` (N,). Ties, as between collapsed classes, go
    to the lowest label. (scikit-learn's NearestCentroid rejects latents of zero variance, the very case to measure.)
    """
    from sklearn.metrics import pairwise_distances_argmin  # scikit-learn is loaded where it is needed

    names, members = np.unique(labels, return_inverse=True)
    centroids = np.stack([latents[members == i].mean(axis=0) for i in range(len(names))])
    return float(np.mean(names[pairwise_distances_argmin(held_out_latents, centroids)] == held_out_labels))


def kmeans_rand_index(latents: NDArray[np.floating], classes: NDArray[np.generic]) -> float:
    """Return the adjusted Rand index between ``classes`` (N,) and k-means on latents (N, D) with as many clusters.

    1 is perfect, 0 is chance. If there are fewer distinct latents than classes, each is a cluster.
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score

    clusters = min(len(np.unique(classes)), len(np.unique(latents, axis=0)))
    found = KMeans(clusters, n_init=10, random_state=0).fit_predict(latents)
    return float(adjusted_rand_score(classes, found))
