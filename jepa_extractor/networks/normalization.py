"""Normalisations of latents, encoded and predicted."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import nn

NormalizationName = Literal["none", "layer", "simnorm", "minmax"]
MakeNormalization = Callable[[int], nn.Module]  # latent_dim -> a module that maps latents to latents


class SimNorm(nn.Module):
    """Simplicial normalisation: a softmax over each group of 8 components (TD-MPC2, arXiv 2310.16828).

    Args:
        latent_dim: width D of a latent, a multiple of 8.
    """

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        if latent_dim % 8:
            raise ValueError(f"latent_dim={latent_dim} must be a multiple of 8 for normalization='simnorm'")

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        """Map latents (..., D) to latents in [0, 1] whose groups of 8 sum to 1."""
        return latents.reshape(*latents.shape[:-1], -1, 8).softmax(-1).flatten(-2)


class MinMax(nn.Module):
    """Scale each latent so that its smallest component is 0 and its largest 1, as SPR does (arXiv 2007.05929).

    Args:
        latent_dim: width D of a latent; it is not read.
    """

    def __init__(self, latent_dim: int) -> None:
        del latent_dim
        super().__init__()

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        """Map latents (..., D) to latents in [0, 1]; one whose components are all equal becomes 0."""
        least, largest = latents.amin(-1, keepdim=True), latents.amax(-1, keepdim=True)  # aminmax: torch 2.13 on
        return (latents - least) / (largest - least).clamp(min=1e-6)


NORMALIZATIONS: dict[str, MakeNormalization] = {
    "none": lambda _: nn.Identity(),
    "layer": nn.LayerNorm,
    "simnorm": SimNorm,
    "minmax": MinMax,
}
