"""A ring of transitions that stores each observation once, and the batches drawn from it.

This file alone decides which observation follows which, and where an episode ends.
"""

import copy
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import reduce
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from jepa_extractor.checks import require_fraction, require_integer, require_mapping, require_type, shown
from jepa_extractor.data.batch import Batch, Labels, Step
from jepa_extractor.data.episodes import Episode, join_episodes
from jepa_extractor.data.observations import Arrays, map_arrays, require_finite
from jepa_extractor.data.spaces import require_action_space, require_observation_space

_ARRAYS = ("frames", "actions", "rewards", "terminated", "labels", "complete", "newest", "filled")


class TransitionRing:
    """The last transitions of ``num_envs`` environments, drawn with a generator of its own.

    Observations, here called frames, stand in the order in which they were seen, so the observation after a step is
    the next frame, and each is stored once. The end of an episode costs one frame more: its last observation. In
    memory that is ``capacity`` observations (12 KiB each for 64x64 RGB in uint8: 240 MiB for 20,000).

    Observations and actions are stored in the dtypes of their spaces, rewards and labels in float32; NumPy casts what
    is given.

    Args:
        observation_space: space of one observation, as stored; a ``Dict`` is stored key by key.
        action_space: space of one action.
        num_envs: number n of environments, at least 1.
        capacity: frames kept, over all environments; at least three for each.
        seed: seed of the generator that draws batches, at least 0.

    Attributes:
        generator: what draws batches, a ``numpy.random.Generator``.

    Raises:
        ValueError: a space cannot be stored as arrays, or an argument is out of range.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        num_envs: int,
        capacity: int,
        seed: int,
    ) -> None:
        require_integer("num_envs", num_envs, least=1)
        require_integer("capacity", capacity, least=3 * num_envs)  # two frames and a place to write the next
        require_integer("seed", seed, least=0)
        require_observation_space("observation_space", observation_space)
        require_action_space("action_space", action_space)
        size = (num_envs, capacity // num_envs)
        if isinstance(observation_space, spaces.Dict):
            frames: Arrays = {key: _zeros(size, space) for key, space in observation_space.items()}
        else:
            frames = _zeros(size, observation_space)
        self._hold(frames, _zeros(size, action_space), seed)

    @classmethod
    def from_episodes(cls, episodes: Iterable[Episode], seed: int) -> "TransitionRing":
        """Return a ring that holds exactly ``episodes``; its generator starts from ``seed``.

        Give single transitions as episodes of one step.

        Args:
            episodes: all with observations and actions of the same shape and dtype; see ``join_episodes``.
            seed: at least 0.

        Raises:
            ValueError: they hold no step, the arrays of one do not fit together or do not fit those of the others, they
                hold what is not finite, or ``seed`` is out of range.
        """
        require_integer("seed", seed, least=0)
        joined = join_episodes(episodes)
        if not len(joined.rewards):
            raise ValueError("episodes hold no step: give at least one episode of at least one step")
        begins = joined.begins_step
        total = len(begins)
        actions = np.zeros((1, total, *joined.actions.shape[1:]), joined.actions.dtype)
        actions[0, begins] = joined.actions
        ring = cls.__new__(cls)
        ring._hold(map_arrays(lambda array: np.ascontiguousarray(array)[None], joined.observations), actions, seed)
        ring._rewards[0, begins] = joined.rewards
        ring._terminated[0, :-1] = joined.ends[1:]
        ring._complete[0] = begins
        for name, values in joined.labels.items():
            ring._label(name)[0] = values
        ring._newest[:] = total - 1
        ring._filled[:] = total
        return ring

    def _hold(self, frames: Arrays, actions: NDArray[Any], seed: int) -> None:
        """Take ``frames`` and ``actions``, (n, slots, ...), as the ring's own, and allocate the rest."""
        num_envs, slots = size = actions.shape[:2]
        self._slots: int = slots
        self._frames = frames
        self._actions = actions
        self._rewards = np.zeros(size, np.float32)
        self._terminated = np.zeros(size, np.bool_)
        self._labels: dict[str, NDArray[np.float32]] = {}
        self._complete = np.zeros(size, np.bool_)  # whether an action was taken at the frame: it begins a transition
        self._newest = np.full(num_envs, -1)  # slot of the frame at which the next action will be taken
        self._filled = np.zeros(num_envs, np.int64)  # slots written so far
        self._envs = np.arange(num_envs)
        self._steps = 0  # how many were added
        self.generator = np.random.default_rng(seed)

    def __len__(self) -> int:
        """Return the number of transitions that can be drawn."""
        return int(np.count_nonzero(self._complete))

    def __bool__(self) -> bool:
        """Return whether any transition can be drawn."""
        return bool(self._complete.any())

    @property
    def capacity(self) -> int:
        """How many frames are kept, over all environments."""
        return self._slots * len(self._envs)

    @property
    def has_ends(self) -> bool:
        """Whether the ring holds the last observation of an episode, at which no action is taken."""
        return int(self._filled.sum()) > len(self) + len(self._envs)

    def has_label(self, name: str) -> bool:
        """Return whether the label ``name`` of any observation is known."""
        return name in self._labels and bool(np.isfinite(self._labels[name]).any())

    def digest(self) -> int:
        """Return a checksum, in 0..2**32 - 1, of all that can be drawn."""
        return reduce(lambda checksum, leaf: zlib.crc32(leaf[1].data, checksum), _leaves(self._state()), 0)

    def begin(self, observations: Arrays, labels: Labels | None = None) -> None:
        """Begin a new stretch in every environment; call it before the first ``add``.

        Args:
            observations: those at which the next actions will be taken, ``(n, *observation shape)``; a dict of such
                arrays for a ``Dict`` space.
            labels: numbers (n,) by name that belong to them, NaN where unknown.

        Raises:
            ValueError: an array has another shape, holds no numbers, or is not finite; or a dict lacks a key.
        """
        _require_observations(len(self._envs), self._frames, observations)
        require_finite("observations", observations, self._steps)
        self._append(self._envs, observations, {} if labels is None else labels)

    def add(self, step: Step) -> None:
        """Store one step of every environment, taken at the newest frames.

        Raises:
            RuntimeError: ``begin`` has not been called.
            ValueError: observations have another shape, another array cannot be broadcast to its shape for n
                environments, or one holds no numbers; observations or rewards are not finite; or a dict of observations
                lacks a key of the space.
        """
        require_type("step", step, Step, "give jepa_extractor.data.Step(...)")
        if self._newest.item(0) < 0:
            raise RuntimeError("the ring holds no observation yet: call begin(observations) before the first add")
        self._steps += 1
        _require_observations(len(self._envs), self._frames, step.arrived)
        require_finite("observations", step.arrived, self._steps)
        at = (self._envs, self._newest.copy())
        rewards, ended = np.asarray(step.rewards), np.asarray(step.ended)
        for name, array in (("rewards", rewards), ("ended", ended)):
            if array.shape != self._envs.shape or array.dtype.kind not in "biuf":
                raise ValueError(f"{name}={shown(array)}: give one for each of {len(self._envs)} environments")
        require_finite("rewards", rewards, self._steps)
        _write("actions", self._actions, at, step.actions)
        _write("terminated", self._terminated, at, step.terminated)
        self._rewards[at] = rewards
        (over,) = ended.nonzero()
        if len(over):
            _require_observations(len(self._envs), self._frames, step.restarted)
            restarted = map_arrays(lambda array: array[over], step.restarted)
            require_finite("observations", restarted, self._steps, over)
        self._append(self._envs, step.arrived, step.arrived_labels)
        self._complete[at] = True  # last, so that an interrupt before it leaves no false transition
        if len(over):
            require_mapping("restarted_labels", step.restarted_labels)
            labels = {name: _of(over, name, values) for name, values in step.restarted_labels.items()}
            self._append(over, restarted, labels)

    def newest_observations(self) -> Arrays:
        """Return the frames ``(n, *observation shape)`` at which the next actions will be taken."""
        return map_arrays(lambda frames: frames[self._envs, self._newest], self._frames)

    def state(self) -> dict[str, Any]:
        """Return everything that the ring holds, as arrays and plain values: see ``restore``."""
        return {**self._state(), "rng": self.generator.bit_generator.state}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what another ring's ``state`` returned.

        Raises:
            ValueError: an array of that ring has another shape or dtype, or it lacks a label of this one.
        """
        for name in state["labels"]:
            self._label(name)
        _copy_arrays({name: state[name] for name in _ARRAYS}, self._state())
        self.generator.bit_generator.state = state["rng"]

    def sample(self, batch_size: int, horizon: int = 1, rewarded_fraction: float = 0.0) -> Batch:
        """Draw ``batch_size`` stretches of ``horizon`` steps, uniform over first steps, with replacement.

        Args:
            batch_size: number B of stretches, at least 1.
            horizon: steps k of a stretch, at least 1. ``mask`` is false behind the end of an episode or of the data.
            rewarded_fraction: the part of the batch, in [0, 1], whose first steps are drawn only among those with a
                reward that is not 0, if there are any.

        Returns:
            Tensors on the CPU, in the dtypes in which the ring stores them; see ``Batch`` for their shapes.

        Raises:
            ValueError: the ring is empty, or an argument is out of range.
        """
        require_integer("batch_size", batch_size, least=1)
        require_integer("horizon", horizon, least=1)
        require_fraction("rewarded_fraction", rewarded_fraction)
        if not self:
            raise ValueError("the ring holds no transition yet")
        env, slot = np.empty((2, batch_size), np.intp)
        missing = np.arange(batch_size)
        filled = int(self._filled.max())
        while missing.size:  # frames that begin no transition are drawn again
            env[missing] = self.generator.integers(len(self._envs), size=missing.size)
            age = self.generator.integers(filled, size=missing.size)
            slot[missing] = (self._newest[env[missing]] - age) % self._slots
            missing = missing[~self._complete[env[missing], slot[missing]]]
        count = round(rewarded_fraction * batch_size)
        if count:
            rewarded = np.argwhere(self._complete & (self._rewards != 0))
            if len(rewarded):
                env[:count], slot[:count] = self.generator.choice(rewarded, count).T
        return self._stretch(env, slot, horizon)

    def newest(self, count: int) -> Batch:
        """Return up to ``count`` (at least 1) of the newest transitions, as stretches of one step, oldest first.

        Raises:
            ValueError: ``count`` is out of range.
        """
        require_integer("count", count, least=1)
        order = self._oldest_first().T.reshape(-1)
        env = np.tile(self._envs, self._slots - 1)
        complete = np.flatnonzero(self._complete[env, order])[-count:]
        return self._stretch(env[complete], order[complete], horizon=1)

    def _oldest_first(self) -> NDArray[np.intp]:
        """Return the slots of each environment but the newest, oldest first, (n, slots - 1)."""
        age = np.arange(self._slots - 1, 0, -1)
        return (self._newest[:, None] - age) % self._slots

    def _stretch(self, env: NDArray[np.intp], slot: NDArray[np.intp], horizon: int) -> Batch:
        frames = (env[:, None], (slot[:, None] + np.arange(horizon + 1)) % self._slots)
        steps = (env[:, None], frames[1][:, :-1])
        return Batch(
            observations=map_arrays(lambda array: torch.from_numpy(array[frames]), self._frames),
            actions=torch.from_numpy(self._actions[steps]),
            rewards=torch.from_numpy(self._rewards[steps]),
            terminated=torch.from_numpy(self._terminated[steps]),
            mask=torch.from_numpy(np.logical_and.accumulate(self._complete[steps], axis=1)),
            labels={name: torch.from_numpy(values[frames]) for name, values in self._labels.items()},
        )

    def _append(self, envs: NDArray[np.intp], observations: Arrays, labels: Labels) -> None:
        if len(envs) == len(self._envs):  # the same without a detour by indices
            self._newest += 1
            self._newest %= self._slots
            self._filled += self._filled < self._slots
            slots = self._newest
        else:
            slots = (self._newest[envs] + 1) % self._slots
            self._newest[envs] = slots
            self._filled[envs] += self._filled[envs] < self._slots
        self._complete[envs, slots] = False
        map_arrays(lambda frames, seen: frames.__setitem__((envs, slots), seen), self._frames, observations)
        if not isinstance(labels, Mapping):
            raise ValueError(f"labels={shown(labels)} is not a dict: give numbers (n,) by name")
        for name in self._labels.keys() | labels.keys():
            _write(f"labels[{name!r}]", self._label(name), (envs, slots), labels.get(name, np.nan))

    def _label(self, name: str) -> NDArray[np.float32]:
        """Return the array of a label; it is made, all unknown, when the label is first seen."""
        if name not in self._labels:
            self._labels[name] = np.full(self._rewards.shape, np.nan, np.float32)
        return self._labels[name]

    def _state(self) -> dict[str, Any]:
        return {name: getattr(self, f"_{name}") for name in _ARRAYS}


def encoded(ring: TransitionRing, encode: Callable[[Arrays], NDArray[np.float32]]) -> TransitionRing:
    """Return a ring of the same transitions whose observations are ``encode`` of these, (N, ...) to (N, D).

    The two share everything but the observations, the generator too.
    """
    flat = map_arrays(lambda frames: frames.reshape(-1, *frames.shape[2:]), ring._frames)
    twin = copy.copy(ring)
    twin._frames = encode(flat).reshape(*ring._rewards.shape, -1)
    return twin


def _zeros(size: tuple[int, int], space: spaces.Space[Any]) -> NDArray[Any]:
    assert space.shape is not None
    return np.zeros(size + space.shape, space.dtype)


def _require_observations(count: int, frames: Arrays, seen: Arrays, name: str = "observations") -> None:
    """Raise ``ValueError`` unless ``seen`` are ``count`` observations as ``frames`` (n, slots, ...) hold them."""
    if isinstance(frames, dict):
        if not isinstance(seen, dict) or not frames.keys() <= seen.keys():
            raise ValueError(f"{name} of this ring are a dict with the keys {list(frames)}: give each of them")
        for key, array in frames.items():
            _require_observations(count, array, seen[key], f"{name}[{key!r}]")
        return
    expected = (count, *frames.shape[2:])
    if not isinstance(seen, np.ndarray) or seen.dtype.kind not in "biuf":
        raise ValueError(f"{name} are {shown(seen)}: this ring takes an array of numbers of shape {expected}")
    if seen.shape != expected:
        raise ValueError(f"{name} have the shape {seen.shape}: this ring takes {expected}")


def _of(envs: NDArray[np.intp], name: str, values: Any) -> NDArray[Any]:
    """Return the labels of these environments, of ``values`` (n,)."""
    array = np.asarray(values)
    if array.ndim != 1 or envs[-1] >= len(array):
        raise ValueError(f"restarted_labels[{name!r}]={shown(values)}: give a number for each environment")
    return array[envs]


def _write(name: str, own: NDArray[Any], at: Any, given: Any) -> None:
    """Write what is given at the places ``at``; the message names it where it does not fit."""
    try:
        array = np.asarray(given)
        if array.dtype != own.dtype and (array.dtype.kind not in "biuf" or not _fits(array, own.dtype)):
            raise ValueError(f"it is of dtype {array.dtype}")
        own[at] = array
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name}={shown(given)} cannot be written as {own.dtype} of shape {own[at].shape}: give one for each "
            "environment"
        ) from error


def _fits(array: NDArray[Any], kind: np.dtype[Any]) -> bool:
    """Return whether ``kind`` holds the numbers of ``array``, where it is one of integers."""
    if kind.kind not in "iu":
        return True
    with np.errstate(invalid="ignore"):
        return bool((array.astype(kind) == array).all())


def _leaves(tree: dict[str, Any]) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield every array of a nested dict by its path."""
    for name, value in tree.items():
        if isinstance(value, dict):
            for rest, leaf in _leaves(value):
                yield f"{name} {rest}", leaf
        else:
            yield name, np.asarray(value)


def _copy_arrays(saved: dict[str, Any], own: dict[str, Any]) -> None:
    """Copy the arrays of ``saved``, a nested dict, into those of ``own``; raise ``ValueError`` if they do not fit."""
    others = dict(_leaves(saved))
    for name, array in _leaves(own):
        other = others.get(name)
        if other is None or array.shape != other.shape or array.dtype != other.dtype:
            held = "nothing" if other is None else f"shape {other.shape} and dtype {other.dtype}"
            raise ValueError(
                f"the saved ring holds {name} of {held}, this one shape {array.shape} and dtype {array.dtype}: "
                "environments, spaces and buffer_size must be the same"
            )
    for name, array in _leaves(own):
        array[:] = others[name]
