"""Small batches and latents for tests of objectives and networks."""

import numpy as np
import torch
from gymnasium import spaces

from jepa_extractor import Batch

IMAGE, VECTOR, ACTIONS = (
    spaces.Box(0, 255, (3, 36, 40), np.uint8),
    spaces.Box(-9, 9, (5,), np.float32),
    spaces.Discrete(2),
)
B, D = 12, 8


def rand(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def make_batch(horizon=1, space=IMAGE, seed=0):
    rng = np.random.default_rng(seed)
    shape = (B, horizon + 1, *space.shape)
    observations = rng.integers(0, 256, shape, np.uint8) if space is IMAGE else rng.normal(size=shape).astype("f")
    return Batch(
        torch.from_numpy(observations),
        torch.from_numpy(rng.integers(0, 2, (B, horizon))),
        torch.zeros(B, horizon),
        torch.zeros(B, horizon, dtype=torch.bool),
    )
