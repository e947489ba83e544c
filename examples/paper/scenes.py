"""Held-out images with everything that can be seen in them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counting_env import SHAPES, CountingEnv

EACH = 200  # scenes of each count
STEPS = 8  # of a rollout


@dataclass(frozen=True)
class Scenes:
    """N images and what they show."""

    images: NDArray[np.uint8]  # (N, 3, 64, 64)
    counts: NDArray[np.int64]  # (N,)
    shapes: NDArray[np.int64]  # (N,) number of the shape in SHAPES
    colors: NDArray[np.uint8]  # (N, 3)
    positions: NDArray[np.int64]  # (N, max_count, 2) row and column of each centre, -1 beyond the count


def make_scenes(max_count: int, seed: int) -> Scenes:
    """Return ``EACH`` fresh scenes of each count, in turn."""
    env = CountingEnv(target=0, max_count=max_count)
    env.reset(seed=seed)
    counts = np.tile(np.arange(max_count + 1), EACH)
    images, infos = zip(*(env.reset(options={"count": int(count)}) for count in counts), strict=True)
    return Scenes(
        images=np.ascontiguousarray(np.moveaxis(np.stack(images), -1, 1)),
        counts=counts,
        shapes=np.array([SHAPES.index(info["shape"]) for info in infos]),
        colors=np.stack([info["color"] for info in infos]),
        positions=np.stack([info["positions"] for info in infos]),
    )


def random_walks(max_count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """Return first images (N, 3, 64, 64), random actions (N, STEPS) and the counts (N, STEPS) after each."""
    env = CountingEnv(max_count=max_count, target=0, terminate_on_target=False)
    env.reset(seed=seed)
    rng = np.random.default_rng(seed)
    actions = rng.integers(2, size=(EACH * (max_count + 1) // 2, STEPS))
    images, counts = [], np.empty_like(actions)
    for walk, row in enumerate(actions):
        images.append(env.reset(options={"count": walk % (max_count + 1)})[0])
        counts[walk] = [env.step(int(action))[-1]["count"] for action in row]
    return np.ascontiguousarray(np.moveaxis(np.stack(images), -1, 1)), actions, counts
