"""CountingVectorEnv: many scenes at once, stepped and painted by one compiled kernel."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from counting_env.dynamics import ADD, REMOVE
from counting_env.kernels import kernel
from counting_env.options import Options, Rules
from counting_env.rendering import enlarge
from counting_env.scenes import Scenes, begin_range, make_outcomes, make_scenes, renew_range, step_range
from counting_env.sprites import SHAPES
from counting_env.streams import seed_stream

Observations = NDArray[np.uint8]
Array = NDArray[Any]

NO_LIMIT = np.iinfo(np.int64).max  # steps in an episode without a time limit


class CountingVectorEnv(VectorEnv[Observations, Array, Array]):
    """``num_envs`` copies of :class:`counting_env.CountingEnv` in one array.

    The same rules, the same pixels and, from the same seeds, the same random numbers: what it returns is
    byte for byte what ``gymnasium.vector.SyncVectorEnv`` returns for single environments, many times
    faster. Sub-environment i is seeded with ``seed + i``, or with ``seed[i]`` where ``seed`` is a list.

    ``gym.make_vec("CountingEnv-v0", num_envs=64, vectorization_mode="vector_entry_point")`` makes one,
    with the options below as further keywords.

    ## Shapes
    Observations are uint8 of shape (``num_envs``, ``image_size``, ``image_size``, 3), actions integers of shape
    (``num_envs``,) or, with ``continuous=True``, float32 of shape (``num_envs``, 1). Rewards are float64,
    terminations and truncations bool, all of shape (``num_envs``,). Each entry of ``info`` has ``num_envs`` in
    front of the shape that the single environment gives it; the mask ``info["_" + key]`` says for whom it holds.

    ## When an episode ends
    `Gymnasium's modes <https://gymnasium.farama.org/api/vector/autoreset/>`_, all three:

    - ``NEXT_STEP``: the next step ignores its action and begins a new episode, with reward 0.
    - ``SAME_STEP``: the same step begins a new episode; the last observation and info of the old one are in
      ``info["final_obs"]`` (an object array) and ``info["final_info"]``.
    - ``DISABLED``: the user calls ``reset(options={"reset_mask": mask})``, where the bool array ``mask`` says
      whom to reset. Such a partial reset is possible in the other modes, too.

    ``reset(options=...)`` takes ``count``, ``shape`` and ``color`` as the single environment does, for all it resets.

    Args:
        num_envs: number of sub-environments, at least 1.
        max_episode_steps: steps after which an episode is truncated, at least 1; ``None``: never.
        autoreset_mode: a ``gymnasium.vector.AutoresetMode`` or its value.
        copy: whether each step returns arrays of its own. ``False`` returns the same arrays every time, which the
            next step overwrites: nothing is allocated that grows with ``num_envs``. Observations and infos are
            then read-only, since they are what the next step starts from.
        threads: how many threads share the work, at least 1; results do not depend on it.
        render_mode: ``"rgb_array"``: ``render()`` returns a tuple of enlarged images; ``None``: no pictures.
        **options: ``target``, ``max_count``, ``image_size``, ``continuous``, ``reward``, ``placement``,
            ``appearance``, ``background`` and ``terminate_on_target`` as in :class:`counting_env.CountingEnv`.

    Raises:
        ValueError: an argument is out of range; the message names it, its value and what would be right.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]  # Gymnasium's own type is an instance attribute
        "render_modes": ["rgb_array"],
        "render_fps": 4,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        max_episode_steps: int | None = 4,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        copy: bool = True,
        threads: int = 1,
        render_mode: str | None = None,
        **options: Any,
    ) -> None:
        _check_positive("num_envs", num_envs)
        _check_positive("threads", threads)
        if max_episode_steps is not None:
            _check_positive("max_episode_steps", max_episode_steps)
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode={render_mode!r} is unknown for a batch: choose rgb_array or None")
        self.options = Options(**options)
        self.num_envs = int(num_envs)
        self.max_episode_steps = max_episode_steps
        self.autoreset_mode = _parse_mode(autoreset_mode)
        self.copy = copy
        self.threads = int(threads)
        self.render_mode = render_mode
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}  # type: ignore[misc]
        self.single_observation_space = self.options.observation_space
        self.single_action_space = self.options.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

        self._rules = self.options.rules
        self._limit = NO_LIMIT if max_episode_steps is None else int(max_episode_steps)
        self._scenes = make_scenes(self.num_envs, self.options)
        self._outcomes = make_outcomes(self.num_envs)
        self._seeded = np.zeros(self.num_envs, np.bool_)
        self._ready = False  # whether each sub-environment has been reset at least once
        self._actions: Array = (
            np.zeros((self.num_envs, 1), np.float64) if self.options.continuous else np.zeros(self.num_envs, np.int64)
        )
        self._directions = np.zeros(self.num_envs, np.int64)
        self._partial_infos = InfoArrays(self.num_envs, self._rules)
        keeps_last = self.autoreset_mode == AutoresetMode.SAME_STEP
        self._last_images = np.empty_like(self._scenes.images if keeps_last else self._scenes.images[:0])
        self._executor: ThreadPoolExecutor | None = None
        self._executor_process = os.getpid()
        self._make_views()

    def reset(  # Gymnasium's own SyncVectorEnv takes lists of seeds, too
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observations, dict[str, Any]]:
        """Begin episodes everywhere, or where ``options["reset_mask"]``, bool of shape (``num_envs``,), is true.

        Raises:
            TypeError: ``reset_mask`` is not a bool array.
            ValueError: ``reset_mask``, ``seed`` or a start option does not fit; nothing has been reset then.
            gymnasium.error.Error: a seed is not an integer of at least 0; nothing has been reset then either.
        """
        settings = dict(options or {})
        partial = "reset_mask" in settings
        whom = _check_mask(settings.pop("reset_mask"), self.num_envs) if partial else np.ones(self.num_envs, np.bool_)
        start = self.options.parse_start(settings)
        self._seed(seed, whom)
        self._run(begin_range, self._scenes, self._rules, start, self._outcomes, whom)
        self._ready = bool(self._seeded.all())
        return self._observe(), self._info(only=whom if partial else None)

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
        self._read_actions(actions)
        self._run(step_range, self._scenes, self._rules, self._limit, self._directions, outcomes)
        endings = {}
        if self.autoreset_mode == AutoresetMode.SAME_STEP and outcomes.over.any():
            endings = self._renew()
        results = (outcomes.rewards, outcomes.terminations, outcomes.truncations)
        if self.copy:
            rewards, terminations, truncations = (array.copy() for array in results)
        else:
            rewards, terminations, truncations = results
        return self._observe(), rewards, terminations, truncations, {**endings, **self._info()}

    def render(self) -> tuple[Observations, ...] | None:
        """Return the last observations, each enlarged without blur."""
        if self.render_mode is None:
            gym.logger.warn('render() does nothing without render_mode="rgb_array"')
            return None
        if not self._ready:
            raise ResetNeeded("render() before any scene: call reset() first")
        return tuple(enlarge(image) for image in self._scenes.images)

    def close_extras(self, **kwargs: Any) -> None:  # noqa: ARG002  # Gymnasium's signature
        """End the threads."""
        if self._executor is not None:
            self._executor.shutdown()
            self._executor = None

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        for name in ("_executor", "_executor_process", "_images", "_names", "_live_info", "_last_rows", "_last_obs"):
            del state[name]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._executor = None
        self._executor_process = os.getpid()
        self._make_views()

    def _make_views(self) -> None:
        """Make the views of this environment's own arrays, which a copy of it must not take over."""
        scenes = self._scenes
        self._images = _read_only(scenes.images)
        live = InfoArrays(self.num_envs, self._rules).as_dict()
        self._names = live["shape"]
        live |= {
            "count": scenes.counts,
            "color": scenes.colors[_looks(self._rules)],
            "positions": scenes.positions,
            "is_success": self._outcomes.successes,
        }
        self._live_info = {key: _read_only(array) for key, array in live.items()}
        self._last_rows = _rows(self._last_images)
        self._last_obs = np.full(self.num_envs, None, object)

    def _run(self, work: Callable[..., None], *arguments: Any) -> None:
        """Call ``work(*arguments, first, last)`` for ranges that cover all sub-environments, one in each thread."""
        if self.threads == 1:
            work(*arguments, 0, self.num_envs)
            return
        if self._executor is None or self._executor_process != os.getpid():  # threads do not survive a fork
            self._executor = ThreadPoolExecutor(self.threads - 1, "CountingVectorEnv")
            self._executor_process = os.getpid()
        ends = [self.num_envs * k // self.threads for k in range(self.threads + 1)]
        others = [self._executor.submit(work, *arguments, ends[k], ends[k + 1]) for k in range(1, self.threads)]
        work(*arguments, 0, ends[1])
        for other in others:
            other.result()

    def _seed(self, seed: int | Sequence[int | None] | None, whom: NDArray[np.bool_]) -> None:
        """Start the random streams of those in ``whom`` that are given a seed or have none yet."""
        if seed is None:
            if not self._ready:
                for i in np.flatnonzero(whom & ~self._seeded):
                    self._scenes.streams[i] = seed_stream(self.np_random)
        else:
            seeds = _parse_seeds(seed, self.num_envs)
            streams = self._scenes.streams.copy()
            for i in np.flatnonzero(whom):
                if seeds[i] is not None:
                    streams[i] = seed_stream(seeding.np_random(seeds[i])[0])
                elif not self._seeded[i]:
                    streams[i] = seed_stream(self.np_random)
            if isinstance(seed, int | np.integer):
                super().reset(seed=int(seed))
            self._scenes.streams[:] = streams
        self._seeded |= whom

    def _read_actions(self, actions: Array) -> None:
        """Translate ``actions`` into ``REMOVE`` and ``ADD``, or raise ``InvalidAction``."""
        given = np.asarray(actions)
        if given.dtype.kind not in ("fiu" if self.options.continuous else "iu") or given.shape != self._actions.shape:
            raise InvalidAction(
                f"actions={actions!r} does not fit: give an array of shape {self._actions.shape} and dtype "
                f"{self.single_action_space.dtype}, {self._allowed}"
            )
        np.copyto(self._actions, given, casting="unsafe")
        read = _read_numbers if self.options.continuous else _read_choices
        wrong = read(self._actions, self._outcomes.over, self._directions)
        if wrong >= 0:
            raise InvalidAction(f"actions[{wrong}]={given[wrong]!r} is wrong: give {self._allowed}")

    @property
    def _allowed(self) -> str:
        if self.options.continuous:
            return "numbers in [-1, 1] (negative removes, any other adds)"
        return f"{REMOVE} (remove) or {ADD} (add)"

    def _observe(self) -> Observations:
        return self._scenes.images.copy() if self.copy else self._images

    def _info(self, only: NDArray[np.bool_] | None = None) -> dict[str, Any]:
        """Return the info of all sub-environments, or of those where ``only`` (``num_envs``,) is true."""
        if only is None and not self.copy:  # the other arrays are views of the scenes
            _write_names(self._scenes, self._rules, self._names)
            return dict(self._live_info)
        infos = InfoArrays(self.num_envs, self._rules) if self.copy else self._partial_infos
        infos.fill(self._scenes, self._outcomes.successes)
        if only is not None:
            infos.blank_all_but(only)
        entries = infos.as_dict()
        return entries if self.copy else {key: _read_only(array) for key, array in entries.items()}

    def _renew(self) -> dict[str, Any]:
        """Begin new episodes where one is over; return the last observations and infos of the old ones."""
        last_info = self._info(only=self._outcomes.over)
        if self.copy:
            last_images = np.empty_like(self._last_images)
            rows, last_obs = _rows(last_images), np.full(self.num_envs, None, object)
        else:
            last_images, rows, last_obs = self._last_images, self._last_rows, self._last_obs
            last_obs.fill(None)
        np.copyto(last_obs, rows, where=self._outcomes.over)
        self._run(renew_range, self._scenes, self._rules, self._outcomes, last_images)
        mask = last_info["_count"]
        return {
            "final_obs": last_obs,
            "_final_obs": mask.copy() if self.copy else mask,
            "final_info": last_info,
            "_final_info": mask.copy() if self.copy else mask,
        }


class InfoArrays:
    """The arrays of an ``info`` dictionary: a value and a mask for each key, filled in place."""

    def __init__(self, num_envs: int, rules: Rules) -> None:
        n, m = num_envs, rules.max_count
        looks = (n, m) if rules.per_object else (n,)
        self._rules = rules
        self._values: dict[str, Array] = {
            "count": np.zeros(n, np.int64),
            "shape": np.empty(looks, object),
            "color": np.zeros((*looks, 3), np.uint8),
            "positions": np.zeros((n, m, 2), np.int64),
            "is_success": np.zeros(n, np.bool_),
        }
        self._held = np.ones((len(self._values), n), np.bool_)  # a row for each key
        self._others = np.zeros(n, np.bool_)

    def fill(self, scenes: Scenes, successes: NDArray[np.bool_]) -> None:
        """Write the values of all sub-environments."""
        values = self._values
        np.copyto(values["count"], scenes.counts)
        _write_names(scenes, self._rules, values["shape"])
        np.copyto(values["color"], scenes.colors[_looks(self._rules)])
        np.copyto(values["positions"], scenes.positions)
        np.copyto(values["is_success"], successes)

    def blank_all_but(self, whom: NDArray[np.bool_]) -> None:
        """Mask those for whom ``whom`` (n,) is false, and give them Gymnasium's blanks: 0, or ``None`` for a string."""
        np.logical_not(whom, out=self._others)
        for array in self._values.values():
            nothing = None if array.dtype == object and array.ndim == 1 else array.dtype.type(0)
            np.copyto(array, nothing, where=self._others.reshape(-1, *[1] * (array.ndim - 1)))  # type: ignore[arg-type]
        np.copyto(self._held, whom)

    def as_dict(self) -> dict[str, Any]:
        """Return a new dictionary of these arrays."""
        masks = {f"_{key}": mask for key, mask in zip(self._values, self._held, strict=True)}
        return {**self._values, **masks}


_NAMES = np.array([*SHAPES, ""], dtype=np.object_)


def _looks(rules: Rules) -> Any:
    """Return the index that leaves of (n, l, ...) what an info shows: one look for each object, or for each scene."""
    return slice(None) if rules.per_object else (slice(None), 0)


def _write_names(scenes: Scenes, rules: Rules, names: Array) -> None:
    """Write the names of all shapes into an object array."""
    np.take(_NAMES, scenes.shapes[_looks(rules)], out=names, mode="clip")  # other modes make a copy first


def _read_only(array: Array) -> Array:
    view = array.view()
    view.flags.writeable = False
    return view


@kernel
def _read_choices(actions: NDArray[np.int64], over: NDArray[np.bool_], directions: NDArray[np.int64]) -> int:
    """Copy 0 and 1 from ``actions`` (n,) to ``directions`` (n,); return where another number stands, or -1.

    Where ``over`` (n,) is true, the action does not matter, and is not read.
    """
    for i in range(actions.size):
        if over[i]:
            continue
        if actions[i] != REMOVE and actions[i] != ADD:
            return i
        directions[i] = actions[i]
    return -1


@kernel
def _read_numbers(actions: NDArray[np.float64], over: NDArray[np.bool_], directions: NDArray[np.int64]) -> int:
    """Write the signs of ``actions`` (n, 1) to ``directions`` (n,); return where one is outside [-1, 1], or -1.

    Where ``over`` (n,) is true, the action does not matter, and is not read.
    """
    for i in range(actions.shape[0]):
        if over[i]:
            continue
        if not -1.0 <= actions[i, 0] <= 1.0:  # so written, it is true for NaN
            return i
        directions[i] = REMOVE if actions[i, 0] < 0.0 else ADD
    return -1


def _rows(images: Observations) -> Array:
    """Return an object array whose entries are views of the single images."""
    rows = np.full(len(images), None, object)
    for i, image in enumerate(images):
        rows[i] = image
    return rows


def _check_positive(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name}={value!r} is not an integer of at least 1")


def _parse_seeds(seed: int | Sequence[int | None], num_envs: int) -> list[int | None]:
    """Return the seed of each environment, in Python's own integers."""
    if isinstance(seed, int | np.integer):
        return [int(seed) + i for i in range(num_envs)]
    if not isinstance(seed, Sequence | np.ndarray) or len(seed) != num_envs:
        raise ValueError(f"seed={seed!r} is neither an integer nor one seed for each of the {num_envs} environments")
    return [int(one) if isinstance(one, np.integer) else one for one in seed]


def _parse_mode(mode: AutoresetMode | str) -> AutoresetMode:
    try:
        return AutoresetMode(mode)
    except ValueError:
        choices = ", ".join(str(choice) for choice in AutoresetMode)
        raise ValueError(f"autoreset_mode={mode!r} is unknown: choose one of {choices}") from None


def _check_mask(mask: object, num_envs: int) -> NDArray[np.bool_]:
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
        raise TypeError(f"reset option reset_mask={mask!r} is not a numpy array of bool, of shape ({num_envs},)")
    if mask.shape != (num_envs,):
        raise ValueError(f"reset option reset_mask has shape {mask.shape}: give ({num_envs},)")
    if not mask.any():
        raise ValueError("reset option reset_mask is false everywhere: name at least one environment to reset")
    return mask
