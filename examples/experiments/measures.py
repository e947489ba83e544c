"""How much of the dynamics and of values the latents of a finished encoder allow to predict."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from jepa_extractor import Episode, JEPAExtractor, TransitionRing

Floats = NDArray[np.float32]
UPDATES, BATCH, LEARNING_RATE = 1_000, 512, 4e-3  # of the perceptron


def dynamics_r2(extractor: JEPAExtractor, held_out: list[Episode]) -> float:
    """Return the share of the next latents' variance that the latent transition explains."""
    ring = TransitionRing.from_episodes(held_out, seed=0)
    with torch.no_grad():
        losses, latents = extractor.losses(ring.newest(len(ring)))
    variance = latents.encoded.flatten(0, 1).var(dim=0).mean().clamp(min=1e-12)
    return float(1 - losses["dynamics"] / variance)


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
    optimizer = torch.optim.Adam(read.parameters(), LEARNING_RATE)
    schedule = OneCycleLR(optimizer, LEARNING_RATE, total_steps=UPDATES + 1)
    for _ in range(UPDATES):
        batch = torch.randint(len(inputs), (BATCH,), generator=generator)
        optimizer.zero_grad()
        nn.functional.mse_loss(read(inputs[batch]), targets[batch]).backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        errors = (read(tests).numpy() - held_out_values) ** 2
    variances = held_out_values.var(axis=0)
    return np.where(variances > 0, 1 - errors.mean(axis=0) / np.maximum(variances, 1e-12), 1.0)
