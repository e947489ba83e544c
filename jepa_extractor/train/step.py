"""One auxiliary update: the gradient of a JEPA's losses on a batch."""

import math
from dataclasses import dataclass
from typing import Any

import torch

from jepa_extractor.checks import require_fraction, require_integer, require_positive
from jepa_extractor.data.batch import Batch
from jepa_extractor.jepa import JEPA
from jepa_extractor.networks.modules import training_mode


@dataclass(frozen=True)
class Gradient:
    """The clipped gradient of a JEPA's weighted losses on one batch.

    Attributes:
        parameters: those that have a gradient, and a batch's ``first_latents``.
        values: one tensor for each of ``parameters``, clipped.
        norm: Euclidean norm over all of them before the clip, a scalar.
        clipped_norm: after the clip, a scalar.
        losses: each loss by name, scalars, without graph.
        latents: the encoded latents of the batch, (B, k + 1, D), or (B, 1, D) where no loss reads later ones; no graph.
        predicted: those that the transition predicts after each step, (B, k, D), without graph.
        rewards: of each step, (B, k).
    """

    parameters: list[torch.Tensor]
    values: list[torch.Tensor]
    norm: torch.Tensor
    clipped_norm: torch.Tensor
    losses: dict[str, torch.Tensor]
    latents: torch.Tensor
    predicted: torch.Tensor
    rewards: torch.Tensor

    def add(self) -> None:
        """Add the gradient to the ``.grad`` of each parameter."""
        for parameter, value in zip(self.parameters, self.values, strict=True):
            parameter.grad = value if parameter.grad is None else parameter.grad.add_(value)

    def not_finite(self) -> str | None:
        """Return the first loss that is not finite, with its value, or ``None``."""
        broken = (f"{name}_loss is {loss.item()}" for name, loss in self.losses.items() if not loss.isfinite())
        return next(broken, None)


@dataclass(frozen=True)
class AuxiliaryStep:
    """How batches are drawn, and how their gradient is clipped.

    Args:
        batch_size: stretches in a batch.
        rewarded_fraction: the part of a batch, in [0, 1], that is drawn among transitions whose reward is not 0, once
            there are any (UNREAL's skewed sampling, arXiv 1611.05397); 0 draws all of it uniformly.
        max_grad_norm: largest Euclidean norm of the gradient; ``None`` for no clip.

    Raises:
        ValueError: an argument is out of range.
    """

    batch_size: int = 64
    rewarded_fraction: float = 0.5
    max_grad_norm: float | None = 0.5

    def __post_init__(self) -> None:
        require_integer("batch_size", self.batch_size, least=1)
        require_fraction("rewarded_fraction", self.rewarded_fraction)
        if self.max_grad_norm is not None:
            require_positive("max_grad_norm", self.max_grad_norm, largest=math.inf)

    def gradient(self, jepa: JEPA, batch: Batch) -> Gradient:
        """Return the gradient of the weighted losses of ``jepa`` on ``batch``; it is not yet in ``.grad``.

        Parameters that the losses do not depend on are left out.
        """
        with training_mode(jepa):
            loss, logs = jepa.loss(batch)
        trained: list[torch.Tensor] = [parameter for parameter in jepa.parameters() if parameter.requires_grad]
        if batch.first_latents is not None:
            trained.append(batch.first_latents)
        values: tuple[Any, ...] = torch.autograd.grad(loss, trained, allow_unused=True)
        pairs = [(parameter, value) for parameter, value in zip(trained, values, strict=True) if value is not None]
        norm = torch.nn.utils.get_total_norm([value for _, value in pairs])
        scale = torch.ones_like(norm)
        if self.max_grad_norm is not None:
            scale = (self.max_grad_norm / (norm + 1e-6)).clamp(max=1.0)
        return Gradient(
            [parameter for parameter, _ in pairs],
            [value * scale for _, value in pairs],
            norm,
            norm * scale,
            logs.losses,
            logs.latents,
            logs.predicted,
            batch.rewards,
        )
