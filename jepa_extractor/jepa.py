"""JEPA: an encoder, a latent transition and auxiliary heads, composed; and their losses on a batch."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.preprocessing import get_flattened_obs_dim
from torch import nn

from jepa_extractor.auxiliary import AuxiliaryTask, Steps
from jepa_extractor.checks import require_choice
from jepa_extractor.encoder import make_encoder
from jepa_extractor.heads import LatentTransition, QHead
from jepa_extractor.losses import dynamics_loss
from jepa_extractor.slow import SlowCopy


class OnlineTarget(nn.Module):
    """The latents themselves, with gradient: the paper's choice."""

    def forward(
        self,
        encoder: nn.Module,  # noqa: ARG002
        observations: torch.Tensor,  # noqa: ARG002
        latents: torch.Tensor,
    ) -> torch.Tensor:
        """Return ``latents`` (B, k, D)."""
        return latents


class DetachedTarget(nn.Module):
    """The latents without gradient."""

    def forward(
        self,
        encoder: nn.Module,  # noqa: ARG002
        observations: torch.Tensor,  # noqa: ARG002
        latents: torch.Tensor,
    ) -> torch.Tensor:
        """Return ``latents`` (B, k, D), detached."""
        return latents.detach()


class SlowTarget(nn.Module):
    """The latents of a slowly following encoder, without gradient; costs a second pass of the encoder."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.slow = SlowCopy(encoder)

    def forward(self, encoder: nn.Module, observations: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        """Encode ``observations`` (B, k, ...) to (B, k, D)."""
        target: torch.Tensor = self.slow(encoder, observations.flatten(0, 1))
        return target.reshape(latents.shape)


TARGETS = ("online", "detach", "ema")


class JEPA(nn.Module):
    """``z = E(o)``, ``z' = T(z, a)``, ``P(z) = p(o)``.

    Args:
        encoder: observations (B, ...) to latents (B, D).
        transition: latents (B, D) and action features (B, A) to next latents (B, D).
        target: encoder, observations (B, k, ...) and their latents (B, k, D) to what is to be predicted, (B, k, D).
        tasks: the auxiliary tasks.
        heads: one head for each task, by its name.
    """

    def __init__(
        self,
        encoder: nn.Module,
        transition: nn.Module,
        target: nn.Module,
        tasks: Sequence[AuxiliaryTask],
        heads: dict[str, nn.Module],
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.transition = transition
        self.target = target
        self.heads = nn.ModuleDict(heads)
        self.tasks = tuple(tasks)

    def unroll(self, latents: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Predict the latents after each of k actions, (B, D) and (B, k, A) to (B, k, D), without observing."""
        predicted = []
        for step in range(actions.shape[1]):
            latents = self.transition(latents, actions[:, step])
            predicted.append(latents)
        return torch.stack(predicted, dim=1)

    def losses(
        self,
        observations: torch.Tensor,
        actions: torch.Tensor,
        rewards: torch.Tensor,
        terminated: torch.Tensor,
        labels: torch.Tensor,
        mask: torch.Tensor | None,
        next_actions: torch.Tensor | None = None,
        discount: float = 0.99,
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Return every loss by name, ``"dynamics"`` first, and the latents they were computed from.

        All frames go through the encoder in one pass. Each call moves the slow copies first.

        Args:
            observations: preprocessed observations, float32 (B, k + 1, ...).
            actions: action features, float32 (B, k, A).
            rewards: float32 (B, k).
            terminated: bool (B, k).
            labels: float32 (B, k + 1), NaN where unknown.
            mask: bool (B, k), whether the step belongs to the stretch; ``None`` if all do.
            next_actions: features of the policy's action after each step, float32 (B, k, A), if a task needs them.
            discount: the algorithm's discount factor.

        Returns:
            Scalars by name; latents, float32 (B, k + 1, D).
        """
        self._follow()
        latents = self.encoder(observations.flatten(0, 1)).reshape(*observations.shape[:2], -1)
        steps = Steps(
            observations=observations,
            latents=latents[:, :-1],
            next_latents=latents[:, 1:],
            actions=actions,
            rewards=rewards,
            terminated=terminated,
            next_labels=labels[:, 1:],
            mask=mask,
            next_actions=next_actions,
            discount=discount,
        )
        target = self.target(self.encoder, observations[:, 1:], steps.next_latents)
        losses = {"dynamics": dynamics_loss(self.unroll(latents[:, 0], actions), target, mask)}
        for task in self.tasks:
            losses[task.name] = task.loss(self.heads[task.name], steps)
        return losses, latents

    def _follow(self) -> None:
        if isinstance(self.target, SlowTarget):
            self.target.slow.follow(self.encoder)
        for head in self.heads.values():
            if isinstance(head, QHead):
                head.follow()


def make_jepa(
    observation_space: spaces.Space[Any],
    action_space: spaces.Space[Any],
    latent_dim: int,
    encoder: str,
    target: str,
    tasks: Sequence[AuxiliaryTask],
) -> JEPA:
    """Build a JEPA for the given spaces; see ``JEPAExtractor`` for the arguments.

    Raises:
        ValueError: an argument is out of range.
    """
    require_choice("target", target, TARGETS)
    network = make_encoder(encoder, observation_space, latent_dim)
    targets: dict[str, Callable[[], nn.Module]] = {
        "online": OnlineTarget,
        "detach": DetachedTarget,
        "ema": lambda: SlowTarget(network),
    }
    return JEPA(
        network,
        LatentTransition(latent_dim, get_flattened_obs_dim(action_space)),
        targets[target](),
        tasks,
        {task.name: task.make_head(latent_dim, observation_space, action_space) for task in tasks},
    )
