"""The networks on top of a latent: the latent transition, and the head of an auxiliary task."""

import torch
from torch import nn


def make_head(in_features: int, out_features: int, hidden: int = 256) -> nn.Sequential:
    """Return a perceptron (B, in_features) -> (B, out_features) with one hidden layer, LayerNorm and Mish.

    The hidden layer is that of the reference implementation of arXiv 2509.12249, at half its width.
    """
    return nn.Sequential(
        nn.Linear(in_features, hidden), nn.LayerNorm(hidden), nn.Mish(), nn.Linear(hidden, out_features)
    )


class LatentTransition(nn.Module):
    """``T(z, a)``: the latent that follows latent ``z`` after action ``a``.

    Args:
        latent_dim: width D of a latent.
        action_dim: width A of an action's features (a one-hot vector for a discrete action).
    """

    def __init__(self, latent_dim: int, action_dim: int) -> None:
        super().__init__()
        self.head = make_head(latent_dim + action_dim, latent_dim)

    def forward(self, latents: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Map latents (B, D) and action features (B, A), both float32, to the next latents (B, D)."""
        next_latents: torch.Tensor = self.head(torch.cat([latents, actions], dim=1))
        return next_latents
