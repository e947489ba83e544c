"""Auxiliary tasks: what the latent must be able to tell, besides the next latent.

A task is a small picklable object without modules of its own. To write one, subclass ``AuxiliaryTask``:
give it a name, a head, and a loss.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.preprocessing import get_flattened_obs_dim
from torch import nn

from jepa_extractor.heads import QHead, RandomMapHead, make_head
from jepa_extractor.losses import squared_error


@dataclass(frozen=True)
class Steps:
    """What a task may look at: B stretches of k steps.

    Attributes:
        observations: preprocessed observations, float32 (B, k + 1, ...): before the first step and after each.
        latents: ``E(o)`` before each step, float32 (B, k, D).
        next_latents: ``E(o')`` after each step, float32 (B, k, D).
        actions: action features (one-hot where discrete), float32 (B, k, A).
        rewards: float32 (B, k).
        terminated: bool (B, k), whether the step ended its episode, time limits not counted.
        next_labels: label of the observation after each step, float32 (B, k), NaN where unknown.
        mask: bool (B, k), whether the step belongs to the stretch; ``None`` if all do, as always for k = 1.
        next_actions: features of the policy's action after each step, float32 (B, k, A); ``None`` unless a
            task ``needs_next_actions``.
        discount: the algorithm's discount factor.
    """

    observations: torch.Tensor
    latents: torch.Tensor
    next_latents: torch.Tensor
    actions: torch.Tensor
    rewards: torch.Tensor
    terminated: torch.Tensor
    next_labels: torch.Tensor
    mask: torch.Tensor | None
    next_actions: torch.Tensor | None
    discount: float


class AuxiliaryTask(ABC):
    """The interface of an auxiliary task.

    Attributes:
        name: names the head, its weight, and the loss in the logs: ``jepa/<name>_loss``.
        needs_label: whether the loss reads ``Steps.next_labels``.
    """

    name: str
    needs_label = False

    @abstractmethod
    def make_head(
        self, latent_dim: int, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]
    ) -> nn.Module:
        """Return the task's head, for latents of width ``latent_dim``."""

    @abstractmethod
    def loss(self, head: nn.Module, steps: Steps) -> torch.Tensor:
        """Return the task's loss, a scalar, with gradient into ``head`` and the latents."""

    def needs_next_actions(self, action_space: spaces.Space[Any]) -> bool:  # noqa: ARG002
        """Whether the loss reads ``Steps.next_actions``, which takes a pass through the policy."""
        return False


class RewardTask(AuxiliaryTask):
    """Predict the reward from the latent of the observation it arrived with: the paper's ``p(o)``.

    Exact where the reward is a function of the arriving observation.
    """

    name = "reward"

    def make_head(
        self, latent_dim: int, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]
    ) -> nn.Module:
        """Return a head (..., D) -> (..., 1)."""
        del observation_space, action_space
        return make_head(latent_dim, 1)

    def loss(self, head: nn.Module, steps: Steps) -> torch.Tensor:
        """Return ``E|P(E(o')) - r|^2``."""
        return squared_error(head(steps.next_latents).squeeze(-1), steps.rewards, steps.mask)


class ActionRewardTask(AuxiliaryTask):
    """Predict the reward from the latent and the action that earned it, for rewards of leaving, not arriving."""

    name = "action_reward"

    def make_head(
        self, latent_dim: int, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]
    ) -> nn.Module:
        """Return a head (..., D + A) -> (..., 1)."""
        del observation_space
        return make_head(latent_dim + get_flattened_obs_dim(action_space), 1)

    def loss(self, head: nn.Module, steps: Steps) -> torch.Tensor:
        """Return ``E|P(E(o), a) - r|^2``."""
        predicted = head(torch.cat([steps.latents, steps.actions], dim=-1)).squeeze(-1)
        return squared_error(predicted, steps.rewards, steps.mask)


class QTask(AuxiliaryTask):
    """Predict the value of the action taken, by temporal differences with a slow target.

    ``E|Q(E(o), a) - (r + discount * Q_slow(E(o'), a'))|^2``, where ``a'`` is the best discrete action, or
    otherwise the policy's own; no value follows a termination. The target sends no gradient.
    """

    name = "q"

    def make_head(
        self, latent_dim: int, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]
    ) -> nn.Module:
        """Return a Q head over all discrete actions, or over latent and action."""
        del observation_space
        if isinstance(action_space, spaces.Discrete):
            return QHead(latent_dim, int(action_space.n))
        return QHead(latent_dim + get_flattened_obs_dim(action_space), 1)

    def needs_next_actions(self, action_space: spaces.Space[Any]) -> bool:
        """The policy's actions are needed unless the best of a few can be found by looking at each."""
        return not isinstance(action_space, spaces.Discrete)

    def loss(self, head: nn.Module, steps: Steps) -> torch.Tensor:
        """Return the temporal-difference error."""
        assert isinstance(head, QHead)
        if steps.next_actions is None:
            predicted = (head(steps.latents) * steps.actions).sum(-1)
            following = head.slow_values(steps.next_latents).amax(-1)
        else:
            predicted = head(torch.cat([steps.latents, steps.actions], dim=-1)).squeeze(-1)
            following = head.slow_values(torch.cat([steps.next_latents, steps.next_actions], dim=-1)).squeeze(-1)
        target = steps.rewards + steps.discount * torch.where(steps.terminated, 0.0, following)
        return squared_error(predicted, target, steps.mask)


class RandomTask(AuxiliaryTask):
    """Predict a fixed random linear map of the pixels: the paper's random ``p(o)``.

    Args:
        size: numbers that the map yields.
        seed: seed of the map.
    """

    name = "random"

    def __init__(self, size: int = 256, seed: int = 0) -> None:
        self.size = size
        self.seed = seed

    def make_head(
        self, latent_dim: int, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]
    ) -> nn.Module:
        """Return a head (..., D) -> (..., size) that holds the map too."""
        del action_space
        return RandomMapHead(latent_dim, get_flattened_obs_dim(observation_space), self.size, self.seed)

    def loss(self, head: nn.Module, steps: Steps) -> torch.Tensor:
        """Return ``E|P(E(o')) - p(o')|^2 / size``."""
        assert isinstance(head, RandomMapHead)
        return squared_error(head(steps.next_latents), head.target(steps.observations[:, 1:]), steps.mask)


class LabelTask(AuxiliaryTask):
    """Predict a number that the environment's ``info`` holds for the observation; missing ones do not count.

    The key is named to the callback: ``JEPACallback(label="count")``.
    """

    name = "label"
    needs_label = True

    def make_head(
        self, latent_dim: int, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]
    ) -> nn.Module:
        """Return a head (..., D) -> (..., 1)."""
        del observation_space, action_space
        return make_head(latent_dim, 1)

    def loss(self, head: nn.Module, steps: Steps) -> torch.Tensor:
        """Return ``E|P(E(o')) - label|^2``."""
        known = steps.next_labels.isfinite()
        if steps.mask is not None:
            known &= steps.mask
        return squared_error(head(steps.next_latents).squeeze(-1), steps.next_labels, known)


TASKS: dict[str, type[AuxiliaryTask]] = {
    task.name: task for task in (RewardTask, ActionRewardTask, QTask, RandomTask, LabelTask)
}


def make_tasks(auxiliary: Sequence[str | AuxiliaryTask]) -> tuple[AuxiliaryTask, ...]:
    """Turn names and task objects into task objects.

    Raises:
        ValueError: a name is unknown, an entry is neither name nor task, two tasks share a name, or a task's name
            cannot be one of ``torch.nn.ModuleDict``.
    """
    if isinstance(auxiliary, str) or not isinstance(auxiliary, Sequence):
        raise ValueError(f"auxiliary={auxiliary!r} is no sequence of tasks: give a tuple, as in ('reward',)")
    tasks: list[AuxiliaryTask] = []
    for entry in auxiliary:
        if isinstance(entry, AuxiliaryTask):
            tasks.append(entry)
        elif isinstance(entry, str) and entry in TASKS:
            tasks.append(TASKS[entry]())
        else:
            raise ValueError(
                f"auxiliary={entry!r} is unknown: choose among {', '.join(TASKS)}, or give an AuxiliaryTask"
            )
    names = [getattr(task, "name", None) for task in tasks]
    for name in names:
        if not isinstance(name, str) or not name or "." in name or hasattr(nn.ModuleDict, name):
            raise ValueError(f"auxiliary has a task with name={name!r}: give it another, a string without dots")
        if names.count(name) > 1 or name == "dynamics":
            raise ValueError(f"auxiliary has two losses named {name!r}: give each task a name of its own")
    return tuple(tasks)
