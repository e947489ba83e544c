"""How vector environments end episodes: the one reader of their autoreset modes."""

from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from jepa_extractor.checks import shown
from jepa_extractor.data.observations import Arrays, length, map_arrays

Envs = VectorEnv[Any, Any, Any]
Infos = dict[str, Any]
Mask = NDArray[np.bool_]


class Moment(NamedTuple):
    """What one step of n environments led to, and where they stand now.

    Attributes:
        arrived: the observations (n, ...) that the step led to; where it ended an episode, the last of that episode.
        arrived_infos: the infos that belong to them, in the form of Gymnasium; see ``last_infos``.
        last_infos: those of environments whose episode ended; empty where they give none.
        rewards: (n,).
        terminated: bool (n,), whether the step ended its episode other than by a time limit.
        ended: bool (n,), whether the step ended its episode in any way.
        is_step: bool (n,), false where the environment only began an episode and took no action.
        observations: those (n, ...) at which the next actions will be taken.
        infos: the infos that belong to them.
        begins: bool (n,), whether they begin an episode.
    """

    arrived: Arrays
    arrived_infos: Infos
    last_infos: Infos
    rewards: NDArray[Any]
    terminated: Mask
    ended: Mask
    is_step: Mask
    observations: Arrays
    infos: Infos
    begins: Mask


class EndReader:
    """Resets and steps a vector environment, and says which observations end and which begin an episode.

    Arrays of a ``Moment`` may be written to by the next step, and must not be written to; copy what must last.

    Args:
        envs: the vector environment.
        mode: its autoreset mode: see ``autoreset_mode``. DISABLED also for one of mode NEXT_STEP that can be reset in
            part.
    """

    def __init__(self, envs: Envs, mode: AutoresetMode) -> None:
        self._envs = envs
        self._mode = mode
        self._all, self._none = np.ones(envs.num_envs, np.bool_), np.zeros(envs.num_envs, np.bool_)
        self._ended = self._none  # by the step before

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Arrays, Infos]:
        """Begin an episode everywhere; return the observations (n, ...) and infos.

        Raises:
            ValueError: the environments do not give one observation each.
        """
        self._ended = self._none
        observations, infos = self._envs.reset(seed=seed, options=options)
        if length(observations) != self._envs.num_envs:
            raise ValueError(
                f"{self._envs} gives {length(observations)} observations of its {self._envs.num_envs} environments: "
                "make it without batch_size, so that all step together"
            )
        return observations, vector_infos(infos, self._envs.num_envs)

    def step(self, actions: Any) -> Moment:
        """Take one step with ``actions`` (n, ...), and begin the next episode where one has ended.

        Raises:
            ValueError: an episode ended without its last observation, in mode SAME_STEP.
        """
        n, before = self._envs.num_envs, self._ended
        observations, rewards, terminated, truncated, infos = self._envs.step(actions)
        infos = vector_infos(infos, n)
        terminated, ended = np.asarray(terminated, np.bool_), np.logical_or(terminated, truncated)
        arrived, arrived_infos, last_infos = observations, infos, infos
        is_step, begins = self._all, self._none
        if self._mode is AutoresetMode.NEXT_STEP:
            is_step, begins, self._ended = ~before, before, ended
        elif ended.any():
            begins = ended
            arrived = map_arrays(np.array, observations)  # a copy, since it is changed, or overwritten by the reset
            if self._mode is AutoresetMode.SAME_STEP:
                for i in np.flatnonzero(ended):
                    _write(arrived, int(i), final_observation(infos, int(i)))
                last_infos = vector_infos(infos.get("final_info", {}), n)
            else:
                arrived_infos = last_infos = deepcopy(infos)
                observations, infos = self._envs.reset(options={"reset_mask": ended.copy()})
                infos = vector_infos(infos, n)
        return Moment(
            arrived, arrived_infos, last_infos, rewards, terminated, ended, is_step, observations, infos, begins
        )


def autoreset_mode(name: str, envs: Envs) -> AutoresetMode:
    """Return when ``envs`` begin the next episode: ``metadata["autoreset_mode"]``, also where it is a string.

    Raises:
        ValueError: the metadata do not say it; to guess would be to lose first or last observations.
    """
    mode = envs.metadata.get("autoreset_mode")
    for known in AutoresetMode:
        if mode in (known, known.value, known.name):
            return known
    raise ValueError(
        f'metadata["autoreset_mode"]={shown(mode)} of {name}={envs} does not say when episodes begin: set it to a '
        "gymnasium.vector.AutoresetMode; NEXT_STEP where the step after an end only resets, SAME_STEP where the last "
        "step resets"
    )


def vector_infos(infos: Any, count: int) -> Infos:
    """Return the infos of ``count`` environments in Gymnasium's form: arrays by key, of which ``"_" + key`` is a mask.

    A list of dicts, as ``DictInfoToList`` gives and as ``final_info`` was before Gymnasium 1.0, takes that form.
    """
    if isinstance(infos, dict):
        return infos
    joined: Infos = {}
    for i, info in enumerate(infos):
        for key, value in (info or {}).items():
            if key not in joined:
                joined[key], joined[f"_{key}"] = np.full(count, None), np.zeros(count, np.bool_)
            joined[key][i], joined[f"_{key}"][i] = value, True
    return joined


def final_observation(infos: Infos, i: int) -> Any:
    """Return the last observation of the episode that ended in environment ``i``, in mode SAME_STEP.

    Raises:
        ValueError: ``infos``, of the step that ended it, lack it.
    """
    finals, mask = infos.get("final_obs"), infos.get("_final_obs")
    last = None
    if finals is not None and (mask is None or mask[i]):
        last = {key: array[i] for key, array in finals.items()} if isinstance(finals, dict) else finals[i]
    if last is None:
        raise ValueError(
            f"environment {i} ended an episode in autoreset mode SAME_STEP, but its info holds no 'final_obs', so the "
            "last observation is lost: make the environments with another autoreset mode"
        )
    return last


def env_seed(word: int, count: int) -> int:
    """Return a seed for ``reset`` made of 32 random bits: it and the ``count`` - 1 after it are below 2**31.

    A vector environment seeds its environments with consecutive numbers, and some bindings take no more than an int32.
    """
    return word % (2**31 - count)


def _write(observations: Arrays, i: int, last: Any) -> None:
    """Write ``last`` into row ``i``."""
    if isinstance(observations, dict):
        for key, array in observations.items():
            array[i] = last[key]
    else:
        observations[i] = last
