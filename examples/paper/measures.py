"""Measures of what an encoder's latents keep. Each function takes latents of scenes that it was not trained on."""

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import HDBSCAN
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, silhouette_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from paper.scenes import Scenes

Latents = NDArray[np.floating]
Labels = NDArray[np.integer]


def clusters_found(latents: Latents, counts: Labels) -> int:
    """Return how many clusters HDBSCAN finds, given only that a cluster holds at least a third of a count's scenes."""
    least = len(latents) // (3 * len(np.unique(counts)))
    clusters = HDBSCAN(min_cluster_size=least, allow_single_cluster=True, copy=True).fit_predict(latents)
    return int(clusters.max() + 1)


def silhouette(latents: Latents, counts: Labels) -> float:
    """Return the silhouette of the counts, in [-1, 1]."""
    return float(silhouette_score(latents, counts))


def spread_ratio(latents: Latents, counts: Labels) -> float:
    """Return the spread within a count over the distance between neighbouring counts.

    Root mean square distance to the count's mean, over the mean distance between means of neighbouring counts.
    """
    means = np.stack([latents[counts == count].mean(axis=0) for count in np.unique(counts)])
    within = np.sqrt(np.mean(np.sum((latents - means[counts]) ** 2, axis=1)))
    between = np.mean(np.linalg.norm(np.diff(means, axis=0), axis=1))
    return float(within / between)


def probe(latents: Latents, labels: Labels, held_out: Latents, held_out_labels: Labels) -> tuple[float, float]:
    """Return the accuracy of a linear probe on held-out latents, and that of always guessing the commonest label."""
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2_000, C=1.0))
    accuracy = accuracy_score(held_out_labels, classifier.fit(latents, labels).predict(held_out))
    commonest = np.bincount(labels).argmax()
    return float(accuracy), float(np.mean(held_out_labels == commonest))


def brightest_channel(scenes: Scenes) -> Labels:
    """Return the channel in which the colour is brightest: 0, 1 or 2, (N,)."""
    return scenes.colors.argmax(axis=1)


def quadrant(scenes: Scenes) -> Labels:
    """Return the quadrant, 0 to 3, in which the mean of all centres lies, (N,); -1 for an empty scene."""
    present = scenes.positions[:, :, :1] >= 0
    number = present.sum(axis=(1, 2))
    centre = np.where(present, scenes.positions, 0).sum(axis=1) / np.maximum(number, 1)[:, None]
    below, right = (centre >= scenes.images.shape[-1] / 2).T
    return np.where(number > 0, 2 * below + right, -1)
