"""Auxiliary tasks that predict nothing: they keep the latents of a batch from growing alike."""

from abc import abstractmethod
from typing import Any

import torch
from gymnasium import spaces
from torch import nn

from jepa_extractor.checks import require_integer, require_positive, require_weight
from jepa_extractor.data.batch import Batch, Latents
from jepa_extractor.objectives.draws import Draws
from jepa_extractor.objectives.tasks import AuxiliaryTask


class Regularizer(AuxiliaryTask):
    """A penalty on the latents of the first observations of a batch; the others resemble these.

    Args:
        weight: weight of the penalty, at least 0.
    """

    reads_after = False

    def __init__(self, weight: float) -> None:
        self.weight = weight

    @abstractmethod
    def penalty(self, head: nn.Module, latents: torch.Tensor) -> torch.Tensor:
        """Return the penalty on latents (B, D), a scalar."""

    def make_head(
        self, latent_dim: int, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]
    ) -> nn.Module:
        """Return a module without parameters."""
        del latent_dim, observation_space, action_space
        return nn.Identity()

    def loss(self, head: nn.Module, latents: Latents, batch: Batch) -> torch.Tensor:
        """Return the penalty."""
        del batch
        return self.penalty(head, latents.encoded[:, 0])


class VICReg(Regularizer):
    """Keep each component spread out, and components uncorrelated (VICReg, arXiv 2105.04906).

    ``mean_j max(0, 1 - sqrt(C_jj + 1e-4)) + covariance * sum_{i != j} C_ij^2 / D`` with the covariance C of the batch.

    Args:
        weight: weight of the penalty, at least 0.
        covariance: weight of the second term against the first, at least 0; VICReg has 1 against 25.

    Raises:
        ValueError: ``covariance`` is not a finite number of at least 0.
    """

    name = "vicreg"

    def __init__(self, weight: float = 1.0, covariance: float = 0.04) -> None:
        require_weight("covariance", covariance)
        super().__init__(weight)
        self.covariance = covariance

    def penalty(self, head: nn.Module, latents: torch.Tensor) -> torch.Tensor:
        """Return the penalty on latents, float32 (B, D) with B at least 2, a scalar."""
        del head
        centred = latents - latents.mean(0)
        second = _off_diagonal_squares(centred) / latents.shape[1]
        return _missing_spread((latents.var(0) + 1e-4).sqrt()) + self.covariance * second


class R2R2(Regularizer):
    """Keep each component spread out, and the products of two small on average (R2R2, arXiv 2605.14026).

    ``mean_j max(0, 1 - std_j) + sum_{i != j} M_ij^2 / (D (D - 1))`` with ``M = Z^T Z / (B - 1)``, latents not centred.

    Args:
        weight: weight of the penalty, at least 0.
    """

    name = "r2r2"

    def __init__(self, weight: float = 0.01) -> None:
        super().__init__(weight)

    def penalty(self, head: nn.Module, latents: torch.Tensor) -> torch.Tensor:
        """Return the penalty on latents, float32 (B, D) with B at least 2, a scalar."""
        del head
        width = latents.shape[1]
        spread = latents.var(0).clamp(min=1e-12).sqrt()  # the root of 0 has no gradient
        return _missing_spread(spread) + _off_diagonal_squares(latents) / max(width * (width - 1), 1)


class SIGReg(Regularizer):
    """Keep the latents' distribution close to a standard normal one (SIGReg, arXiv 2511.08544).

    Latents are projected on random directions of length 1, new ones at each update. The penalty is the mean, over
    directions and points t, of ``|phi(t) - exp(-t^2/2)|^2``, where phi is the characteristic function of the
    projections. This is the form of arXiv 2602.19373, which is for reinforcement learning; the defaults are its values.
    LeJEPA (arXiv 2511.08544) weighs the points by ``exp(-t^2/2)``, integrates over them, and multiplies by the batch
    size.

    Args:
        weight: weight of the penalty, at least 0; arXiv 2602.19373 has 0.2 and 1.
        slices: number of directions, at least 1.
        knots: number of points t, at least 2.
        limit: the points lie evenly from ``-limit`` to ``limit``; positive.

    Raises:
        ValueError: ``slices``, ``knots`` or ``limit`` is out of range.
    """

    name = "sigreg"

    def __init__(self, weight: float = 0.2, slices: int = 16, knots: int = 8, limit: float = 5.0) -> None:
        require_integer("slices", slices, least=1)
        require_integer("knots", knots, least=2)
        require_positive("limit", limit)
        super().__init__(weight)
        self.slices = slices
        self.knots = knots
        self.limit = limit

    def make_head(
        self, latent_dim: int, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]
    ) -> nn.Module:
        """Return the generator of the directions."""
        del latent_dim, observation_space, action_space
        return Draws()

    def penalty(self, head: nn.Module, latents: torch.Tensor) -> torch.Tensor:
        """Return the penalty on latents, float32 (B, D), a scalar."""
        assert isinstance(head, Draws)
        directions = torch.randn(latents.shape[1], self.slices, generator=head.generator()).to(latents.device)
        projected = latents @ nn.functional.normalize(directions, dim=0)  # (B, slices)
        points = torch.linspace(-self.limit, self.limit, self.knots, device=latents.device)
        normal = torch.exp(-points.square() / 2)
        angles = projected.unsqueeze(-1) * points
        distances = (angles.cos().mean(0) - normal).square() + angles.sin().mean(0).square()  # (slices, knots)
        return distances.mean()

    def update_target(self, head: nn.Module) -> None:
        """Draw new directions."""
        assert isinstance(head, Draws)
        head.update()


def _missing_spread(spread: torch.Tensor) -> torch.Tensor:
    """Return how far standard deviations (D,) fall short of 1, on average."""
    return (1 - spread).relu().mean()


def _off_diagonal_squares(latents: torch.Tensor) -> torch.Tensor:
    """Return the sum of squares of ``Z^T Z / (B - 1)`` off its diagonal, for latents Z (B, D)."""
    squares = (latents.T @ latents / (len(latents) - 1)).square()
    return squares.sum() - squares.trace()
