"""Episodes of a Gymnasium vector environment under random actions: data without any policy."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray
from stable_baselines3.common.preprocessing import is_image_space, is_image_space_channels_first
from stable_baselines3.common.vec_env import VecTransposeImage

from jepa_extractor.checks import require_integer


class Episode(NamedTuple):
    """One episode of T steps, or the beginning of one."""

    observations: NDArray[np.generic]  # (T + 1, *observation shape): before the first step and after each
    actions: NDArray[np.generic]  # (T, *action shape)
    rewards: NDArray[np.float32]  # (T,)
    terminated: bool  # whether the last step ended it, time limits not counted
    labels: NDArray[np.float64]  # (T + 1,) label of each observation, NaN where unknown


def policy_space(space: spaces.Space[Any]) -> spaces.Space[Any]:
    """Return the space of observations as Stable-Baselines3's policies see them: images with channels first."""
    if _channels_last(space):
        assert isinstance(space, spaces.Box)
        return VecTransposeImage.transpose_space(space)
    return space


def random_episodes(
    envs: VectorEnv[Any, Any, Any], transitions: int, seed: int, label: str | None = None
) -> Iterator[Episode]:
    """Yield episodes under uniformly random actions until they hold ``transitions`` or a few more.

    The same seed gives the same episodes. Those still going on at the end are yielded as far as they came.
    Observations are as ``policy_space`` says.

    Args:
        envs: the environments, in any autoreset mode; they are reset first.
        transitions: least number of steps over all episodes, at least 1.
        seed: seed of environments and actions.
        label: key of ``info`` whose value, a number, labels the observation; ``None`` for no label.

    Raises:
        ValueError: an argument is out of range, the label is no number, or no ``info`` of the first episode has it.
    """
    require_integer("transitions", transitions, least=1)
    require_integer("seed", seed, least=0)
    env_seed, action_seed = (int(word) for word in np.random.SeedSequence(seed).generate_state(2))
    mode = envs.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)
    channels_last = _channels_last(envs.single_observation_space)
    envs.action_space.seed(action_seed)
    observations, infos = envs.reset(seed=env_seed)
    labels = _labels(infos, label, envs.num_envs)
    recorders = [_Recorder(*first, channels_last) for first in zip(observations, labels, strict=True)]
    labelled = np.isfinite(labels).any()
    resetting = np.zeros(envs.num_envs, np.bool_)  # whether the coming step only resets
    taken = 0
    while taken < transitions:
        actions = envs.action_space.sample()
        observations, rewards, terminated, truncated, infos = envs.step(actions)
        labels = _labels(infos, label, envs.num_envs)
        ended = terminated | truncated
        arrived, arrived_labels = observations, labels
        if mode is AutoresetMode.SAME_STEP and ended.any():
            arrived = [infos["final_obs"][i] if ended[i] else observations[i] for i in range(envs.num_envs)]
            arrived_labels = np.where(ended, _labels(infos["final_info"], label, envs.num_envs), labels)
        labelled |= np.isfinite(arrived_labels).any()
        if label is not None and ended.any() and not labelled:
            raise ValueError(f"label={label!r} is not in info, in a whole episode: name a key that is")
        for i in np.flatnonzero(~resetting):
            recorders[i].add(actions[i], rewards[i], arrived[i], arrived_labels[i])
            taken += 1
            if ended[i]:
                yield recorders[i].episode(bool(terminated[i]))
        restarted = resetting
        if mode is AutoresetMode.SAME_STEP:
            restarted = ended
        elif mode is AutoresetMode.NEXT_STEP:
            resetting = ended
        elif ended.any():
            observations, infos = envs.reset(options={"reset_mask": ended})
            labels = _labels(infos, label, envs.num_envs)
            restarted = ended
        for i in np.flatnonzero(restarted):
            recorders[i] = _Recorder(observations[i], labels[i], channels_last)
    for recorder, over in zip(recorders, ended, strict=True):
        if recorder.actions and not (over and mode is AutoresetMode.NEXT_STEP):
            yield recorder.episode(terminated=False)


class _Recorder:
    """One episode while it goes on."""

    def __init__(self, observation: NDArray[np.generic], label: np.float64, channels_last: bool) -> None:
        self._channels_last = channels_last
        self._observations = [self._as_policies_see(observation)]
        self._labels = [label]
        self.actions: list[Any] = []
        self._rewards: list[float] = []

    def add(self, action: Any, reward: float, arrived: NDArray[np.generic], label: np.float64) -> None:
        self.actions.append(action)
        self._rewards.append(reward)
        self._observations.append(self._as_policies_see(arrived))
        self._labels.append(label)

    def episode(self, terminated: bool) -> Episode:
        return Episode(
            np.stack(self._observations),
            np.stack(self.actions),
            np.array(self._rewards, np.float32),
            terminated,
            np.array(self._labels, np.float64),
        )

    def _as_policies_see(self, observation: NDArray[np.generic]) -> NDArray[np.generic]:
        # a copy: a vector environment may write its next observations where these are
        return np.array(np.moveaxis(observation, -1, 0) if self._channels_last else observation)


def _channels_last(space: spaces.Space[Any]) -> bool:
    return isinstance(space, spaces.Box) and is_image_space(space) and not is_image_space_channels_first(space)


def _labels(infos: dict[str, Any], label: str | None, count: int) -> NDArray[np.float64]:
    """Return ``info[label]`` of each environment, (n,), NaN where it is missing."""
    if label is None or label not in infos:
        return np.full(count, np.nan)
    known = infos.get(f"_{label}", np.ones(count, np.bool_))
    return label_numbers(label, [value if held else np.nan for value, held in zip(infos[label], known, strict=True)])


def label_numbers(label: str | None, values: Sequence[Any]) -> NDArray[np.float64]:
    """Return ``values`` (n,), what each ``info`` has under the key ``label``, as numbers.

    Raises:
        ValueError: one is no single number.
    """
    try:
        return np.array(values, np.float64).reshape(len(values))
    except (TypeError, ValueError) as error:
        raise ValueError(f"label={label!r} is {values[0]!r} in info: name a key whose value is a number") from error
