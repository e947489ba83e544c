"""What latents tell. Each function is fitted to some latents (N, D) and measured on others (M, D)."""

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.optim.lr_scheduler import OneCycleLR

from jepa_extractor import make_head
from paper.scenes import Scenes

UPDATES, BATCH, LEARNING_RATE = 500, 256, 4e-3  # of the perceptron

Latents = NDArray[np.floating]
Labels = NDArray[np.integer]


def r2(latents: Latents, values: Latents, held_out: Latents, held_out_values: Latents, seed: int) -> float:
    """Return the share of the variance of ``held_out_values`` (M, k) that a perceptron reads off ``held_out``.

    Args:
        latents: of about unit variance.
        values: what to read off them, (N, k).
        held_out: latents.
        held_out_values: what should be read off them.
        seed: seed of the perceptron and its batches.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    mean, scale = values.mean(axis=0), values.std(axis=0).mean()
    inputs, targets = torch.from_numpy(latents), torch.from_numpy((values - mean) / scale)
    head = make_head(latents.shape[1], values.shape[1])
    optimizer = torch.optim.Adam(head.parameters(), LEARNING_RATE)
    schedule = OneCycleLR(optimizer, LEARNING_RATE, total_steps=UPDATES + 1)
    for _ in range(UPDATES):
        rows = rng.integers(len(inputs), size=BATCH)
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(head(inputs[rows]), targets[rows]).backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        read = mean + scale * head(torch.from_numpy(held_out)).numpy()
    return float(1 - np.mean((read - held_out_values) ** 2) / held_out_values.var(axis=0).mean())


def probe(latents: Latents, labels: Labels, held_out: Latents, held_out_labels: Labels) -> float:
    """Return the accuracy of a linear probe. Scenes whose label is negative are left out."""
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2_000))
    fitted, shown = labels >= 0, held_out_labels >= 0
    return float(classifier.fit(latents[fitted], labels[fitted]).score(held_out[shown], held_out_labels[shown]))


def shape(scenes: Scenes) -> Labels:
    """Return the shape's number in ``counting_env.SHAPES``, (N,); -1 for an empty scene."""
    return np.where(scenes.counts > 0, scenes.shapes, -1)


def quadrant(scenes: Scenes) -> Labels:
    """Return the quadrant, 0 to 3, in which the mean of all centres lies, (N,); -1 for an empty scene."""
    present = scenes.positions[:, :, :1] >= 0
    number = present.sum(axis=(1, 2))
    centre = np.where(present, scenes.positions, 0).sum(axis=1) / np.maximum(number, 1)[:, None]
    below, right = (centre >= scenes.images.shape[-1] / 2).T
    return np.where(number > 0, 2 * below + right, -1)
