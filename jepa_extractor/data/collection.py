"""Episodes of a Gymnasium vector environment under random actions: data without any policy."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from jepa_extractor.checks import require_integer, require_strings, require_type
from jepa_extractor.data.observations import Arrays, map_arrays
from jepa_extractor.data.spaces import channels_first


class Episode(NamedTuple):
    """One episode of T steps, or the beginning of one.

    Attributes:
        observations: before the first step and after each, ``(T + 1, *observation shape)``; a dict of such arrays for a
            ``Dict`` space.
        actions: ``(T, *action shape)``, in the dtype of the action space.
        rewards: of each step, float32 (T,).
        terminated: whether the last step ended the episode, time limits not counted.
        labels: numbers by name for each observation, (T + 1,), NaN where unknown.
    """

    observations: Arrays
    actions: NDArray[Any]
    rewards: NDArray[np.float32]
    terminated: bool
    labels: Mapping[str, NDArray[np.floating[Any]]] = {}


def random_episodes(
    envs: VectorEnv[Any, Any, Any], transitions: int, seed: int, labels: Sequence[str] = ()
) -> Iterator[Episode]:
    """Yield episodes under uniformly random actions until they hold ``transitions`` or a few more.

    The same seed gives the same episodes. Episodes that have not ended by then are yielded unfinished.
    Observations are in ``policy_space``: images have their channels first.

    Args:
        envs: the environments, in any autoreset mode; they are reset first.
        transitions: least number of steps over all episodes, at least 1.
        seed: seed of environments and actions, at least 0.
        labels: keys of ``info`` whose values are numbers that label the observations, float64 in an ``Episode``.

    Raises:
        ValueError: an argument is out of range, a label is not a number, or no ``info`` of a whole episode has it.
    """
    require_type("envs", envs, VectorEnv, "make them with gym.make_vec")
    require_integer("transitions", transitions, least=1)
    require_integer("seed", seed, least=0)
    require_strings("labels", labels)
    env_seed, action_seed = (int(word) for word in np.random.SeedSequence(seed).generate_state(2))
    mode = envs.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)
    space, n = envs.single_observation_space, envs.num_envs
    envs.action_space.seed(action_seed)
    observations, infos = envs.reset(seed=env_seed)
    observations, known = channels_first(observations, space), label_arrays(infos, labels, n)
    recorders = [_Recorder(observations, known, i) for i in range(n)]
    missing = {name for name in labels if not np.isfinite(known[name]).any()}
    resetting = np.zeros(n, np.bool_)  # whether the coming step only resets
    taken = 0
    while taken < transitions:
        actions = envs.action_space.sample()
        observations, rewards, terminated, truncated, infos = envs.step(actions)
        observations, known = channels_first(observations, space), label_arrays(infos, labels, n)
        ended = terminated | truncated
        arrived, arrived_labels = observations, known
        if mode is AutoresetMode.SAME_STEP and ended.any():
            arrived, arrived_labels = _finals(observations, infos, ended, space), dict(known)
            for name, values in label_arrays(infos["final_info"], labels, n).items():
                arrived_labels[name] = np.where(ended, values, known[name])
        missing -= {name for name in missing if np.isfinite(arrived_labels[name]).any()}
        if missing and ended.any():
            raise ValueError(f"labels={sorted(missing)} are not in info, in a whole episode: name keys that are")
        for i in np.flatnonzero(~resetting):
            recorders[i].add(actions[i], rewards[i], arrived, arrived_labels)
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
            observations, known = channels_first(observations, space), label_arrays(infos, labels, n)
            restarted = ended
        for i in np.flatnonzero(restarted):
            recorders[i] = _Recorder(observations, known, int(i))
    for recorder, over in zip(recorders, ended, strict=True):
        if recorder.actions and not (over and mode is AutoresetMode.NEXT_STEP):
            yield recorder.episode(terminated=False)


class _Recorder:
    """Records the running episode of environment ``env``."""

    def __init__(self, observations: Arrays, labels: dict[str, NDArray[np.float64]], env: int) -> None:
        self._env = env
        self._observations: list[Arrays] = []
        self._labels: dict[str, list[float]] = {name: [] for name in labels}
        self.actions: list[Any] = []
        self._rewards: list[float] = []
        self._see(observations, labels)

    def add(self, action: Any, reward: float, arrived: Arrays, labels: dict[str, NDArray[np.float64]]) -> None:
        self.actions.append(action)
        self._rewards.append(reward)
        self._see(arrived, labels)

    def _see(self, observations: Arrays, labels: dict[str, NDArray[np.float64]]) -> None:
        # a copy: a vector environment may write its next observations where these are
        self._observations.append(map_arrays(lambda array: np.array(array[self._env]), observations))
        for name, values in labels.items():
            self._labels[name].append(float(values[self._env]))

    def episode(self, terminated: bool) -> Episode:
        return Episode(
            map_arrays(lambda *arrays: np.stack(arrays), *self._observations),
            np.stack(self.actions),
            np.array(self._rewards, np.float32),
            terminated,
            {name: np.array(values) for name, values in self._labels.items()},
        )


def _finals(observations: Arrays, infos: dict[str, Any], ended: NDArray[np.bool_], space: Any) -> Arrays:
    """Return observations in which those of ended episodes are their last, from ``infos["final_obs"]``."""
    arrived = map_arrays(np.array, observations)
    for i in np.flatnonzero(ended):

        def write(array: NDArray[Any], last: NDArray[Any], i: Any = i) -> None:
            array[i] = last

        map_arrays(write, arrived, channels_first(infos["final_obs"][i], space))
    return arrived


def label_arrays(infos: dict[str, Any], labels: Sequence[str], count: int) -> dict[str, NDArray[np.float64]]:
    """Return the numbers (n,) that ``infos`` of n environments hold under each of ``labels``, NaN where missing."""
    arrays = {}
    for name in labels:
        known = infos.get(f"_{name}", np.ones(count, np.bool_))
        values = infos.get(name, np.full(count, np.nan))
        arrays[name] = label_numbers(name, [value if has else np.nan for value, has in zip(values, known, strict=True)])
    return arrays


def label_numbers(name: str, values: Sequence[Any]) -> NDArray[np.float64]:
    """Return ``values`` (n,), what each ``info`` holds under the key ``name``, as numbers.

    Raises:
        ValueError: one is not a single number.
    """
    try:
        return np.array(values, np.float64).reshape(len(values))
    except (TypeError, ValueError) as error:
        raise ValueError(f"label {name!r} is {values[0]!r} in info: name a key whose value is a number") from error
