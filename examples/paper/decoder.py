"""A decoder of frozen latents, and a reader of its images: which properties of a scene do the latents keep?"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from paper.scenes import Scenes

BATCH = 128
LEARNING_RATE = 2e-3
LEAST_BRIGHTNESS = 15  # of a pixel, 0 to 255, to be part of an object: half of the darkest colour
LEAST_AREA = 5  # pixels of an object: fewer are noise
NEAR = 3.0  # pixels between centres that count as the same place: the radius of an object
ALIKE = 30.0  # mean difference of colour channels, 0 to 255, that counts as the same colour


class Decoder(nn.Module):
    """From a latent (B, D), over a grid of 8 by 8 features, to an image (B, 3, 64, 64), about in [0, 1].

    Args:
        latents: those that it will be trained on, (N, D). It sees latents shifted and scaled by their mean and
            standard deviation, so that small latents are no disadvantage.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, latents: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", latents.mean(dim=0))
        self.register_buffer("std", latents.std(dim=0).mean() + 1e-12)
        self.layers = nn.Sequential(
            nn.Linear(latents.shape[1], 256),
            nn.LayerNorm(256),
            nn.Mish(),
            nn.Linear(256, 64 * 8 * 8),
            nn.Unflatten(1, (64, 8, 8)),
            nn.Mish(),
            nn.Conv2d(64, 64, kernel_size=3, padding=1),
            nn.Mish(),
            nn.Conv2d(64, 3 * 8 * 8, kernel_size=1),
            nn.PixelShuffle(8),  # without a sigmoid, with which it would learn black images and stay there
        )

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        """Map latents to images."""
        images: torch.Tensor = self.layers((latents - self.mean) / self.std)
        return images


def train_decoder(latents: NDArray[np.float32], images: NDArray[np.uint8], updates: int, seed: int) -> Decoder:
    """Return a decoder trained to reconstruct ``images`` (N, 3, 64, 64) from fixed ``latents`` (N, D)."""
    torch.manual_seed(seed)
    inputs = torch.from_numpy(latents)
    decoder = Decoder(inputs)
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
        ``count``: share of images with the right number of objects. ``place``: share of the objects (missing and
        superfluous ones count as wrong) found within 3 pixels. ``color``: share of the images that should and do show
        objects whose mean colour is within 30 levels. ``distance``: pixels from the brightest point to the object, mean
        over the images that should show one object; about 30 by chance.
    """
    counted, found, objects, colored, visible = 0, 0, 0, 0, 0
    for image, count, places, color in zip(images, scenes.counts, scenes.positions, scenes.colors, strict=True):
        brightness = image.max(axis=0)
        bright = brightness > max(LEAST_BRIGHTNESS, brightness.max() / 2)
        parts, number = ndimage.label(bright, structure=np.ones((3, 3)))
        areas = np.bincount(parts.ravel(), minlength=number + 1)
        kept = [part for part in range(1, number + 1) if areas[part] >= LEAST_AREA]
        counted += len(kept) == count
        objects += max(len(kept), count)
        if count:
            visible += 1
            if kept:
                boxes = [ndimage.find_objects(parts)[part - 1] for part in kept]
                centres = [[(side.start + side.stop - 1) / 2 for side in box] for box in boxes]
                distances = cdist(centres, places[:count])
                found += int((distances[linear_sum_assignment(distances)] <= NEAR).sum())
                colored += np.abs(image[:, bright].mean(axis=1) - color).mean() <= ALIKE
    single = scenes.counts == 1
    brightest = images[single].max(axis=1).reshape(np.count_nonzero(single), -1).argmax(axis=1)
    points = np.stack(np.unravel_index(brightest, images.shape[2:]), axis=1)
    distance = float(np.linalg.norm(points - scenes.positions[single, 0], axis=1).mean())
    return {
        "distance": distance,
        "count": counted / len(images),
        "place": found / max(objects, 1),
        "color": colored / max(visible, 1),
    }
