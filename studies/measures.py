"""What latents tell. Whatever is fitted, is fitted to some latents (N, D) and measured on others (M, D)."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import pairwise_distances_argmin
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from jepa_extractor import JEPA, Batch, Episode, TransitionRing
from jepa_extractor.audit import compare_classes

UPDATES, BATCH, LEARNING_RATE = 1_000, 512, 4e-3  # of the perceptron

Floats = NDArray[np.float32]
Labels = NDArray[np.integer]
Network = TypeVar("Network", bound=nn.Module)


@torch.no_grad()
def losses_and_variance(jepa: JEPA, batch: Batch) -> tuple[dict[str, float], float]:
    """Return the losses of a batch, and the variance of its latents, the mean over their numbers."""
    _, logs = jepa.eval().loss(batch)
    variance = logs.latents.flatten(0, 1).var(dim=0).mean()
    return {name: loss.item() for name, loss in logs.losses.items()}, variance.item()


def dynamics_r2(jepa: JEPA, held_out: list[Episode]) -> float:
    """Return the share of the next latents' variance that the latent transition explains."""
    ring = TransitionRing.from_episodes(held_out, seed=0)
    losses, variance = losses_and_variance(jepa, ring.newest(len(ring)))
    return 1 - losses["dynamics"] / max(variance, 1e-12)


def values_r2(latents: Floats, values: Floats, held_out: Floats, held_out_values: Floats, seed: int) -> Floats:
    """Return the share of each value's variance that a perceptron reads off held-out latents.

    Latents are centred and divided by their root mean square norm: from latents that collapsed, nothing can be read.

    Args:
        latents: of the training (N, D).
        values: of their states (N, k).
        held_out: latents (M, D).
        held_out_values: of their states (M, k).
        seed: seed of the perceptron and its batches.

    Returns:
        (k,), 1 for a value that does not vary.
    """
    generator = torch.Generator().manual_seed(seed)
    mean, scale = latents.mean(axis=0), np.sqrt(np.mean(np.sum(latents**2, axis=1)))
    inputs, tests = (torch.from_numpy((array - mean) / scale) for array in (latents, held_out))
    targets = torch.from_numpy(values)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        width, outputs = latents.shape[1], values.shape[1]
        read = nn.Sequential(nn.Linear(width, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, outputs))

    def draw() -> tuple[torch.Tensor, torch.Tensor]:
        rows = torch.randint(len(inputs), (BATCH,), generator=generator)
        return inputs[rows], targets[rows]

    fit(read, draw, UPDATES, LEARNING_RATE)
    with torch.no_grad():
        errors = (read(tests).numpy() - held_out_values) ** 2
    variances = held_out_values.var(axis=0)
    return np.where(variances > 0, 1 - errors.mean(axis=0) / np.maximum(variances, 1e-12), 1.0)


def fit(
    network: Network, draw: Callable[[], tuple[torch.Tensor, torch.Tensor]], updates: int, learning_rate: float
) -> Network:
    """Fit a network to the inputs and targets that ``draw`` returns, by squared error, and return it."""
    optimizer = torch.optim.Adam(network.parameters(), learning_rate)
    schedule = OneCycleLR(optimizer, learning_rate, total_steps=updates + 1)
    for _ in range(updates):
        inputs, targets = draw()
        optimizer.zero_grad()
        nn.functional.mse_loss(network(inputs), targets).backward()
        optimizer.step()
        schedule.step()
    return network


def probe(latents: NDArray[Any], labels: Labels, held_out: NDArray[Any], held_out_labels: Labels) -> float:
    """Return the accuracy of a linear probe. What has a negative label is left out."""
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2_000))
    fitted, shown = labels >= 0, held_out_labels >= 0
    return float(classifier.fit(latents[fitted], labels[fitted]).score(held_out[shown], held_out_labels[shown]))


def pairwise(latents: Floats, states: Labels, required: NDArray[np.bool_] | None = None) -> Mapping[str, float]:
    """Return the numbers of ``compare_classes`` on latents (N, D) of states (N,)."""
    return compare_classes(latents, states, required).numbers()


@torch.no_grad()
def read_walks(
    model: JEPA, first: Floats, actions: NDArray[np.int64], latents: Floats, counts: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Roll the latent transition out, without further observations, and read the count off each prediction.

    Args:
        model: the latent transition.
        first: latents of the first images (N, D).
        actions: (N, k).
        latents: of scenes (M, D).
        counts: of the scenes (M,), each from 0 to the largest.

    Returns:
        The counts whose mean latents are nearest to the predictions, (N, k).
    """
    predicted = model.unroll(torch.from_numpy(first), torch.from_numpy(actions)).numpy()
    means = np.stack([latents[counts == count].mean(axis=0) for count in range(counts.max() + 1)])
    read: NDArray[np.int64] = pairwise_distances_argmin(predicted.reshape(-1, predicted.shape[-1]), means)
    return read.reshape(actions.shape)
