"""The networks on top of a latent: the latent transition, and the heads of auxiliary tasks."""

import torch
from torch import nn

from jepa_extractor.batch import Tensors
from jepa_extractor.ema import MovingAverage


def make_head(in_features: int, out_features: int, hidden: int = 256) -> nn.Sequential:
    """Return a perceptron (..., in_features) -> (..., out_features): one hidden layer, LayerNorm and Mish.

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


class QHead(nn.Module):
    """A network for action values, and a moving average of it.

    Args:
        in_features: width of the input.
        out_features: number of values.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.head = make_head(in_features, out_features)
        self.average = MovingAverage(self.head)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map (..., in_features) to values (..., out_features)."""
        values: torch.Tensor = self.head(inputs)
        return values

    def target_values(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map (..., in_features) to the averaged network's values (..., out_features), without gradient."""
        values: torch.Tensor = self.average(self.head, inputs)
        return values

    def update_target(self) -> None:
        """Move the average towards the head."""
        self.average.update(self.head)


class RandomMapHead(nn.Module):
    """A head that predicts a fixed linear map of the observation, together with that map.

    A generator of its own draws the map from ``seed``, so the map is not saved but drawn again.

    Args:
        latent_dim: width D of a latent.
        in_features: numbers in one preprocessed observation, after flattening.
        out_features: numbers that the map yields.
        seed: seed of the map.
    """

    weights: torch.Tensor

    def __init__(self, latent_dim: int, in_features: int, out_features: int, seed: int) -> None:
        super().__init__()
        self.head = make_head(latent_dim, out_features)
        generator = torch.Generator().manual_seed(seed)
        weights = torch.randn(in_features, out_features, generator=generator) / in_features**0.5
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        """Map latents (..., D) to predictions (..., out_features)."""
        predictions: torch.Tensor = self.head(latents)
        return predictions

    def target(self, observations: Tensors) -> torch.Tensor:
        """Map preprocessed observations (B, k, ...) to the targets of the head, (B, k, out_features)."""
        parts = list(observations.values()) if isinstance(observations, dict) else [observations]
        return torch.cat([part.flatten(2) for part in parts], dim=-1) @ self.weights
