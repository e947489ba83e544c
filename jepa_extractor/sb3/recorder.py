"""A model's transitions: recorded as the environment gave them, drawn as the policy sees them."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecNormalize

from jepa_extractor.checks import shown
from jepa_extractor.data.batch import Batch, Step
from jepa_extractor.data.collection import label_numbers
from jepa_extractor.data.observations import Arrays, all_finite, map_arrays
from jepa_extractor.data.ring import TransitionRing
from jepa_extractor.objectives.tasks import AuxiliaryTask
from jepa_extractor.sb3 import adapter


class Recorder:
    """Fills a ring while a model collects transitions, and draws batches from it.

    Under ``VecNormalize`` it stores the original observations and rewards, which do not drift, and normalises
    observations with the current statistics when they are drawn. What ``VecNormalize`` clipped off the last observation
    of an episode is lost.

    Args:
        model: the model; its environment has been reset.
        tasks: the auxiliary tasks, which say what they need: labels, and the policy's action after each step.
        probe: a further key of ``info`` whose values are numbers that label the observations.
        buffer_size: see ``TransitionRing``.
        seed: see ``TransitionRing``.

    Raises:
        ValueError: the model's observations cannot be recorded, or ``buffer_size`` is too small.
    """

    def __init__(
        self, model: BaseAlgorithm, tasks: Sequence[AuxiliaryTask], probe: str | None, buffer_size: int, seed: int
    ) -> None:
        self._model = model
        self._wanted_by = {
            task.label: f"label {task.label!r} of the auxiliary task {task.name!r}"
            for task in tasks
            if task.label is not None
        }
        if probe is not None:
            self._wanted_by[probe] = f"probe={shown(probe)}"
        self._labels = tuple(self._wanted_by)
        self._has_warned = False  # of labels that are missing
        self._needs_next_actions = any(task.needs_next_actions(model.action_space) for task in tasks)
        normalizer = adapter.normalizer(model)
        space = model.observation_space if normalizer is None else normalizer.venv.observation_space
        if _shapes(space) != _shapes(model.observation_space):
            raise ValueError(
                f"VecNormalize sees observations of {space}, the policy of {model.observation_space}: make "
                "VecNormalize the outermost wrapper, as in VecNormalize(VecTransposeImage(env))"
            )
        if buffer_size < 3 * model.n_envs:
            raise ValueError(
                f"buffer_size={buffer_size} is too small for {model.n_envs} environments: give JEPACallback at least "
                f"three frames for each, {3 * model.n_envs}"
            )
        self.ring = TransitionRing(space, model.action_space, model.n_envs, buffer_size, seed)
        self.timesteps = -1  # environment steps of the model when the ring was last filled

    def state(self) -> dict[str, Any]:
        """Return everything that was recorded: see ``restore``."""
        return {"ring": self.ring.state(), "timesteps": self.timesteps}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what ``state`` of another recorder returned; raise ``ValueError`` if it does not fit."""
        self.ring.restore(state["ring"])
        self.timesteps = state["timesteps"]

    def begin(self) -> None:
        """Begin a new stretch at the model's last observations, unless the ring already ends with them."""
        observations = self._last_observations()
        self._require_finite("observation", observations)
        if self.timesteps == self._model.num_timesteps and _equal(self.ring.newest_observations(), observations):
            return
        infos = adapter.environment(self._model).unwrapped.reset_infos  # wrappers keep empty copies
        self.ring.begin(observations, self._label_values(infos))
        self.timesteps = self._model.num_timesteps

    def record(self, local_variables: dict[str, Any]) -> None:
        """Store the step just taken, from the local variables of ``collect_rollouts`` in ``_on_step``.

        Raises:
            RuntimeError: a step has been missed.
            FloatingPointError: a reward or an observation is not finite.
        """
        if self._model.num_timesteps != self.timesteps + self._model.n_envs:
            raise RuntimeError(
                f"JEPACallback was called at step {self.timesteps}, and then at {self._model.num_timesteps}: give it "
                "to learn() itself, alone or in a list, not to a callback that calls it only at some steps"
            )
        step = self._read_step(local_variables)
        self._require_finite("reward", step.rewards)
        self._require_finite("observation", step.arrived)
        self._require_finite("observation", step.restarted)
        self.ring.add(step)
        self.last_step = step
        self.timesteps = self._model.num_timesteps

    def sample(self, batch_size: int, horizon: int, rewarded_fraction: float) -> Batch:
        """Draw a batch from the ring, as the policy sees it."""
        return self._seen_by_policy(self.ring.sample(batch_size, horizon, rewarded_fraction))

    def _seen_by_policy(self, batch: Batch) -> Batch:
        observations = self.as_the_policy_sees(batch.observations)
        next_actions = None
        if self._needs_next_actions:
            following: Any = map_arrays(lambda frames: frames[:, 1:].flatten(0, 1).numpy(), observations)
            actions = adapter.policy_actions(self._model, following)
            next_actions = torch.from_numpy(actions.reshape(batch.actions.shape))
        gamma: float = self._model.gamma  # type: ignore[attr-defined]  # every algorithm with an encoder has one
        return batch.replace(observations=observations, next_actions=next_actions, discount=gamma)

    def as_the_policy_sees(self, observations: Any) -> Any:
        """Normalise stored observations, tensors (..., *observation shape), with the current statistics."""
        normalizer = adapter.normalizer(self._model)
        if normalizer is None:
            return observations
        arrays: Any = map_arrays(lambda tensor: tensor.numpy(), observations)
        return map_arrays(lambda array: torch.from_numpy(np.float32(array)), normalizer.normalize_obs(arrays))

    def require_labels(self) -> None:
        """Check that ``info`` holds each label.

        Raises:
            ValueError: no observation had it, in a whole episode.

        Warns:
            UserWarning: no observation had it yet, and no episode has ended; once.
        """
        missing = [name for name in self._labels if not self.ring.has_label(name)]
        if missing and self.ring.has_ends:
            raise ValueError(f"{self._wanted_by[missing[0]]} is not in info, in a whole episode: name a key that is")
        if missing and not self._has_warned:
            self._has_warned = True
            warnings.warn(
                f"{self._wanted_by[missing[0]]} has not been in info so far, in {self._model.num_timesteps} steps",
                stacklevel=2,
            )

    def _require_finite(self, what: str, values: Arrays) -> None:
        for part in values.values() if isinstance(values, dict) else [values]:
            if not all_finite(part):
                env = int(np.flatnonzero(~np.isfinite(part.reshape(len(part), -1)).all(axis=1))[0])
                raise FloatingPointError(
                    f"the {what} of environment {env} is not finite at step {self._model.num_timesteps}: "
                    f"{part[env]}; mend the environment"
                )

    def _last_observations(self) -> Arrays:
        normalizer = adapter.normalizer(self._model)
        observations: Any = self._model._last_obs if normalizer is None else normalizer.get_original_obs()
        return observations  # type: ignore[no-any-return]

    def _read_step(self, local_variables: dict[str, Any]) -> Step:
        infos, ended = local_variables["infos"], local_variables["dones"]
        normalizer, vec_normalize = adapter.normalizer(self._model), self._model.get_vec_normalize_env()
        restarted: Any = local_variables["new_obs"] if normalizer is None else normalizer.get_original_obs()
        rewards = local_variables["rewards"] if vec_normalize is None else vec_normalize.get_original_reward()
        arrived = restarted
        if ended.any():
            arrived = map_arrays(np.copy, restarted)
            for i in np.flatnonzero(ended):
                map_arrays(_write(int(i)), arrived, _original(infos[i]["terminal_observation"], normalizer))
        truncated = np.array([info.get("TimeLimit.truncated", False) for info in infos], np.bool_)
        return Step(
            # on-policy algorithms keep the unclipped action as "actions"; the environment saw the clipped one
            actions=local_variables.get("clipped_actions", local_variables["actions"]),
            rewards=rewards,
            terminated=ended & ~truncated,
            ended=ended,
            arrived=arrived,
            restarted=restarted,
            arrived_labels=self._label_values(infos),
            restarted_labels=self._label_values(adapter.environment(self._model).unwrapped.reset_infos),
        )

    def _label_values(self, infos: Sequence[dict[str, Any]]) -> dict[str, NDArray[np.float64]]:
        return {name: label_numbers(name, [info.get(name, np.nan) for info in infos]) for name in self._labels}


def _shapes(space: Any) -> Any:
    """Return the shape of observations, or those of the parts of a ``Dict``."""
    return {key: _shapes(part) for key, part in space.items()} if isinstance(space, spaces.Dict) else space.shape


def _original(observation: Any, normalizer: VecNormalize | None) -> Any:
    return observation if normalizer is None else normalizer.unnormalize_obs(observation)


def _write(i: int) -> Any:
    """Return a function that writes one observation into row ``i`` of an array, rounded where that holds integers."""

    def write(rows: NDArray[Any], observation: NDArray[Any]) -> None:
        rows[i] = np.rint(observation) if np.issubdtype(rows.dtype, np.integer) else observation

    return write


def _equal(one: Arrays, other: Arrays) -> bool:
    equal = map_arrays(np.array_equal, one, other)
    return all(equal.values()) if isinstance(equal, dict) else equal
