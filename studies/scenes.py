"""Held-out images with everything that can be seen in them, and a decoder: do latents keep the places?"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from torch import nn

from counting_env import SHAPES, CountingEnv
from studies.measures import Labels, fit

EACH = 200  # scenes of each count
STEPS = 8  # of a rollout
BATCH = 32  # of the decoder
LEARNING_RATE = 2e-3
LEAST_BRIGHTNESS = 15  # of a pixel, 0 to 255, to be part of an object: half of the darkest colour
LEAST_AREA = 5  # pixels of an object: fewer are noise
NEAR = 3.0  # pixels between centres that count as the same place: the radius of an object


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


class Decoder(nn.Module):
    """From a latent (B, D), over a grid of 8 by 8 features, to an image (B, 3, 64, 64), about in [0, 1]."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(latent_dim, 32 * 8 * 8),
            nn.Unflatten(1, (32, 8, 8)),
            nn.Mish(),
            nn.Conv2d(32, 32, kernel_size=3, padding=1),
            nn.Mish(),
            nn.Conv2d(32, 64, kernel_size=3, padding=1),
            nn.Mish(),
            nn.Conv2d(64, 3 * 8 * 8, kernel_size=1),
            nn.PixelShuffle(8),  # without a sigmoid, with which it would learn black images and stay there
        )

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        """Map latents to images."""
        images: torch.Tensor = self.layers(latents)
        return images


def train_decoder(latents: NDArray[np.float32], images: NDArray[np.uint8], updates: int, seed: int) -> Decoder:
    """Return a decoder trained to reconstruct ``images`` (N, 3, 64, 64) from ``latents`` (N, D) of unit variance."""
    torch.manual_seed(seed)
    inputs, rng = torch.from_numpy(latents), np.random.default_rng(seed)

    def draw() -> tuple[torch.Tensor, torch.Tensor]:
        rows = rng.integers(len(images), size=BATCH)
        return inputs[rows], torch.from_numpy(images[rows]).float() / 255

    return fit(Decoder(latents.shape[1]), draw, updates, LEARNING_RATE)


@torch.no_grad()
def reconstruct(decoder: Decoder, latents: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the images (N, 3, 64, 64) that the decoder makes of ``latents``."""
    images = torch.cat([decoder(chunk) for chunk in torch.from_numpy(latents).split(BATCH)])
    rounded: NDArray[np.uint8] = (255 * images.clamp(0, 1)).round().to(torch.uint8).numpy()
    return rounded


def read_images(images: NDArray[np.uint8], scenes: Scenes) -> dict[str, float]:
    """Compare what ``images`` show with the scenes they should show.

    Objects are connected bright pixels: those above half of the image's brightness, which is that of its brightest
    pixels. It makes no error on real images.

    Returns:
        ``place``: share of the objects (missing and superfluous ones count as wrong) found within 3 pixels.
        ``distance``: pixels from the brightest point to the object, mean over the images that should show one object;
        about 30 by chance.
    """
    found, objects = 0, 0
    for image, count, places in zip(images, scenes.counts, scenes.positions, strict=True):
        brightness = image.max(axis=0)
        bright = brightness > max(LEAST_BRIGHTNESS, brightness.max() / 2)
        parts, number = ndimage.label(bright, structure=np.ones((3, 3)))
        areas = np.bincount(parts.ravel(), minlength=number + 1)
        boxes = [box for box, area in zip(ndimage.find_objects(parts), areas[1:], strict=True) if area >= LEAST_AREA]
        objects += max(len(boxes), count)
        if boxes and count:
            centres = [[(side.start + side.stop - 1) / 2 for side in box] for box in boxes]
            distances = cdist(centres, places[:count])
            found += int((distances[linear_sum_assignment(distances)] <= NEAR).sum())
    single = scenes.counts == 1
    brightest = images[single].max(axis=1).reshape(np.count_nonzero(single), -1).argmax(axis=1)
    points = np.stack(np.unravel_index(brightest, images.shape[2:]), axis=1)
    distance = float(np.linalg.norm(points - scenes.positions[single, 0], axis=1).mean())
    return {"place": found / max(objects, 1), "distance": distance}
