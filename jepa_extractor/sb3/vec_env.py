"""GymnasiumVecEnv: any Gymnasium vector environment as a Stable-Baselines3 ``VecEnv``."""

from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper
from gymnasium.wrappers import vector as wrappers
from numpy.typing import NDArray
from stable_baselines3.common.env_util import is_wrapped
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices, VecEnvObs, VecEnvStepReturn

from jepa_extractor.checks import shown
from jepa_extractor.data.ends import autoreset_mode, final_observation, vector_infos

Mask = NDArray[np.bool_]
_STATELESS = (
    wrappers.TransformAction,
    wrappers.TransformObservation,
    wrappers.TransformReward,
    wrappers.VectorizeTransformAction,
    wrappers.VectorizeTransformObservation,
    wrappers.VectorizeTransformReward,
)
_FINAL = ("final_obs", "final_info", "_final_obs", "_final_info")


class GymnasiumVecEnv(VecEnv):
    """A Gymnasium ``VectorEnv`` in the form that Stable-Baselines3 trains on.

    ``PPO("MlpPolicy", GymnasiumVecEnv(gym.make_vec("CartPole-v1", num_envs=8)))``. Image observations keep their
    layout; Stable-Baselines3 itself moves the channels to the front. ``VecMonitor`` and its like go on top as usual.

    **The end of an episode.** Stable-Baselines3 expects that a step which ends an episode already returns the first
    observation of the next one, and the last observation in ``info["terminal_observation"]``. How it gets that depends
    on the vector environment's ``metadata["autoreset_mode"]``:

    - ``SAME_STEP`` does just that.
    - ``DISABLED``: the adapter resets what has ended, by ``reset(options={"reset_mask": dones})``.
    - ``NEXT_STEP``, with an environment that can be reset in part: the same. These are Gymnasium's own
      ``SyncVectorEnv`` and ``AsyncVectorEnv`` (with shared memory) and every environment whose metadata say
      ``"partial_reset": True``; bare, or under wrappers that transform observations, actions or rewards and have no
      state.
    - ``NEXT_STEP`` otherwise, for instance ``CartPole-v1`` in ``vector_entry_point`` mode: **each episode is one
      step longer.** Such an environment spends a step on the reset, and Stable-Baselines3 chooses an action for that
      step and stores a transition. No adapter can prevent this, so this one makes the transition a true one: the
      episode stays in its last state for one more step. The step that ends the episode returns its reward and its
      last observation, but not yet ``done``; the next one, whose action is ignored, returns reward 0, ``done``,
      the last observation as ``terminal_observation``, and the info of the end.

      The cost: one transition of each episode teaches nothing new. Returns are exact, lengths are one too high.
      After termination the value of the last state is learned as 0, which is right. After truncation the extra step
      bootstraps the value of the last state from itself, times gamma, and so pulls it slightly towards 0.

    In the first three cases the transitions are exactly those of ``DummyVecEnv``. For the statistics of episodes put
    ``VecMonitor`` on top: ``gymnasium.wrappers.vector.RecordEpisodeStatistics`` forgets running episodes where
    ``SyncVectorEnv`` or ``AsyncVectorEnv`` is reset in part.

    Args:
        vector_env: the environment; closing the adapter closes it.
        partial_reset: whether ``reset(options={"reset_mask": mask})`` resets only where ``mask`` is true. ``None``:
            yes for the environments named above and in mode DISABLED, otherwise no. The adapter never tries it out,
            since an environment that ignores the mask would lose every running episode.

    Raises:
        TypeError: ``vector_env`` is not a Gymnasium vector environment.
        ValueError: its metadata do not say the autoreset mode, or ``partial_reset`` is not True, False or None.
    """

    def __init__(self, vector_env: VectorEnv[Any, Any, Any], partial_reset: bool | None = None) -> None:
        if not isinstance(vector_env, VectorEnv):
            raise TypeError(
                f"vector_env={shown(vector_env)} is not a gymnasium.vector.VectorEnv: make one by gym.make_vec"
            )
        mode = autoreset_mode("vector_env", vector_env)
        if partial_reset is not None and not isinstance(partial_reset, bool | np.bool_):
            raise ValueError(f"partial_reset={shown(partial_reset)} is not True, False or None")
        self.vector_env = vector_env
        self._mode = mode
        if partial_reset is None:
            partial_reset = _can_reset_in_part(vector_env)
        self._partial_reset = mode == AutoresetMode.DISABLED or (mode == AutoresetMode.NEXT_STEP and partial_reset)
        # Only an environment with copy=True promises new arrays at each step.
        self._owned = bool(getattr(vector_env.unwrapped, "copy", False))
        self._actions: NDArray[Any] | None = None
        self._delayed: dict[int, dict[str, Any]] = {}  # sub-environments in the extra step, with the info of their end
        super().__init__(vector_env.num_envs, vector_env.single_observation_space, vector_env.single_action_space)

    def reset(self) -> VecEnvObs:
        """Begin an episode everywhere, with the seeds and options set before; return the observations, (n, ...).

        Raises:
            ValueError: the options set before are not the same for all sub-environments.
        """
        if not all(data_equivalence(options, self._options[0]) for options in self._options):
            raise ValueError("a Gymnasium vector environment takes the same reset options everywhere: give one dict")
        observations, infos = self.vector_env.reset(
            seed=self._seeds[0],  # sub-environment i gets seed + i, as VecEnv.seed() has it
            options=self._options[0] or None,
        )
        self._reset_seeds()
        self._reset_options()
        self._delayed = {}
        self.reset_infos = _split_infos(vector_infos(self._own(infos), self.num_envs), self.num_envs)
        return self._own(observations)  # type: ignore[no-any-return]

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keep ``actions`` (n, ...) for :meth:`step_wait`."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Step, and return observations (n, ...), rewards float32 (n,), dones bool (n,) and a list of n infos.

        Raises:
            RuntimeError: :meth:`step_async` has not been called before.
        """
        if self._actions is None:
            raise RuntimeError("step_wait() without actions: call step_async(actions) first")
        actions, self._actions = self._actions, None
        observations, rewards, terminations, truncations, given = self.vector_env.step(actions)
        rewards = np.array(rewards, np.float32)
        dones = np.logical_or(terminations, truncations)
        timeouts = np.logical_and(truncations, np.logical_not(terminations)).tolist()
        shown = vector_infos(self._own(given), self.num_envs)
        finals = {key: shown.pop(key) for key in _FINAL if key in shown}
        infos = _split_infos(shown, self.num_envs)
        ended = np.flatnonzero(dones).tolist()

        if self._mode == AutoresetMode.SAME_STEP and ended:
            last = vector_infos(finals.get("final_info", {}), self.num_envs)
            last_infos = _split_infos(last, self.num_envs)
            for i in ended:
                self.reset_infos[i], infos[i] = infos[i], last_infos[i]
                infos[i]["terminal_observation"] = final_observation(finals, i)
                if "episode" in self.reset_infos[i]:  # RecordEpisodeStatistics does not write into final_info
                    infos[i]["episode"] = self.reset_infos[i].pop("episode")
        elif self._partial_reset and ended:
            for i in ended:
                infos[i]["terminal_observation"] = deepcopy(_row(observations, i))
            observations, given = self.vector_env.reset(options={"reset_mask": dones.copy()})
            first_infos = _split_infos(vector_infos(self._own(given), self.num_envs), self.num_envs)
            for i in ended:
                self.reset_infos[i] = first_infos[i]

        for info, timeout in zip(infos, timeouts, strict=True):
            info["TimeLimit.truncated"] = timeout
        if self._mode == AutoresetMode.NEXT_STEP and not self._partial_reset:
            dones = self._delay_ends(observations, ended, infos)
        return self._own(observations), rewards, dones, infos

    def _delay_ends(self, observations: VecEnvObs, ended: list[int], infos: list[dict[str, Any]]) -> Mask:
        """Delay the ends of this step by one step, report those of the step before, and return the dones."""
        dones = np.zeros(self.num_envs, np.bool_)
        for i, info in self._delayed.items():
            dones[i] = True
            self.reset_infos[i] = {key: value for key, value in infos[i].items() if key != "TimeLimit.truncated"}
            infos[i] = info
        self._delayed = {}
        for i in ended:
            self._delayed[i] = {**infos[i], "terminal_observation": deepcopy(_row(observations, i))}
            infos[i] = {"TimeLimit.truncated": False}
        return dones

    def close(self) -> None:
        """Close the vector environment."""
        self.vector_env.close()

    def get_images(self) -> Sequence[NDArray[Any] | None]:
        """Return the image that each sub-environment renders, or ``None`` for each."""
        images: Any = self.vector_env.render()
        return [None] * self.num_envs if images is None else list(images)

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return an attribute of each sub-environment; without such, the vector environment's own, repeated.

        Args:
            attr_name: name of the attribute.
            indices: number or numbers of sub-environments, each in 0..n-1; ``None``: all.

        Raises:
            AttributeError: there is no such attribute.
        """
        env, chosen = self.vector_env.unwrapped, self._get_indices(indices)
        if isinstance(env, SyncVectorEnv):
            return [env.envs[i].get_wrapper_attr(attr_name) for i in chosen]
        if isinstance(env, AsyncVectorEnv):
            if not all(_ask(env, chosen, "_call", ("has_wrapper_attr", (attr_name,), {}))):  # a worker would shut down
                raise AttributeError(f"sub-environments of {self.vector_env} have no attribute {attr_name!r}")
            return _ask(env, chosen, "_call", ("get_wrapper_attr", (attr_name,), {}))
        value = getattr(_owner(self.vector_env, attr_name), attr_name)
        return [value for _ in chosen]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of sub-environments; without such, the vector environment's own, for all ``indices`` only.

        Raises:
            ValueError: ``indices`` are given for an environment whose attributes belong to all.
        """
        env, chosen = self.vector_env.unwrapped, self._get_indices(indices)
        if isinstance(env, SyncVectorEnv):
            for i in chosen:
                env.envs[i].set_wrapper_attr(attr_name, value)
        elif isinstance(env, AsyncVectorEnv):
            _ask(env, chosen, "_setattr", (attr_name, value))
        else:
            _need_all(self, indices, attr_name)
            setattr(_owner(self.vector_env, attr_name), attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method of each sub-environment and return the results.

        Without sub-environments the vector environment's own method is called once; of a tuple, list or array of
        length ``num_envs`` each gets an entry, anything else is repeated.

        Raises:
            AttributeError: there is no such method.
            ValueError: ``indices`` are given for an environment that can only call all.
            RuntimeError: in a worker of an ``AsyncVectorEnv``, the method is missing or raised an error.
        """
        env, chosen = self.vector_env.unwrapped, self._get_indices(indices)
        if isinstance(env, SyncVectorEnv):
            return [env.envs[i].get_wrapper_attr(method_name)(*method_args, **method_kwargs) for i in chosen]
        if isinstance(env, AsyncVectorEnv):
            return _ask(env, chosen, "_call", (method_name, method_args, method_kwargs))
        _need_all(self, indices, method_name)
        result = getattr(_owner(self.vector_env, method_name), method_name)(*method_args, **method_kwargs)
        if isinstance(result, tuple | list | np.ndarray) and len(result) == self.num_envs:
            return list(result)
        return [result] * self.num_envs

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Return whether each sub-environment has this wrapper; false where there are none in this process."""
        env = self.vector_env.unwrapped
        if not isinstance(env, SyncVectorEnv):
            return [False for _ in self._get_indices(indices)]
        return [is_wrapped(env.envs[i], wrapper_class) for i in self._get_indices(indices)]

    def _own(self, data: Any) -> Any:
        """Return ``data``, copied if the environment may write into it at the next step."""
        return data if self._owned else deepcopy(data)


def _can_reset_in_part(vector_env: VectorEnv[Any, Any, Any]) -> bool:
    env = vector_env
    while isinstance(env, VectorWrapper):
        if not isinstance(env, _STATELESS):  # it may refuse a partial reset, or lose the state of running episodes
            return False
        env = env.env
    if isinstance(env, AsyncVectorEnv):
        return env.shared_memory  # without it, the workers reset a second time
    return isinstance(env, SyncVectorEnv) or env.metadata.get("partial_reset") is True


def _need_all(env: GymnasiumVecEnv, indices: VecEnvIndices, name: str) -> None:
    if list(env._get_indices(indices)) != list(range(env.num_envs)):
        raise ValueError(
            f"indices={shown(indices)} with {name!r}: {env.vector_env} has one for all, so give indices=None"
        )


def _ask(env: AsyncVectorEnv, indices: Iterable[int], command: str, data: tuple[Any, ...]) -> list[Any]:
    """Send ``command`` to the workers of some sub-environments and return their answers; ``env.call`` asks all."""
    pipes = [env.parent_pipes[i] for i in indices]
    for pipe in pipes:
        pipe.send((command, data))
    answers = [pipe.recv() for pipe in pipes]
    if not all(success for _, success in answers):
        raise RuntimeError(f"a worker of {env} has shut down, since {data[0]!r} raised an error there")
    return [answer for answer, _ in answers]


def _owner(env: VectorEnv[Any, Any, Any], name: str) -> VectorEnv[Any, Any, Any]:
    """Return the outermost of the wrapped environments that has ``name``; the innermost if none has."""
    while not hasattr(env, name) and isinstance(env, VectorWrapper):
        env = env.env
    return env


def _row(observations: Any, i: int) -> Any:
    """Return the observation of sub-environment ``i``."""
    if isinstance(observations, dict):
        return {key: _row(value, i) for key, value in observations.items()}
    if isinstance(observations, tuple):
        return tuple(_row(value, i) for value in observations)
    return observations[i]


def _split_infos(vector_infos: dict[str, Any], num_envs: int) -> list[dict[str, Any]]:
    """Return one info for each sub-environment from Gymnasium's arrays, of which ``"_" + key`` masks ``key``."""
    infos: list[dict[str, Any]] = [{} for _ in range(num_envs)]
    for key, values in vector_infos.items():
        if key.startswith("_") and key[1:] in vector_infos:
            continue
        rows = _split_infos(values, num_envs) if isinstance(values, dict) else _rows(values, num_envs)
        mask = vector_infos.get(f"_{key}")
        holds = [True] * num_envs if mask is None else mask.tolist()
        for info, row, held in zip(infos, rows, holds, strict=True):
            if held:
                info[key] = row
    return infos


def _rows(values: Any, num_envs: int) -> Sequence[Any]:
    """Return the entries of an array, numbers as Python's own; what is no array of ``num_envs`` is repeated."""
    if not isinstance(values, np.ndarray) or values.shape[:1] != (num_envs,):
        return [values] * num_envs
    return values.tolist() if values.ndim == 1 else list(values)
