"""A ring of transitions that stores each frame once, and the batches drawn from it.

Every question of which observation follows which, and where an episode ends, is answered here.
"""

import zlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jepa_extractor.checks import require_integer
from jepa_extractor.rollouts import Episode

_ARRAYS = ("_frames", "_actions", "_rewards", "_terminated", "_labels", "_complete", "_newest", "_filled")


class TransitionBatch(NamedTuple):
    """B stretches of k steps, as NumPy arrays."""

    observations: NDArray[np.generic]  # (B, k + 1, *observation shape), as stored
    actions: NDArray[np.generic]  # (B, k, *action shape)
    rewards: NDArray[np.float32]  # (B, k)
    terminated: NDArray[np.bool_]  # (B, k) whether the step ended its episode, time limits not counted
    labels: NDArray[np.float32]  # (B, k + 1) label of each observation, NaN where unknown
    mask: NDArray[np.bool_]  # (B, k) whether the step belongs to the stretch; always True for the first


class TransitionRing:
    """The last transitions of ``num_envs`` environments, drawn uniformly with a generator of its own.

    Frames stand in the order in which they were seen, so the observation after a step is the next frame,
    and each is stored once. The end of an episode costs one frame more: its last observation. In memory
    that is ``capacity`` observations (12 KiB each for 64x64 RGB in uint8: 240 MiB for 20,000).

    An off-policy algorithm's own buffer stays as it is; at equal length, this one takes half its memory.

    Args:
        observations: observations of all environments (n, ...), as an example of shape and dtype.
        action_shape: shape of one action.
        action_dtype: dtype of actions.
        capacity: frames kept, over all environments.
        seed: seed of the generator that draws batches.

    Raises:
        ValueError: ``capacity``, the callback's ``buffer_size``, is too small for a transition of each environment.
    """

    def __init__(
        self,
        observations: NDArray[np.generic],
        action_shape: tuple[int, ...],
        action_dtype: np.dtype[Any],
        capacity: int,
        seed: int,
    ) -> None:
        num_envs = len(observations)
        require_integer("buffer_size", capacity, least=3 * num_envs)  # two frames and a place to write the next
        self._slots = capacity // num_envs
        size = (num_envs, self._slots)
        self._frames = np.zeros(size + observations.shape[1:], observations.dtype)
        self._actions = np.zeros(size + action_shape, action_dtype)
        self._rewards = np.zeros(size, np.float32)
        self._terminated = np.zeros(size, np.bool_)
        self._labels = np.full(size, np.nan, np.float32)
        self._complete = np.zeros(size, np.bool_)  # whether an action was taken at the frame: it begins a transition
        self._newest = np.full(num_envs, -1)  # slot of the frame at which the next action will be taken
        self._filled = np.zeros(num_envs, np.int64)  # slots written so far
        self._envs = np.arange(num_envs)
        self.generator = np.random.default_rng(seed)

    @classmethod
    def from_episodes(cls, episodes: Iterable[Episode], seed: int) -> "TransitionRing":
        """Return a ring that holds exactly ``episodes``; its generator starts from ``seed``.

        A data set of single transitions is one of episodes with one step each.

        Raises:
            ValueError: there is no step in them, or the arrays of one do not fit together.
        """
        episodes = [episode for episode in episodes if len(episode.actions)]
        for number, episode in enumerate(episodes):
            lengths = [len(array) for array in (episode.observations, episode.labels, episode.actions, episode.rewards)]
            if lengths != [lengths[0], lengths[0], lengths[0] - 1, lengths[0] - 1]:
                raise ValueError(
                    "episode {} has {} observations, {} labels, {} actions and {} rewards: T steps need T + 1 "
                    "observations and labels (NaN where unknown), T actions and T rewards".format(number, *lengths)
                )
        if not episodes:
            raise ValueError("episodes hold no step: give at least one episode of at least one step")
        frames = sum(len(episode.observations) for episode in episodes)
        actions = episodes[0].actions
        ring = cls(episodes[0].observations[:1], actions.shape[1:], actions.dtype, frames + 1, seed)
        nothing = np.zeros(1, np.bool_)
        for episode in episodes:
            ring.begin(episode.observations[:1], episode.labels[:1])
            last = len(episode.actions) - 1
            for t in range(len(episode.actions)):
                ring.add(
                    episode.actions[t : t + 1],
                    episode.rewards[t : t + 1],
                    np.array([episode.terminated and t == last]),
                    episode.observations[t + 1 : t + 2],
                    episode.labels[t + 1 : t + 2],
                    ended=nothing,  # what follows is begun above
                    restarted=episode.observations[:0],
                    restarted_labels=episode.labels[:0],
                )
        return ring

    def digest(self) -> int:
        """Return a checksum of all that can be drawn."""
        checksum = 0
        for name in _ARRAYS:
            checksum = zlib.crc32(getattr(self, name).data, checksum)
        return checksum

    def __len__(self) -> int:
        """Return the number of transitions that can be drawn."""
        return int(np.count_nonzero(self._complete))

    def __bool__(self) -> bool:
        """Return whether any transition can be drawn."""
        return bool(self._complete.any())

    @property
    def has_labels(self) -> bool:
        """Whether the label of any observation is known."""
        return bool(np.isfinite(self._labels).any())

    @property
    def has_ends(self) -> bool:
        """Whether there is an observation at which no action was taken, nor will be: the last of an episode."""
        return int(self._filled.sum()) > len(self) + len(self._envs)

    def begin(self, observations: NDArray[np.generic], labels: NDArray[np.floating]) -> None:
        """Begin a new stretch in every environment, at ``observations`` (n, ...) with ``labels`` (n,)."""
        self._append(self._envs, observations, labels)

    def add(
        self,
        actions: NDArray[np.generic],
        rewards: NDArray[np.floating],
        terminated: NDArray[np.bool_],
        arrived: NDArray[np.generic],
        arrived_labels: NDArray[np.floating],
        ended: NDArray[np.bool_],
        restarted: NDArray[np.generic],
        restarted_labels: NDArray[np.floating],
    ) -> None:
        """Store one step of every environment, taken at the newest frames. n is the number of environments.

        Args:
            actions: (n, *action shape).
            rewards: (n,).
            terminated: (n,), whether the step ended the episode other than by a time limit.
            arrived: (n, *observation shape), what the step led to: where it ended an episode, the last
                observation of that episode. ``arrived_labels``, (n,), belongs to it.
            ended: (n,), whether the step ended the episode in any way.
            restarted: (n, *observation shape), the first observation of the next episode where ``ended``;
                elsewhere it is not read. ``restarted_labels``, (n,), belongs to it.
        """
        at = (self._envs, self._newest.copy())
        self._actions[at] = actions
        self._rewards[at] = rewards
        self._terminated[at] = terminated
        self._append(self._envs, arrived, arrived_labels)
        self._complete[at] = True  # after the next frame: an interrupt in between must leave no false transition
        if ended.any():
            over = np.flatnonzero(ended)
            self._append(over, restarted[over], restarted_labels[over])

    def newest_observations(self) -> NDArray[np.generic]:
        """Return the frames (n, ...) at which the next actions will be taken."""
        frames: NDArray[np.generic] = self._frames[self._envs, self._newest]
        return frames

    def state(self) -> dict[str, Any]:
        """Return everything that the ring holds, as arrays and plain values: see ``restore``."""
        return {**{name: getattr(self, name) for name in _ARRAYS}, "rng": self.generator.bit_generator.state}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what another ring's ``state`` returned.

        Raises:
            ValueError: that ring had another shape or dtype.
        """
        for name in _ARRAYS:
            own, other = getattr(self, name), np.asarray(state[name])
            if own.shape != other.shape or own.dtype != other.dtype:
                raise ValueError(
                    f"the saved ring holds {name[1:]} of shape {other.shape} and dtype {other.dtype}, this one "
                    f"{own.shape} and {own.dtype}: environments, spaces and buffer_size must be the same"
                )
        for name in _ARRAYS:
            getattr(self, name)[:] = state[name]
        self.generator.bit_generator.state = state["rng"]

    def sample(self, batch_size: int, horizon: int = 1, rewarded_fraction: float = 0.0) -> TransitionBatch:
        """Draw ``batch_size`` stretches of ``horizon`` steps, uniform over first steps, with replacement.

        Of these, ``rewarded_fraction``, rounded, are drawn among the steps whose reward is not 0, if there are any.

        Raises:
            ValueError: the ring is empty.
        """
        if not self:
            raise ValueError("the ring holds no transition yet")
        env = np.empty(batch_size, np.intp)
        slot = np.empty(batch_size, np.intp)
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

    def newest(self, count: int) -> TransitionBatch:
        """Return up to ``count`` of the newest transitions, one step each, oldest first."""
        age = np.arange(self._slots - 1, 0, -1)
        slots = (self._newest[:, None] - age) % self._slots  # (n, slots - 1), oldest first in each environment
        order = slots.T.reshape(-1)
        env = np.tile(self._envs, self._slots - 1)
        complete = np.flatnonzero(self._complete[env, order])[-count:]
        return self._stretch(env[complete], order[complete], horizon=1)

    def _stretch(self, env: NDArray[np.intp], slot: NDArray[np.intp], horizon: int) -> TransitionBatch:
        frames = (slot[:, None] + np.arange(horizon + 1)) % self._slots
        steps = (env[:, None], frames[:, :-1])
        return TransitionBatch(
            observations=self._frames[env[:, None], frames],
            actions=self._actions[steps],
            rewards=self._rewards[steps],
            terminated=self._terminated[steps],
            labels=self._labels[env[:, None], frames],
            mask=np.logical_and.accumulate(self._complete[steps], axis=1),
        )

    def _append(self, envs: NDArray[np.intp], observations: NDArray[np.generic], labels: NDArray[np.floating]) -> None:
        slots = (self._newest[envs] + 1) % self._slots
        self._newest[envs] = slots
        self._filled[envs] = np.minimum(self._filled[envs] + 1, self._slots)
        self._complete[envs, slots] = False
        self._frames[envs, slots] = observations
        self._labels[envs, slots] = labels
