"""Encoders: observations (B, ...) to latents (B, D). Each is built from an observation's shape and D."""

import itertools
from collections.abc import Callable
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.preprocessing import get_flattened_obs_dim, is_image_space, is_image_space_channels_first
from stable_baselines3.common.torch_layers import NatureCNN
from torch import nn

from jepa_extractor.checks import require_choice

LEAST_SIZE = 32  # pixels of height and width that the convolutions need
NATURE_LEAST_SIZE = 36  # below, the last convolution of NatureCNN has no input left


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of each position.

    A position does not see the others through it, so what lies at several positions still adds up in their mean;
    and there are no running statistics that auxiliary batches could change.
    """

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Normalise features (B, C, H, W) over C."""
        return super().forward(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class PooledEncoder(nn.Module):
    """A small convolutional network that averages over positions, so that place is easy to forget.

    7x7/3 convolution to 16 channels, 3x3/2 to 32, 3x3 to 64, each padded, so that objects at the border count in
    full; the mean over all positions; two linear layers. ``ChannelNorm`` after each convolution but the last.
    About 3.9 million multiply-adds for a 64x64 image.

    Args:
        in_channels: channels of the image.
        latent_dim: width D of the latent.
    """

    def __init__(self, in_channels: int, latent_dim: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(in_channels, 16, kernel_size=7, stride=3, padding=3),
            ChannelNorm(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, kernel_size=3, stride=2, padding=1),
            ChannelNorm(32),
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


class NatureEncoder(nn.Module):
    """Stable-Baselines3's own ``NatureCNN``, whose features keep their places, and a linear layer.

    Args:
        observation_space: an image space, channels first.
        latent_dim: width D of the latent.
    """

    def __init__(self, observation_space: spaces.Box, latent_dim: int) -> None:
        super().__init__()
        # whether pixels lie in 0..255 or in 0..1 is none of its business
        self.convolutions = NatureCNN(observation_space, normalized_image=True)
        self.linear = nn.Linear(self.convolutions.features_dim, latent_dim)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map float32 images (B, C, H, W) in [0, 1], at least 36 pixels high and wide, to latents (B, D)."""
        latents: torch.Tensor = self.linear(self.convolutions(images))
        return latents


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions without normalisation, added to their input (He et al., CVPR 2016).

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output; where they differ, height and width are halved.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        stride = 1 if in_channels == out_channels else 2
        self.residual = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1),
        )
        self.skip = nn.Identity() if stride == 1 else nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map features (B, C, H, W) to (B, out_channels, H, W) or half the height and width."""
        return torch.relu(self.skip(features) + self.residual(features))


class ResNetEncoder(nn.Module):
    """The encoder of the reference implementation of arXiv 2509.12249; far too slow to train on a CPU.

    7x7/2 convolution, max-pool, four stages of eight residual blocks (32, 64, 128 and 256 channels) without
    normalisation, the mean over all positions, one linear layer: 12.3 million parameters.

    Args:
        in_channels: channels of the image.
        latent_dim: width D of the latent.
    """

    def __init__(self, in_channels: int, latent_dim: int) -> None:
        super().__init__()
        widths = (32, 64, 128, 256)
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, widths[0], kernel_size=7, stride=2, padding=3),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
        )
        inputs = [widths[0], *(width for width in widths for _ in range(8))]
        self.blocks = nn.Sequential(*(ResidualBlock(*pair) for pair in itertools.pairwise(inputs)))
        self.linear = nn.Linear(widths[-1], latent_dim)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map float32 images (B, C, H, W) in [0, 1], at least 32 pixels high and wide, to latents (B, D)."""
        features: torch.Tensor = self.blocks(self.stem(images)).mean(dim=(2, 3))
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
    return PooledEncoder(_image_space("pooled", observation_space, LEAST_SIZE).shape[0], latent_dim)


def _nature(observation_space: spaces.Space[Any], latent_dim: int) -> nn.Module:
    return NatureEncoder(_image_space("nature", observation_space, NATURE_LEAST_SIZE), latent_dim)


def _resnet(observation_space: spaces.Space[Any], latent_dim: int) -> nn.Module:
    return ResNetEncoder(_image_space("resnet", observation_space, LEAST_SIZE).shape[0], latent_dim)


def _identity(observation_space: spaces.Space[Any], latent_dim: int) -> nn.Module:
    size = _flat_size(observation_space)
    if size != latent_dim:
        raise ValueError(
            f"latent_dim={latent_dim} must be {size} for encoder='identity': the observation is the latent"
        )
    return nn.Flatten()


def _mlp(observation_space: spaces.Space[Any], latent_dim: int) -> nn.Module:
    return MLPEncoder(_flat_size(observation_space), latent_dim)


def _flat_size(observation_space: spaces.Space[Any]) -> int:
    """Return how many numbers a preprocessed observation has."""
    if isinstance(observation_space, spaces.Dict | spaces.Tuple):
        raise ValueError(
            f"observation_space={observation_space} is composed of several: flatten it, for instance with "
            "gymnasium.wrappers.FlattenObservation"
        )
    return get_flattened_obs_dim(observation_space)


def _image_space(encoder: str, space: spaces.Space[Any], least_size: int) -> spaces.Box:
    """Return ``space``, or say why it is no image space that ``encoder`` takes."""
    if not isinstance(space, spaces.Box) or len(space.shape) != 3:
        raise ValueError(
            f"observation_space={space} is not an image: encoder={encoder!r} takes a Box of shape (channels, height, "
            "width); for flat vectors use encoder='mlp'"
        )
    if not is_image_space_channels_first(space):
        mend = "wrap the environment in stable_baselines3.common.vec_env.VecTransposeImage"
        if not is_image_space(space):  # Stable-Baselines3 moves the channels of nothing else
            mend = "move them to the front, or make the image one of dtype uint8 with values from 0 to 255"
        raise ValueError(f"observation_space={space} has its channels last: {mend}")
    if min(space.shape[1:]) < least_size:
        raise ValueError(
            f"observation_space={space} is too small: encoder={encoder!r} takes images of at least "
            f"{least_size} x {least_size} pixels"
        )
    return space


ENCODERS: dict[str, Callable[[spaces.Space[Any], int], nn.Module]] = {
    "pooled": _pooled,
    "nature": _nature,
    "resnet": _resnet,
    "mlp": _mlp,
    "identity": _identity,
}
