"""The batches that an algorithm draws from its buffer, and the latents that it has made of what followed."""

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer, RolloutBuffer

from jepa_extractor.data.batch import Batch, Step
from jepa_extractor.data.observations import Arrays, map_arrays
from jepa_extractor.sb3 import adapter
from jepa_extractor.sb3.extractor import JEPAExtractor
from jepa_extractor.sb3.recorder import Recorder


def require_buffer(model: BaseAlgorithm) -> ReplayBuffer | RolloutBuffer:
    """Return the buffer from which ``model`` draws its batches.

    Raises:
        ValueError: it has none, or one that does not give single transitions; or there is a replay buffer and no target
            network.
    """
    buffer = getattr(model, "replay_buffer", None) or getattr(model, "rollout_buffer", None)
    recurrent = hasattr(buffer, "hidden_states_pi")
    if not isinstance(buffer, ReplayBuffer | RolloutBuffer) or recurrent:
        raise ValueError(
            f"schedule=Shared(): {type(model).__name__} draws {'sequences' if recurrent else 'from no buffer'}, not "
            "single transitions: use Joint()"
        )
    if isinstance(buffer, ReplayBuffer) and (buffer.optimize_memory_usage or getattr(buffer, "n_steps", 1) != 1):
        raise ValueError(
            "schedule=Shared(): the replay buffer must give transitions of one step, with the last observation of an "
            "episode: use n_steps=1 and optimize_memory_usage=False, or Joint()"
        )
    if isinstance(buffer, ReplayBuffer) and not adapter.has_target(model):
        raise ValueError(
            f"schedule=Shared(): {type(model).__name__} has no target network, whose latents of the next observations "
            "would be predicted: use Joint()"
        )
    return buffer


def replayed(model: BaseAlgorithm, drawn: Any) -> Batch:
    """Return what an algorithm drew from its replay buffer, with actions in the environment's scale."""
    actions: torch.Tensor = drawn.actions
    space, algorithm = model.action_space, model
    if isinstance(space, spaces.Box):  # the buffer holds them scaled to [-1, 1]
        low, high = (torch.as_tensor(bound, device=actions.device).flatten() for bound in (space.low, space.high))
        actions = low + (actions + 1) / 2 * (high - low)
    assert space.shape is not None
    return Batch(
        observations=None,
        actions=actions.reshape(len(actions), 1, *space.shape),
        rewards=drawn.rewards,
        terminated=drawn.dones.bool(),
        discount=algorithm.gamma,  # type: ignore[attr-defined]  # every algorithm with a replay buffer has one
    )


class Rollout:
    """What a model encoded while it collected its rollout: the latent of each observation, and what followed.

    A latent is as old as the rollout. Nothing is encoded twice: only the last observations of episodes, and those after
    the last step, are encoded at the end.

    Args:
        extractor: what encodes.
        recorder: gives the steps, as the environment made them.
    """

    def __init__(self, extractor: JEPAExtractor, recorder: Recorder) -> None:
        self._extractor = extractor
        self._recorder = recorder
        self.clear()

    def clear(self) -> None:
        """Forget the rollout before."""
        self._latents: list[torch.Tensor] = []  # (n, D) before each step
        self._steps: list[tuple[NDArray[Any], ...]] = []  # actions, rewards and whether terminated, (n, ...) each
        self._left: list[tuple[int, int, Arrays]] = []  # environment and step of what is not encoded, and that
        self._newest: Step | None = None

    def add(self, latents: torch.Tensor, step: Step) -> None:
        """Add a step of all environments, taken at observations whose latents are ``latents`` (n, D)."""
        for i in np.flatnonzero(step.ended).tolist():
            self._left.append((i, len(self._steps), map_arrays(lambda array, i=i: array[i], step.arrived)))
        self._latents.append(latents)
        # PPO changes rewards afterwards, where a time limit ended the episode
        self._steps.append((step.actions, np.array(step.rewards, np.float32), step.terminated))
        self._newest = step

    def finish(self, discount: float) -> None:
        """Encode what is left, and make a batch of all n T transitions: step t of environment e is row ``e T + t``."""
        assert self._newest is not None
        newest, last = self._newest, len(self._steps) - 1
        for i in np.flatnonzero(~newest.ended).tolist():
            self._left.append((i, last, map_arrays(lambda array, i=i: array[i], newest.arrived)))
        environments, steps, observations = zip(*self._left, strict=True)
        stored: Any = map_arrays(lambda *arrays: torch.from_numpy(np.stack(arrays)), *observations)
        seen: Any = map_arrays(lambda tensor: tensor.numpy(), self._recorder.as_the_policy_sees(stored))
        following = torch.stack([*self._latents[1:], self._latents[-1]], dim=1)  # (n, T, D)
        encoded = torch.from_numpy(self._extractor.jepa.encode(seen)).to(following.device)
        following[torch.tensor(environments), torch.tensor(steps)] = encoded
        actions, rewards, terminated = (
            torch.from_numpy(np.stack(arrays, axis=1)).flatten(0, 1).unsqueeze(1).to(following.device)
            for arrays in zip(*self._steps, strict=True)
        )
        self.transitions = Batch(
            observations=None,
            actions=actions,
            rewards=rewards,
            terminated=terminated,
            discount=discount,
            later_latents=following.flatten(0, 1).unsqueeze(1),
        )

    def rows(self, numbers: NDArray[np.integer[Any]]) -> Batch:
        """Return the transitions of these rows (B,)."""
        every, at = self.transitions, torch.from_numpy(numbers).to(self.transitions.rewards.device)
        assert every.later_latents is not None
        return every.replace(
            actions=every.actions[at],
            rewards=every.rewards[at],
            terminated=every.terminated[at],
            later_latents=every.later_latents[at],
        )
