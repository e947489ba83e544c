"""The networks on top of a latent: the latent transition, and the heads of auxiliary tasks."""

from itertools import pairwise
from typing import Literal

import torch
from torch import nn

from jepa_extractor.checks import require_choice, require_integer, require_positive
from jepa_extractor.data.batch import Tensors
from jepa_extractor.networks.copies import MovingAverage


def make_head(in_features: int, out_features: int, hidden: int = 256, layers: int = 1) -> nn.Sequential:
    """Return a perceptron (..., in_features) -> (..., out_features): hidden layers with LayerNorm and Mish.

    The one hidden layer is that of the reference implementation of arXiv 2509.12249, at half its width.

    Args:
        in_features: width of the input, at least 1.
        out_features: width of the output, at least 1.
        hidden: width of each hidden layer, at least 1.
        layers: number of hidden layers, at least 1.

    Returns:
        A module that maps float32 (..., in_features) to float32 (..., out_features).

    Raises:
        ValueError: ``hidden`` or ``layers`` is not an integer of at least 1.
    """
    require_integer("hidden", hidden, least=1)
    require_integer("layers", layers, least=1)
    widths = [in_features, *[hidden] * layers]
    parts = [
        part
        for width, following in pairwise(widths)
        for part in (nn.Linear(width, following), nn.LayerNorm(following), nn.Mish())
    ]
    return nn.Sequential(*parts, nn.Linear(hidden, out_features))


class LatentTransition(nn.Module):
    """``T(z, a)``: the latent that follows latent ``z`` after action ``a``.

    Args:
        latent_dim: width D of a latent.
        action_dim: width A of an action's features (a one-hot vector for a discrete action).
        hidden: width of each hidden layer.
        layers: number of hidden layers.
    """

    def __init__(self, latent_dim: int, action_dim: int, hidden: int = 256, layers: int = 1) -> None:
        super().__init__()
        self.head = make_head(latent_dim + action_dim, latent_dim, hidden, layers)

    def forward(self, latents: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Map latents (B, D) and action features (B, A), both float32, to the next latents (B, D)."""
        next_latents: torch.Tensor = self.head(torch.cat([latents, actions], dim=1))
        return next_latents


class NumberHead(nn.Sequential):
    """A perceptron that predicts a number, and its squared error.

    Args:
        in_features: width of the input.
        hidden: width of each hidden layer.
        layers: number of hidden layers.
        outputs: width of the last layer.
    """

    def __init__(self, in_features: int, hidden: int = 256, layers: int = 1, outputs: int = 1) -> None:
        super().__init__(*make_head(in_features, outputs, hidden, layers))

    def outputs(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map (..., in_features) to what the last layer puts out, (..., outputs); ``forward`` returns the number."""
        for layer in self:
            inputs = layer(inputs)
        return inputs

    def errors(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the error at each of ``inputs`` (..., in_features), against ``targets`` (...)."""
        return (self.outputs(inputs).squeeze(-1) - targets).square()


class BinaryHead(NumberHead):
    """A perceptron that predicts the probability of an event, and its cross-entropy; see ``NumberHead``."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map (..., in_features) to probabilities (..., 1)."""
        return self.outputs(inputs).sigmoid()

    def errors(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the cross-entropy at each of ``inputs`` (..., in_features), against ``targets`` (...) in [0, 1]."""
        logits = self.outputs(inputs).squeeze(-1)
        return nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")


class TwoHotHead(NumberHead):
    """A perceptron that predicts a number as a distribution over bins, and its cross-entropy.

    A target is shared out between the two bins next to it, the nearer one gets more. The bins are even in
    ``symlog(x) = sign(x) log(1 + |x|)``, from ``-limit`` to ``limit`` there; targets beyond are clipped.

    Args:
        in_features: width of the input.
        bins: number of bins, at least 2.
        limit: symlog of the largest number.
        interpolate: what nearer means, and of what the expectation is taken: ``"symlog"`` of the numbers (TD-MPC2,
            arXiv 2310.16828, 101 bins) or the numbers themselves, ``"raw"`` (MR.Q, arXiv 2501.16142, 65 bins).
        hidden: width of each hidden layer.
        layers: number of hidden layers.
    """

    positions: torch.Tensor

    def __init__(
        self,
        in_features: int,
        bins: int = 101,
        limit: float = 10.0,
        interpolate: Literal["symlog", "raw"] = "symlog",
        hidden: int = 256,
        layers: int = 1,
    ) -> None:
        require_integer("bins", bins, least=2)
        require_positive("limit", limit)
        require_choice("interpolate", interpolate, ("symlog", "raw"))
        super().__init__(in_features, hidden, layers, bins)
        self._symlog = interpolate == "symlog"
        even = torch.linspace(-limit, limit, bins)
        self.register_buffer("positions", even if self._symlog else symexp(even), persistent=False)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map (..., in_features) to the numbers expected (..., 1)."""
        expected = (self.outputs(inputs).softmax(-1) * self.positions).sum(-1, keepdim=True)
        return symexp(expected) if self._symlog else expected

    def errors(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the cross-entropy at each of ``inputs`` (..., in_features), against ``targets`` (...)."""
        log_probabilities = self.outputs(inputs).log_softmax(-1)
        return -(self.two_hot(targets) * log_probabilities).sum(-1)

    def two_hot(self, targets: torch.Tensor) -> torch.Tensor:
        """Map numbers (...) to distributions (..., bins) of which at most two bins, next to each other, are not 0."""
        places = (symlog(targets) if self._symlog else targets).clamp(self.positions[0], self.positions[-1])
        lower = torch.searchsorted(self.positions, places.contiguous(), right=True).sub(1)
        lower = lower.clamp(0, len(self.positions) - 2)
        below, above = self.positions[lower], self.positions[lower + 1]
        share = ((places - below) / (above - below)).unsqueeze(-1)
        shape = (*targets.shape, len(self.positions))
        spread = torch.zeros(shape, device=targets.device).scatter(-1, lower.unsqueeze(-1), 1 - share)
        return spread.scatter(-1, lower.unsqueeze(-1) + 1, share)


def symlog(numbers: torch.Tensor) -> torch.Tensor:
    """Return ``sign(x) log(1 + |x|)``."""
    return numbers.sign() * numbers.abs().log1p()


def symexp(numbers: torch.Tensor) -> torch.Tensor:
    """Return ``sign(x) (exp(|x|) - 1)``, the inverse of ``symlog``."""
    return numbers.sign() * numbers.abs().expm1()


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
