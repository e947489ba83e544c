"""CountingVectorEnv: many scenes at once, stepped and painted by one compiled kernel."""

from collections.abc import Sequence
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from counting_env.checks import check_bool, check_integer, is_choice, shown
from counting_env.display import enlarge
from counting_env.infos import Array, Mask, VectorInfos, read_only
from counting_env.kernels import (
    begin_where,
    make_outcomes,
    make_scenes,
    make_stream,
    read_choices,
    read_numbers,
    renew_ended,
    step_all,
)
from counting_env.options import HasClasses, Options

Observations = NDArray[np.uint8]

NO_LIMIT = np.iinfo(np.int64).max  # steps in an episode without a time limit


class CountingVectorEnv(HasClasses, VectorEnv[Observations, Array, Array]):
    """``num_envs`` copies of :class:`counting_env.CountingEnv` in one array.

    The same rules, the same pixels and, from the same seeds, the same random numbers: what it returns is
    byte for byte what ``gymnasium.vector.SyncVectorEnv`` returns for single environments, many times
    faster. Sub-environment i is seeded with ``seed + i``, or with ``seed[i]`` where ``seed`` is a list.

    ``gym.make_vec("CountingEnv-v0", num_envs=64, vectorization_mode="vector_entry_point")`` makes one,
    with the options below as further keywords.

    **Shapes.** Observations are uint8 of shape (``num_envs``, ``image_size``, ``image_size``, 3), actions integers of
    shape (``num_envs``,) or, with ``continuous=True``, float32 of shape (``num_envs``, 1). Rewards are float64,
    terminations and truncations bool, all of shape (``num_envs``,). Each entry of ``info`` has ``num_envs`` in front
    of the shape that the single environment gives it; the mask ``info["_" + key]`` is true where it holds.

    **When an episode ends.** `Gymnasium's modes <https://gymnasium.farama.org/api/vector/autoreset/>`_, all three:

    - ``NEXT_STEP``: the next step ignores its action and begins a new episode, with reward 0.
    - ``SAME_STEP``: the same step begins a new episode; the last observation and info of the old one are in
      ``info["final_obs"]`` (an object array) and ``info["final_info"]``.
    - ``DISABLED``: the user calls ``reset(options={"reset_mask": mask})``, where the bool array ``mask`` says
      which to reset. Such a partial reset is possible in the other modes, too.

    ``reset(options=...)`` takes ``count``, ``shape`` and ``color`` as the single environment does, for all it resets.

    Args:
        num_envs: number of sub-environments, at least 1.
        max_episode_steps: steps after which an episode is truncated, at least 1; ``None``: never.
        autoreset_mode: a ``gymnasium.vector.AutoresetMode`` or its value.
        copy: whether each step returns new arrays. ``False`` returns the same arrays every time, which the next step
            overwrites, and allocates nothing that grows with ``num_envs``. Observations and infos are then read-only,
            since the next step starts from them.
        render_mode: ``"rgb_array"``: ``render()`` returns a tuple of enlarged images; ``None``: no pictures.
        **options: all other options of :class:`counting_env.CountingEnv`, from ``target`` to ``slip``.

    Raises:
        ValueError: an argument is out of range; the message names it, its value and what would be right.
        TypeError: there is no option of that name.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]  # Gymnasium's own type is an instance attribute
        "render_modes": ["rgb_array"],
        "render_fps": 4,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
        "partial_reset": True,  # reset(options={"reset_mask": mask}) works in every mode
    }

    def __init__(
        self,
        num_envs: int = 1,
        max_episode_steps: int | None = 4,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        copy: bool = True,
        render_mode: str | None = None,
        **options: Any,
    ) -> None:
        check_integer("num_envs", num_envs, 1)
        if max_episode_steps is not None:
            check_integer("max_episode_steps", max_episode_steps, 1)
        if render_mode is not None and not is_choice(render_mode, self.metadata["render_modes"]):
            raise ValueError(f"render_mode={shown(render_mode)} is unknown for a batch: choose rgb_array or None")
        check_bool("copy", copy)
        self.options = Options(**options)
        self.num_envs = int(num_envs)
        self.max_episode_steps = max_episode_steps
        self.autoreset_mode = _parse_mode(autoreset_mode)
        self.copy = bool(copy)
        self.render_mode = render_mode
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}  # type: ignore[misc]
        self.single_observation_space = self.options.observation_space
        self.single_action_space = self.options.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

        self._rules = self.options.rules
        self._limit = NO_LIMIT if max_episode_steps is None else int(max_episode_steps)
        self._scenes = make_scenes(self.num_envs, self._rules)
        self._outcomes = make_outcomes(self.num_envs)
        self._seeded = np.zeros(self.num_envs, np.bool_)
        self._ready = False  # whether each sub-environment has been reset at least once
        self._actions = _Actions(self.num_envs, self.single_action_space)
        keeps_last = self.autoreset_mode == AutoresetMode.SAME_STEP
        self._last_images = np.empty_like(self._scenes.images if keeps_last else self._scenes.images[:0])
        self._make_views()

    def reset(  # Gymnasium's own SyncVectorEnv takes lists of seeds, too
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observations, dict[str, Any]]:
        """Begin episodes everywhere, or where ``options["reset_mask"]``, bool of shape (``num_envs``,), is true.

        Args:
            seed: an integer of at least 0, or one for each sub-environment, ``None`` where its random numbers go on.
            options: ``reset_mask``, and ``count``, ``shape`` and ``color`` as for ``CountingEnv.reset``.

        Raises:
            TypeError: ``reset_mask`` is not a bool array.
            ValueError: ``reset_mask``, ``seed`` or a start option does not fit; nothing has been reset then.
            gymnasium.error.Error: a seed is not an integer of at least 0; nothing has been reset then either.
        """
        mask, start_options = _split_options(options, self.num_envs)
        start = self.options.parse_start(start_options)
        chosen = np.ones(self.num_envs, np.bool_) if mask is None else mask
        self._seed(seed, chosen)
        begin_where(chosen, self._scenes, self._rules, start, self._outcomes)
        self._ready = bool(self._seeded.all())
        return self._observe(), self._infos.all() if mask is None else self._infos.where(mask)

    def step(self, actions: Array) -> tuple[Observations, Array, Array, Array, dict[str, Any]]:
        """Act everywhere; where an episode has ended, do as the autoreset mode says.

        Raises:
            gymnasium.error.ResetNeeded: before the first ``reset``; in mode DISABLED also while an episode is over.
            gymnasium.error.InvalidAction: ``actions`` is not in the action space; nothing has moved then.
        """
        outcomes = self._outcomes
        if not self._ready:
            raise ResetNeeded("step() before every sub-environment has been reset: call reset() first")
        if self.autoreset_mode == AutoresetMode.DISABLED and outcomes.over.any():
            raise ResetNeeded(
                f"step() while the episodes of sub-environments {np.flatnonzero(outcomes.over).tolist()} are over: "
                'call reset(options={"reset_mask": terminations | truncations}) first'
            )
        directions = self._actions.read(actions, outcomes.over)
        step_all(directions, self._scenes, self._rules, self._limit, outcomes)
        endings = {}
        if self.autoreset_mode == AutoresetMode.SAME_STEP and outcomes.over.any():
            endings = self._renew()
        rewards, terminations, truncations = outcomes.rewards, outcomes.terminations, outcomes.truncations
        if self.copy:
            rewards, terminations, truncations = rewards.copy(), terminations.copy(), truncations.copy()
        return self._observe(), rewards, terminations, truncations, {**endings, **self._infos.all()}

    def render(self) -> tuple[Observations, ...] | None:
        """Return the last observations, each enlarged without blur, or ``None`` without ``render_mode``.

        Returns:
            A tuple of ``num_envs`` images, as of ``CountingEnv.render``.

        Raises:
            gymnasium.error.ResetNeeded: a sub-environment has not been reset yet.
        """
        if self.render_mode is None:
            gym.logger.warn('render() does nothing without render_mode="rgb_array"')
            return None
        if not self._ready:
            raise ResetNeeded("render() before any scene: call reset() first")
        return tuple(enlarge(image) for image in self._scenes.images)

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        for name in ("_images", "_infos", "_last_rows", "_last_obs"):
            del state[name]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._make_views()

    def _make_views(self) -> None:
        """Make the views of this environment's arrays; a copy of the environment needs views of its own arrays."""
        self._images = read_only(self._scenes.images)
        self._infos = VectorInfos(self._scenes, self._outcomes, self._rules, self.copy)
        self._last_rows = _rows(self._last_images)
        self._last_obs = np.full(self.num_envs, None, object)

    def _seed(self, seed: int | Sequence[int | None] | None, chosen: Mask) -> None:
        """Start the random streams of the ``chosen`` (num_envs,) that are given a seed or have no stream yet."""
        if seed is None:
            if not self._ready:
                for i in np.flatnonzero(chosen & ~self._seeded):
                    self._scenes.streams[i] = make_stream(self.np_random)
        else:
            seeds = _parse_seeds(seed, self.num_envs)
            streams = self._scenes.streams.copy()
            for i in np.flatnonzero(chosen):
                if seeds[i] is not None:
                    streams[i] = make_stream(seeding.np_random(seeds[i])[0])
                elif not self._seeded[i]:
                    streams[i] = make_stream(self.np_random)
            if isinstance(seed, int | np.integer):
                super().reset(seed=int(seed))
            self._scenes.streams[:] = streams
        self._seeded |= chosen

    def _observe(self) -> Observations:
        return self._scenes.images.copy() if self.copy else self._images

    def _renew(self) -> dict[str, Any]:
        """Begin new episodes where one is over; return the last observations and infos of the old ones."""
        last_info = self._infos.where(self._outcomes.over)
        if self.copy:
            last_images = np.empty_like(self._last_images)
            rows, last_obs = _rows(last_images), np.full(self.num_envs, None, object)
        else:
            last_images, rows, last_obs = self._last_images, self._last_rows, self._last_obs
            last_obs.fill(None)
        np.copyto(last_obs, rows, where=self._outcomes.over)
        renew_ended(self._scenes, self._rules, self._outcomes, last_images)
        mask = last_info["_count"]
        return {
            "final_obs": last_obs,
            "_final_obs": mask.copy() if self.copy else mask,
            "final_info": last_info,
            "_final_info": mask.copy() if self.copy else mask,
        }


class _Actions:
    """Turns the actions of a batch into ``REMOVE`` and ``ADD``, in arrays that stay the same."""

    def __init__(self, num_envs: int, space: spaces.Space[Any]) -> None:
        self._numbers = isinstance(space, spaces.Box)
        shape = (num_envs, *(space.shape or ()))
        self._given: Array = np.zeros(shape, np.float64 if self._numbers else np.int64)
        self._directions = np.zeros(num_envs, np.int64)
        self._expected = f"shape {shape} and dtype {space.dtype}"

    def read(self, actions: Array, over: Mask) -> NDArray[np.int64]:
        """Return the directions (n,), or raise ``InvalidAction``; where ``over`` (n,) is true, any action will do."""
        given = np.asarray(actions)
        allowed = "numbers in [-1, 1] (negative removes, any other adds)" if self._numbers else "0 (remove) or 1 (add)"
        if given.dtype.kind not in ("fiu" if self._numbers else "iu") or given.shape != self._given.shape:
            raise InvalidAction(f"actions={shown(actions)} does not fit: give an array of {self._expected}, {allowed}")
        np.copyto(self._given, given)
        read = read_numbers if self._numbers else read_choices
        wrong = read(self._given, over, self._directions)
        if wrong >= 0:
            raise InvalidAction(f"actions[{wrong}]={shown(given[wrong])} is not in the action space: give {allowed}")
        return self._directions


def _rows(images: Observations) -> Array:
    """Return an object array whose entries are views of the single images."""
    rows = np.full(len(images), None, object)
    for i, image in enumerate(images):
        rows[i] = image
    return rows


def _parse_seeds(seed: int | Sequence[int | None], num_envs: int) -> list[int | None]:
    """Return the seed of each environment, in Python's own integers."""
    if isinstance(seed, int | np.integer):
        return [int(seed) + i for i in range(num_envs)]
    if not isinstance(seed, Sequence | np.ndarray) or not _has_length(seed, num_envs):
        raise ValueError(
            f"seed={shown(seed)} is neither an integer nor one seed for each of the {num_envs} environments"
        )
    return [int(one) if isinstance(one, np.integer) else one for one in seed]


def _has_length(seeds: Sequence[Any] | Array, count: int) -> bool:
    return not (isinstance(seeds, np.ndarray) and seeds.ndim != 1) and len(seeds) == count


def _parse_mode(mode: AutoresetMode | str) -> AutoresetMode:
    try:
        return AutoresetMode(mode)
    except ValueError:
        choices = ", ".join(str(choice) for choice in AutoresetMode)
        raise ValueError(f"autoreset_mode={shown(mode)} is unknown: choose one of {choices}") from None


def _split_options(options: dict[str, Any] | None, num_envs: int) -> tuple[Mask | None, dict[str, Any] | None]:
    """Return ``reset_mask`` and the other options of a reset."""
    if not isinstance(options, dict) or "reset_mask" not in options:
        return None, options
    mask = options["reset_mask"]
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
        raise TypeError(f"reset option reset_mask={shown(mask)} is not a numpy array of bool, of shape ({num_envs},)")
    if mask.shape != (num_envs,):
        raise ValueError(f"reset option reset_mask has shape {mask.shape}: give ({num_envs},)")
    if not mask.any():
        raise ValueError("reset option reset_mask is false everywhere: name at least one environment to reset")
    return mask, {key: value for key, value in options.items() if key != "reset_mask"}
