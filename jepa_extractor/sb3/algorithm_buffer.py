"""The buffers from which algorithms draw their batches, and what followed the observations of a batch."""

from collections.abc import Sequence
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer, RolloutBuffer

from jepa_extractor.data.batch import Batch, Tensors
from jepa_extractor.data.observations import map_arrays
from jepa_extractor.sb3.recorder import Recorder


def require_buffer(model: BaseAlgorithm) -> ReplayBuffer | RolloutBuffer:
    """Return the buffer from which ``model`` draws its batches.

    Raises:
        ValueError: it has none, or one that does not give single transitions.
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
    return buffer


def algorithm_buffer(model: BaseAlgorithm, recorder: Recorder) -> "AlgorithmBuffer":
    """Return the buffer from which ``model`` draws its batches.

    Raises:
        ValueError: the ring of ``recorder`` may be too small for a rollout.
    """
    buffer = require_buffer(model)
    return ReplaySource(model, buffer) if isinstance(buffer, ReplayBuffer) else RolloutSource(buffer, recorder)


class ReplaySource:
    """A replay buffer, which holds what followed."""

    method = "sample"

    def __init__(self, model: BaseAlgorithm, buffer: ReplayBuffer) -> None:
        self.buffer = buffer
        self._model: Any = model

    def transitions(self, drawn: Any, arguments: Sequence[Any]) -> Batch:  # noqa: ARG002
        """Return what was drawn, with actions in the environment's scale."""
        model = self._model
        actions: torch.Tensor = drawn.actions
        if isinstance(model.action_space, spaces.Box):  # the buffer holds them scaled to [-1, 1]
            low, high = (
                torch.as_tensor(bound, device=actions.device).flatten()
                for bound in (model.action_space.low, model.action_space.high)
            )
            actions = low + (actions + 1) / 2 * (high - low)
        after: Any = map_arrays(lambda frames: frames.unsqueeze(1), drawn.next_observations)
        return Batch(
            observations=_shaped(after, model.observation_space),
            actions=actions.reshape(len(actions), 1, *model.action_space.shape),
            rewards=drawn.rewards,
            terminated=drawn.dones.bool(),
            discount=model.gamma,
        )


class RolloutSource:
    """A rollout buffer; what followed was recorded while the model collected it."""

    method = "_get_samples"  # ``get`` calls it for each batch

    def __init__(self, buffer: RolloutBuffer, recorder: Recorder) -> None:
        needed = (2 * buffer.buffer_size + 1) * buffer.n_envs  # the end of an episode is a frame of its own
        if recorder.ring.capacity < needed:
            raise ValueError(
                f"buffer_size holds {recorder.ring.capacity:,} frames, and with schedule=Shared() it must hold a whole "
                f"rollout: give JEPACallback(..., buffer_size={needed}), or use Joint()"
            )
        self.buffer = buffer
        self._recorder = recorder

    def transitions(self, drawn: Any, arguments: Sequence[Any]) -> Batch:  # noqa: ARG002
        """Return the recorded transitions of the rows that were asked for, which count environment by environment."""
        batch = self._recorder.newest_steps(self.buffer.buffer_size, arguments[0])
        return batch.replace(observations=batch.observations_after)


# Each has its ``buffer``, the name of the ``method`` whose every call gives the algorithm one batch, and
# ``transitions``: a ``Batch`` of what that method returned, whose ``observations`` are those after the step.
AlgorithmBuffer = ReplaySource | RolloutSource


def _shaped(observations: Tensors, space: spaces.Space[Any]) -> Tensors:
    """Return observations (B, k, ...) without the axis that buffers give to discrete values."""
    if isinstance(space, spaces.Dict):
        assert isinstance(observations, dict)
        return {key: _shaped(part, space[key]) for key, part in observations.items()}  # type: ignore[misc]
    assert isinstance(observations, torch.Tensor)
    assert space.shape is not None
    return observations.reshape(*observations.shape[:2], *space.shape)
