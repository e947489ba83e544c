"""How a predicted latent is compared with the one that followed: the latent dynamics loss."""

from typing import Literal

import torch
from torch import nn

from jepa_extractor.checks import require_integer, require_positive_fraction, shown
from jepa_extractor.objectives.losses import mean_over_steps

DynamicsName = Literal["squared", "cosine"]


class DynamicsLoss:
    """The squared difference of latents, ``E|T(E(o), a) - E(o')|^2 / D`` (arXiv 2509.12249).

    A small picklable object without modules of its own. For a loss of your own, subclass it, and override what differs.

    Args:
        discount: factor for each step of the horizon after the first, in (0, 1]; TD-MPC2 has 0.5.

    Raises:
        ValueError: ``discount`` is not in (0, 1].
    """

    def __init__(self, discount: float = 1.0) -> None:
        require_positive_fraction("discount", discount)
        self.discount = discount

    def make_projection(self, latent_dim: int) -> nn.Module:  # noqa: ARG002
        """Return a module (..., D) -> (..., P) for both sides; a target network has a copy of its own. Here P is D."""
        return nn.Identity()

    def make_predictor(self, latent_dim: int) -> nn.Module:  # noqa: ARG002
        """Return a module (..., P) -> (..., P) for the side of the prediction alone, after the projection."""
        return nn.Identity()

    def errors(self, predicted: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the errors of ``predicted`` against ``target``, both float32 (B, k, P).

        Here they are of the same shape. A subclass may return any (B, k, ...).
        """
        return (predicted - target).square()

    def loss(self, predicted: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Return the mean error over the steps that count, a scalar.

        Args:
            predicted: float32 (B, k, P).
            target: float32 (B, k, P).
            mask: bool (B, k), whether the step counts; ``None``: all do.
        """
        return mean_over_steps(self.errors(predicted, target), mask, self.discount)


class CosineLoss(DynamicsLoss):
    """``2 - 2 cos`` of latents after a linear projection, and on the side of the prediction a linear predictor (SPR).

    arXiv 2007.05929. With ``target="online"`` gradient flows into both sides, as it does not in SPR.

    Args:
        width: width P of the projection, at least 1.
        discount: factor for each step of the horizon after the first, in (0, 1].

    Raises:
        ValueError: ``width`` is not an integer of at least 1, or ``discount`` is not in (0, 1].
    """

    def __init__(self, width: int = 512, discount: float = 1.0) -> None:
        require_integer("width", width, least=1)
        super().__init__(discount)
        self.width = width

    def make_projection(self, latent_dim: int) -> nn.Module:
        """Return a linear layer (..., D) -> (..., P)."""
        return nn.Linear(latent_dim, self.width)

    def make_predictor(self, latent_dim: int) -> nn.Module:  # noqa: ARG002
        """Return a linear layer (..., P) -> (..., P)."""
        return nn.Linear(self.width, self.width)

    def errors(self, predicted: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the squared distance (B, k) of ``predicted`` and ``target``, float32 (B, k, P), scaled to length 1."""
        one, other = (nn.functional.normalize(side, dim=-1, eps=1e-3) for side in (predicted, target))
        return (one - other).square().sum(-1)


DYNAMICS: dict[str, type[DynamicsLoss]] = {"squared": DynamicsLoss, "cosine": CosineLoss}


def make_dynamics(dynamics: object) -> DynamicsLoss:
    """Turn a name or an object into an object; raise ``ValueError`` where it is neither."""
    if isinstance(dynamics, str) and dynamics in DYNAMICS:
        return DYNAMICS[dynamics]()
    if not isinstance(dynamics, DynamicsLoss):
        raise ValueError(
            f"dynamics={shown(dynamics)} is unknown: choose among {', '.join(DYNAMICS)}, or give a DynamicsLoss"
        )
    return dynamics
