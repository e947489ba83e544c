"""Auxiliary tasks: what the latent must be able to tell, besides the next latent.

A task is a small picklable object without modules of its own. To write one, subclass ``AuxiliaryTask``:
give it a name, a head, and a loss.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from jepa_extractor.heads import make_head
from jepa_extractor.losses import squared_error


@dataclass(frozen=True)
class Steps:
    """What a task may look at: B stretches of k steps in latent space.

    Attributes:
        latents: ``E(o)`` before each step, float32 (B, k, D).
        next_latents: ``E(o')`` after each step, float32 (B, k, D).
        actions: action features, float32 (B, k, A).
        rewards: float32 (B, k).
        terminated: bool (B, k), whether the step ended its episode, time limits not counted.
        next_labels: label of the observation after each step, float32 (B, k), NaN where unknown.
        mask: bool (B, k), whether the step belongs to the stretch.
    """

    latents: torch.Tensor
    next_latents: torch.Tensor
    actions: torch.Tensor
    rewards: torch.Tensor
    terminated: torch.Tensor
    next_labels: torch.Tensor
    mask: torch.Tensor


class AuxiliaryTask(ABC):
    """The interface of an auxiliary task.

    Attributes:
        name: names the head, and the loss in the logs: ``jepa/<name>_loss``.
    """

    name: str

    @abstractmethod
    def make_head(self, latent_dim: int, action_dim: int) -> nn.Module:
        """Return the task's head, for latents of width ``latent_dim`` and action features of ``action_dim``."""

    @abstractmethod
    def loss(self, head: nn.Module, steps: Steps) -> torch.Tensor:
        """Return the task's loss, a scalar, with gradient into ``head`` and the latents."""


class RewardTask(AuxiliaryTask):
    """Predict the reward from the latent of the observation it arrived with: the paper's ``p(o)``.

    Exact where the reward is a function of the arriving observation.
    """

    name = "reward"

    def make_head(self, latent_dim: int, action_dim: int) -> nn.Module:  # noqa: ARG002
        """Return a head (..., D) -> (..., 1)."""
        return make_head(latent_dim, 1)

    def loss(self, head: nn.Module, steps: Steps) -> torch.Tensor:
        """Return ``E|P(E(o')) - r|^2``."""
        return squared_error(head(steps.next_latents).squeeze(-1), steps.rewards, steps.mask)


TASKS: dict[str, type[AuxiliaryTask]] = {"reward": RewardTask}


def make_tasks(auxiliary: Sequence[str | AuxiliaryTask]) -> tuple[AuxiliaryTask, ...]:
    """Turn names and task objects into task objects.

    Raises:
        ValueError: a name is unknown, an entry is neither name nor task, or two tasks share a name.
    """
    if isinstance(auxiliary, str):
        raise ValueError(f"auxiliary={auxiliary!r} is a string: give a tuple, as in auxiliary=({auxiliary!r},)")
    tasks: list[AuxiliaryTask] = []
    for entry in auxiliary:
        if isinstance(entry, AuxiliaryTask):
            tasks.append(entry)
        elif entry in TASKS:
            tasks.append(TASKS[entry]())
        else:
            raise ValueError(
                f"auxiliary={entry!r} is unknown: choose among {', '.join(TASKS)}, or give an AuxiliaryTask"
            )
    names = [task.name for task in tasks]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"auxiliary has two tasks named {name!r}: give each a name of its own")
    return tuple(tasks)
