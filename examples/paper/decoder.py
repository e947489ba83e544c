"""A decoder of frozen latents, and a reader of its images: do the latents keep the places?"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from paper.scenes import Scenes

BATCH = 32
LEARNING_RATE = 2e-3
LEAST_BRIGHTNESS = 15  # of a pixel, 0 to 255, to be part of an object: half of the darkest colour
LEAST_AREA = 5  # pixels of an object: fewer are noise
NEAR = 3.0  # pixels between centres that count as the same place: the radius of an object


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
    inputs = torch.from_numpy(latents)
    decoder = Decoder(latents.shape[1])
    optimizer = torch.optim.Adam(decoder.parameters(), LEARNING_RATE)
    schedule = OneCycleLR(optimizer, LEARNING_RATE, total_steps=updates + 1)
    rng = np.random.default_rng(seed)
    for _ in range(updates):
        rows = rng.integers(len(images), size=BATCH)
        loss = nn.functional.mse_loss(decoder(inputs[rows]), torch.from_numpy(images[rows]).float() / 255)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return decoder


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
