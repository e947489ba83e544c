"""JEPA: an encoder, a latent transition and auxiliary heads, composed; and their losses on a batch."""

from collections.abc import Sequence

import torch
from torch import nn

from jepa_extractor.auxiliary import AuxiliaryTask, Steps
from jepa_extractor.losses import dynamics_loss


class JEPA(nn.Module):
    """``z = E(o)``, ``z' = T(z, a)``, ``P(z) = p(o)``.

    Args:
        encoder: observations (B, ...) to latents (B, D).
        transition: latents (B, D) and action features (B, A) to next latents (B, D).
        tasks: the auxiliary tasks.
        heads: one head for each task, by its name.
    """

    def __init__(
        self, encoder: nn.Module, transition: nn.Module, tasks: Sequence[AuxiliaryTask], heads: dict[str, nn.Module]
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.transition = transition
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
        mask: torch.Tensor,
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Return every loss by name, ``"dynamics"`` first, and the latents they were computed from.

        All frames go through the encoder in one pass.

        Args:
            observations: preprocessed observations, float32 (B, k + 1, ...).
            actions: action features, float32 (B, k, A).
            rewards: float32 (B, k).
            terminated: bool (B, k).
            labels: float32 (B, k + 1), NaN where unknown.
            mask: bool (B, k), whether the step belongs to the stretch.

        Returns:
            Scalars by name; latents, float32 (B, k + 1, D).
        """
        latents = self.encoder(observations.flatten(0, 1)).unflatten(0, observations.shape[:2])
        steps = Steps(latents[:, :-1], latents[:, 1:], actions, rewards, terminated, labels[:, 1:], mask)
        losses = {"dynamics": dynamics_loss(self.unroll(latents[:, 0], actions), steps.next_latents, mask)}
        for task in self.tasks:
            losses[task.name] = task.loss(self.heads[task.name], steps)
        return losses, latents
