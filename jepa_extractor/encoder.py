"""Encoders: observations (B, ...) to latents (B, D). Each is built from an observation's shape and D."""

from collections.abc import Callable
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.preprocessing import get_flattened_obs_dim, is_image_space_channels_first
from torch import nn

from jepa_extractor.checks import require_choice

GROUPS = 8  # channels are normalised in groups: no running statistics that auxiliary batches could change
LEAST_SIZE = 32  # pixels of height and width that the convolutions need


class PooledEncoder(nn.Module):
    """A small convolutional network that averages over positions, so that place is easy to forget.

    8x8/4 convolution to 16 channels, 3x3/2 to 32, 3x3 to 64, the mean over all positions, two linear layers;
    GroupNorm after each convolution but the last. About 2 million multiply-adds for a 64x64 image.

    Args:
        in_channels: channels of the image.
        latent_dim: width D of the latent.
    """

    def __init__(self, in_channels: int, latent_dim: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(in_channels, 16, kernel_size=8, stride=4),
            nn.GroupNorm(GROUPS, 16),
            nn.ReLU(),
            nn.Conv2d(16, 32, kernel_size=3, stride=2),
            nn.GroupNorm(GROUPS, 32),
            nn.ReLU(),
            nn.Conv2d(32, 64, kernel_size=3, padding=1),
            nn.ReLU(),
        )
        self.linear = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, latent_dim))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map float32 images (B, C, H, W) in [0, 1], at least 32 pixels high and wide, to latents (B, D)."""
        features: torch.Tensor = self.convolutions(images).mean(dim=(2, 3))
        latents: torch.Tensor = self.linear(features)
        return latents


class MLPEncoder(nn.Module):
    """A perceptron with two hidden layers of 128, LayerNorm and ReLU, for observations that are no images.

    Args:
        in_features: numbers in a preprocessed, flattened observation.
        latent_dim: width D of the latent.
    """

    def __init__(self, in_features: int, latent_dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(in_features, 128),
            nn.LayerNorm(128),
            nn.ReLU(),
            nn.Linear(128, 128),
            nn.LayerNorm(128),
            nn.ReLU(),
            nn.Linear(128, latent_dim),
        )

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """Map float32 observations (B, ...) to latents (B, D)."""
        latents: torch.Tensor = self.layers(observations)
        return latents


def make_encoder(name: str, observation_space: spaces.Space[Any], latent_dim: int) -> nn.Module:
    """Return the encoder ``name`` for preprocessed observations of ``observation_space``.

    Raises:
        ValueError: the name is unknown, or the encoder cannot take such observations.
    """
    require_choice("encoder", name, ENCODERS)
    return ENCODERS[name](observation_space, latent_dim)


def _pooled(observation_space: spaces.Space[Any], latent_dim: int) -> nn.Module:
    return PooledEncoder(_channels("pooled", observation_space, LEAST_SIZE), latent_dim)


def _mlp(observation_space: spaces.Space[Any], latent_dim: int) -> nn.Module:
    if isinstance(observation_space, spaces.Dict | spaces.Tuple):
        raise ValueError(
            f"observation_space={observation_space} is composed of several: flatten it, for instance with "
            "gymnasium.wrappers.FlattenObservation"
        )
    return MLPEncoder(get_flattened_obs_dim(observation_space), latent_dim)


def _channels(encoder: str, space: spaces.Space[Any], least_size: int) -> int:
    """Return the number of channels of an image space, or say why it is none that ``encoder`` takes."""
    if not isinstance(space, spaces.Box) or len(space.shape) != 3:
        raise ValueError(
            f"observation_space={space} is not an image: encoder={encoder!r} takes a Box of shape (channels, height, "
            "width); for flat vectors use encoder='mlp'"
        )
    if not is_image_space_channels_first(space):
        raise ValueError(
            f"observation_space={space} has its channels last: wrap the environment in stable_baselines3.common."
            "vec_env.VecTransposeImage, as Stable-Baselines3's algorithms do by themselves"
        )
    if min(space.shape[1:]) < least_size:
        raise ValueError(
            f"observation_space={space} is too small: encoder={encoder!r} takes images of at least "
            f"{least_size} x {least_size} pixels"
        )
    return space.shape[0]


ENCODERS: dict[str, Callable[[spaces.Space[Any], int], nn.Module]] = {"pooled": _pooled, "mlp": _mlp}
