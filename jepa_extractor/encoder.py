"""Encoders: observations to latents. Each takes (in_channels, latent_dim) and maps (B, C, H, W) to (B, D)."""

import torch
from torch import nn

HIDDEN = 64  # channels and units inside the encoder
GROUPS = 8  # channels are normalised in groups: no running statistics that auxiliary batches could change


class PooledEncoder(nn.Module):
    """A small convolutional network that averages over positions, so that place is easy to forget.

    8x8/4 convolution, 3x3/2, 3x3, the mean over all positions, two linear layers; GroupNorm after each
    convolution but the last. About 4 million multiply-adds for a 64x64 image.

    Args:
        in_channels: channels of the image.
        latent_dim: width D of the latent.
    """

    least_size = 32  # pixels of height and width that the convolutions need

    def __init__(self, in_channels: int, latent_dim: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(in_channels, HIDDEN // 2, kernel_size=8, stride=4),
            nn.GroupNorm(GROUPS, HIDDEN // 2),
            nn.ReLU(),
            nn.Conv2d(HIDDEN // 2, HIDDEN, kernel_size=3, stride=2),
            nn.GroupNorm(GROUPS, HIDDEN),
            nn.ReLU(),
            nn.Conv2d(HIDDEN, HIDDEN, kernel_size=3, padding=1),
            nn.ReLU(),
        )
        self.linear = nn.Sequential(nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, latent_dim))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map float32 images (B, C, H, W) in [0, 1], at least 32 pixels high and wide, to latents (B, D)."""
        features: torch.Tensor = self.convolutions(images).mean(dim=(2, 3))
        latents: torch.Tensor = self.linear(features)
        return latents


ENCODERS = {"pooled": PooledEncoder}
