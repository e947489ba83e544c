"""What a JEPA predicts of an action: the next latent, the reward, the end, and what comes after."""

from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import nn

from jepa_extractor.jepa import JEPA

GOAL_TASKS = ("reward", "action_reward", "q", "end")  # the tasks that a planner reads

State = tuple[NDArray[np.float32], ...] | None  # what a plan of one step leaves to that of the next


class Plans(Protocol):
    """What a search has made of a model."""

    def choose(
        self,
        latents: torch.Tensor,
        state: State = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[Any], State]:
        """Return an action for each of ``latents`` (B, D), and the state for the next step."""


class Search(Protocol):
    """How to plan: ``GraphSearch``, ``MPPI``, a ``Machine``, or a class of one's own."""

    def over(self, model: "LatentModel", horizon: int, discount: float) -> Plans:
        """Return what plans with ``model``, ``horizon`` steps ahead; raise ``ValueError`` where it cannot."""


class Prediction(NamedTuple):
    """What follows N actions.

    Attributes:
        latents: (N, D).
        rewards: (N,).
        continue_prob: probability in [0, 1] that the episode goes on, (N,).
    """

    latents: torch.Tensor
    rewards: torch.Tensor
    continue_prob: torch.Tensor


class LatentModel:
    """The transition and the heads of a JEPA, as a model of the environment.

    Args:
        jepa: has the task ``"reward"`` or ``"action_reward"``; with both, ``"reward"`` is read. A task ``"end"`` has a
            head (..., D) -> (..., 1) that predicts from the latent arrived at whether the episode has ended, as a
            number in [0, 1].

    Attributes:
        action_space: that of the JEPA.
        features: maps actions ``(N, *action shape)`` to features (N, A).

    Raises:
        ValueError: the JEPA predicts no reward.
    """

    def __init__(self, jepa: JEPA) -> None:
        heads = dict(jepa.heads.items())
        if "reward" not in heads and "action_reward" not in heads:
            raise ValueError(
                f"the JEPA predicts no reward: its tasks are {tuple(heads)}; train it with auxiliary=('reward',), "
                "or give it labelled observations with retarget"
            )
        self.action_space = jepa.action_space
        self.features = jepa.action_features
        self._next = jepa.next
        self._reward = heads.get("reward")
        self._action_reward = heads.get("action_reward")
        self._end = heads.get("end")
        self._q = heads.get("q")
        self._q_of_all_actions = isinstance(jepa.action_space, spaces.Discrete)

    @property
    def has_q(self) -> bool:
        """Whether there is a Q head."""
        return self._q is not None

    def predict(self, latents: torch.Tensor, actions: torch.Tensor) -> Prediction:
        """Predict what follows actions, as features (N, A), at latents (N, D)."""
        arrived = self._next(latents, actions)
        if self._reward is not None:
            rewards = self._reward(arrived)
        else:
            assert self._action_reward is not None
            rewards = self._action_reward(torch.cat([latents, actions], dim=-1))
        rewards = rewards.squeeze(-1)
        if self._end is None:
            return Prediction(arrived, rewards, torch.ones_like(rewards))
        return Prediction(arrived, rewards, 1 - self._end(arrived).squeeze(-1).clamp(0, 1))

    def action_value(self, latents: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Return the Q head's value (N,) of actions, as features (N, A), at latents (N, D); 0 without a Q head."""
        if self._q is None:
            return latents.new_zeros(len(latents))
        if self._q_of_all_actions:
            values: torch.Tensor = (self._q(latents) * actions).sum(-1)
            return values
        values = self._q(torch.cat([latents, actions], dim=-1)).squeeze(-1)
        return values

    def best_value(self, latents: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Return the largest of the Q head's values over all ``actions`` (K, A) at latents (N, D): (N,)."""
        if self._q is None:
            return latents.new_zeros(len(latents))
        values = self.action_value(*every_pair(latents, actions))
        return values.reshape(len(latents), len(actions)).amax(1)


class NearestLabel(nn.Module):
    """The label of the nearest of some latents.

    Args:
        latents: float32 (N, D).
        labels: float32 (N,).
    """

    latents: torch.Tensor
    labels: torch.Tensor

    def __init__(self, latents: torch.Tensor, labels: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("latents", latents)
        self.register_buffer("labels", labels)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        """Map latents (..., D) to labels (..., 1)."""
        nearest = torch.cdist(latents.reshape(-1, latents.shape[-1]), self.latents).argmin(1)
        return self.labels[nearest].reshape(*latents.shape[:-1], 1)


def every_pair(latents: torch.Tensor, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return latents (N, D) and actions (K, A) as N * K pairs, those of one latent next to each other."""
    return latents.repeat_interleave(len(actions), 0), actions.repeat(len(latents), 1)
