"""Random changes of the images that the auxiliary losses see; the policy sees them as they are."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from gymnasium import spaces
from torch import nn

from jepa_extractor.checks import require_integer, require_positive, shown
from jepa_extractor.data.batch import Tensors
from jepa_extractor.data.spaces import is_image
from jepa_extractor.objectives.draws import Draws

# images float32 (N, C, H, W) on their device, and a generator on the CPU -> images of the same shape
Augment = Callable[[torch.Tensor, torch.Generator], torch.Tensor]
AugmentName = Literal["shift", "intensity"]


class RandomShift:
    """Shift each image by up to ``pad`` pixels in both axes; what comes in repeats the border (DrQ, arXiv 2004.13649).

    The same as padding by ``pad`` with the border's pixels and cropping at random. Called with images (N, C, H, W) and
    a ``torch.Generator`` on the CPU, it returns images of that shape and dtype.

    Args:
        pad: pixels, at least 1; 4 in SPR and MR.Q, 3 in TD-MPC2.

    Raises:
        ValueError: ``pad`` is not an integer of at least 1.
    """

    def __init__(self, pad: int = 4) -> None:
        require_integer("pad", pad, least=1)
        self.pad = pad

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return shifted images (N, C, H, W), their channels last in memory."""
        count, channels, height, width = images.shape
        shifts = torch.randint(-self.pad, self.pad + 1, (2, count, 1), generator=generator).to(images.device)
        rows, columns = (
            (shift + torch.arange(size, device=images.device)).clamp(0, size - 1)
            for shift, size in zip(shifts, (height, width), strict=True)
        )
        first = height * width * torch.arange(count, device=images.device)  # pixel of each image
        chosen = first[:, None, None] + width * rows[:, :, None] + columns[:, None, :]
        pixels = images.permute(0, 2, 3, 1).reshape(-1, channels)
        shifted = pixels.index_select(0, chosen.flatten())  # faster than an index in three dimensions
        return shifted.reshape(count, height, width, channels).permute(0, 3, 1, 2)


class RandomIntensity:
    """Multiply each image by ``1 + scale * n``, where n is normal and cut off at -2 and 2 (SPR, arXiv 2007.05929).

    Called with float images (N, C, H, W) and a ``torch.Generator`` on the CPU, it returns images of that shape, which
    may exceed 1.

    Args:
        scale: standard deviation of the factor before the cut, positive.

    Raises:
        ValueError: ``scale`` is not a positive number.
    """

    def __init__(self, scale: float = 0.05) -> None:
        require_positive("scale", scale)
        self.scale = scale

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return brighter or darker images (N, C, H, W)."""
        noise = torch.randn(len(images), 1, 1, 1, generator=generator).clamp(-2, 2).to(images.device)
        return images * (1 + self.scale * noise)


AUGMENTATIONS: dict[str, Callable[[], Augment]] = {"shift": RandomShift, "intensity": RandomIntensity}


class Augmentation(nn.Module):
    """Changes every image of preprocessed observations, each by draws of its own; other observations stay.

    Args:
        augmentation: names or ``Augment`` callables, applied in turn.
        observation_space: before it is preprocessed.

    Raises:
        ValueError: ``augmentation`` is not a sequence of these.
    """

    def __init__(self, augmentation: Sequence[AugmentName | Augment], observation_space: spaces.Space[object]) -> None:
        super().__init__()
        if isinstance(augmentation, str) or not isinstance(augmentation, Sequence):
            raise ValueError(f"augmentation={shown(augmentation)} is not a sequence: give a tuple, as in ('shift',)")
        self.augments = tuple(_make_augment(entry) for entry in augmentation)
        self._space = observation_space
        if self.augments:
            self.draws = Draws()

    def forward(self, observations: Tensors) -> Tensors:
        """Return observations (B, k + 1, ...) whose images are changed."""
        if not self.augments:
            return observations
        generator = self.draws.generator()
        if isinstance(observations, dict):
            assert isinstance(self._space, spaces.Dict)
            return {key: self._changed(part, self._space[key], generator) for key, part in observations.items()}
        return self._changed(observations, self._space, generator)

    def update(self) -> None:
        """Go on to the draws of the next update."""
        if self.augments:
            self.draws.update()

    def _changed(self, frames: torch.Tensor, space: spaces.Space[object], generator: torch.Generator) -> torch.Tensor:
        if not is_image(space):
            return frames
        images = frames.flatten(0, 1)
        for augment in self.augments:
            images = augment(images, generator)
        return images.reshape(*frames.shape[:2], *images.shape[1:])


def _make_augment(entry: object) -> Augment:
    if isinstance(entry, str) and entry in AUGMENTATIONS:
        return AUGMENTATIONS[entry]()
    if not callable(entry):
        raise ValueError(
            f"augmentation={shown(entry)} is unknown: choose among {', '.join(AUGMENTATIONS)}, or give a callable "
            "(images, generator) -> images"
        )
    return entry
