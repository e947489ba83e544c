"""Episodes of a Gymnasium vector environment, under random actions or a policy."""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from jepa_extractor.checks import require_integer, require_strings, require_type, shown
from jepa_extractor.data.ends import EndReader, Envs, autoreset_mode, env_seed
from jepa_extractor.data.episodes import Episode
from jepa_extractor.data.observations import Arrays, map_arrays, require_finite
from jepa_extractor.data.spaces import (
    keys_with_channels_last,
    move_channels,
    require_action_space,
    require_bounded,
    require_observation_space,
)

PATIENCE = 1_000  # steps of each environment after which a label that no info has held is worth a warning


class Policy(Protocol):
    """What chooses actions, such as a model of Stable-Baselines3."""

    def predict(self, observation: Any, state: Any = None, episode_start: Any = None) -> tuple[Any, Any]:
        """Return actions (n, ...) for the observations of n environments, as these give them, and the next state."""


def random_episodes(envs: Envs, transitions: int, seed: int, labels: Sequence[str] = ()) -> Iterator[Episode]:
    """Return ``episodes`` under uniformly random actions, data without any policy.

    Args:
        envs: see ``episodes``.
        transitions: least number of steps over all episodes, at least 1.
        seed: seed of environments and actions, at least 0.
        labels: keys of ``info`` whose values are numbers that label the observations.

    Raises:
        ValueError: an argument is out of range, or see ``episodes``.
    """
    return episodes(envs, transitions, seed, labels=labels)


def episodes(
    envs: Envs, transitions: int, seed: int, policy: Policy | None = None, labels: Sequence[str] = ()
) -> Iterator[Episode]:
    """Return an iterator over episodes that ends when they hold ``transitions`` or a few more.

    The same seed gives the same episodes, of environments that take it in ``reset`` and under a policy that draws
    nothing. Episodes that have not ended by then are given unfinished. Observations are in ``policy_space``: images
    have their channels first.

    Args:
        envs: the environments, in any autoreset mode; they are reset first.
        transitions: least number of steps over all episodes, at least 1.
        seed: seed of environments and random actions, at least 0.
        policy: chooses the actions by ``predict``, in the form of Stable-Baselines3; ``None``: uniformly random ones.
        labels: keys of ``info`` whose values are numbers that label the observations, float64 in an ``Episode``. The
            last observation of an episode has none where the environments, in mode SAME_STEP, give no ``final_info``.

    Raises:
        ValueError: an argument is out of range, or observations or actions are of no supported space. When episodes are
            taken: an observation or reward is not finite, a last observation is missing, a label is not a number, or
            no ``info`` of a whole episode or of all steps has it. After 1,000 steps without it there is a warning.
    """
    require_type("envs", envs, VectorEnv, "make them with gym.make_vec")
    require_integer("transitions", transitions, least=1)
    require_integer("seed", seed, least=0)
    require_strings("labels", labels)
    if policy is not None and not callable(getattr(policy, "predict", None)):
        raise ValueError(f"policy={shown(policy)} has no predict(observations): give a model or None")
    require_observation_space("envs.single_observation_space", envs.single_observation_space)
    require_action_space("envs.single_action_space", envs.single_action_space)
    if policy is None:
        require_bounded("envs.single_action_space", envs.single_action_space)
    mode = autoreset_mode("envs", envs)
    return _episodes(envs, mode, transitions, seed, policy, labels)


def _episodes(
    envs: Envs, mode: AutoresetMode, transitions: int, seed: int, policy: Policy | None, labels: Sequence[str]
) -> Iterator[Episode]:
    n, shape = envs.num_envs, envs.single_action_space.shape
    assert shape is not None
    images = keys_with_channels_last(envs.single_observation_space)
    env_word, action_seed = (int(word) for word in np.random.SeedSequence(seed).generate_state(2))
    actor = _RandomActions(envs, action_seed) if policy is None else policy
    reader = EndReader(envs, mode)
    given, infos = reader.reset(env_seed(env_word, n))
    seen, known = move_channels(given, images), label_arrays(infos, labels, n)
    require_finite("observations", seen, 0)
    recorders = [_Recorder(seen, known, i) for i in range(n)]
    missing = {name for name in labels if not np.isfinite(known[name]).any()}
    begins, state = np.ones(n, np.bool_), None
    taken = steps = 0
    while taken < transitions:
        actions, state = actor.predict(given, state=state, episode_start=begins)
        if np.shape(actions) != (n, *shape):
            raise ValueError(
                f"policy={shown(policy)} gives actions of shape {np.shape(actions)}: {n} of {shape} are needed"
            )
        moment = reader.step(actions)
        given, begins, steps = moment.observations, moment.begins, steps + 1
        seen, known = move_channels(moment.arrived, images), label_arrays(moment.arrived_infos, labels, n)
        if moment.last_infos is not moment.arrived_infos:
            last = label_arrays(moment.last_infos, labels, n)
            known = {name: np.where(moment.ended, last[name], known[name]) for name in labels}
        require_finite("observations", seen, steps)
        if b"\0" in np.isfinite(moment.rewards).tobytes():  # what a step that only resets gives is no reward
            require_finite("rewards", np.where(moment.is_step, moment.rewards, 0), steps)
        missing -= {name for name in missing if np.isfinite(known[name]).any()}
        if missing:
            _report(sorted(missing), steps, bool(moment.ended.any()))
        for i in np.flatnonzero(moment.is_step):
            recorders[i].add(actions[i], moment.rewards[i], seen, known)
            taken += 1
            if moment.ended[i]:
                yield recorders[i].episode(bool(moment.terminated[i]))
        begun = np.flatnonzero(begins)
        if len(begun) and given is not moment.arrived:
            seen, known = move_channels(given, images), label_arrays(moment.infos, labels, n)
            require_finite("observations", seen, steps)
        for i in begun:
            recorders[i] = _Recorder(seen, known, int(i))
    for recorder, is_given in zip(recorders, moment.ended, strict=True):
        if recorder.actions and not is_given:
            yield recorder.episode(terminated=False)
    if missing:
        raise ValueError(f"labels={sorted(missing)} are not in info, in {steps} steps: name keys that are")


def _report(missing: list[str], steps: int, ended: bool) -> None:
    """Say that no info has held the labels ``missing`` so far, where that is known to be wrong or likely so."""
    if ended:
        raise ValueError(f"labels={missing} are not in info, in a whole episode: name keys that are")
    if steps == PATIENCE:
        warnings.warn(f"labels={missing} are not in info, in {steps} steps: name keys that are", stacklevel=3)


class _RandomActions:
    """Uniformly random actions as a policy."""

    def __init__(self, envs: Envs, seed: int) -> None:
        # not envs.action_space, which is that of one environment in EnvPool
        self._space = batch_space(envs.single_action_space, envs.num_envs)
        self._space.seed(seed)

    def predict(self, _observation: Any, state: Any = None, **_unused: Any) -> tuple[NDArray[Any], Any]:
        return self._space.sample(), state


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
        self._observations.append(map_arrays(self._copy, observations))
        for name, values in labels.items():
            self._labels[name].append(values[self._env])

    def _copy(self, array: NDArray[Any]) -> NDArray[Any]:
        return array[self._env].copy()  # type: ignore[no-any-return]

    def episode(self, terminated: bool) -> Episode:
        return Episode(
            map_arrays(lambda *rows: np.array(rows), *self._observations),
            np.array(self.actions),
            np.array(self._rewards, np.float32),
            terminated,
            {name: np.array(values) for name, values in self._labels.items()},
        )


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
