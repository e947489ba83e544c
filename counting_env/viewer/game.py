"""Episodes of CountingEnv one after the other, and the score."""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

import gymnasium as gym

from counting_env.options import Options


class Game:
    """Plays one ``CountingEnv`` and keeps the score.

    Args:
        env: a ``CountingEnv`` as ``gym.make`` gives it.
        max_episode_steps: the time limit of ``env``.
        seed: seed of the first episode; ``None`` for a random one.

    Attributes:
        options: those of ``env``.
        observation: what the environment returned last, uint8 (H, W, 3).
        info: the info that came with it.
        steps: number of steps in this episode.
        reward: the last reward of this episode, ``None`` before its first step.
        ended: whether the episode is over; only ``begin`` may follow.
        results: for each episode so far whether it has arrived at the target; the last is this episode.
    """

    def __init__(self, env: gym.Env[Any, Any], max_episode_steps: int, seed: int | None = None) -> None:
        self.env = env
        self.max_episode_steps = max_episode_steps
        self.options: Options = env.get_wrapper_attr("options")
        self.results: list[bool] = []
        self.steps = 0
        self.begin(seed)

    def begin(self, seed: int | None = None) -> None:
        """Begin an episode. One that is left before its end counts as one that failed, unless it has no step yet."""
        self.observation, self.info = self.env.reset(seed=seed)
        if self.steps or not self.results:
            self.results.append(False)
        self.steps = 0
        self.reward: float | None = None
        self.ended = False

    def step(self, action: Any) -> None:
        """Make one step of an episode that has not ended."""
        self.observation, reward, terminated, truncated, self.info = self.env.step(action)
        self.steps += 1
        self.reward = float(reward)
        self.ended = terminated or truncated
        self.results[-1] = self.succeeded or self.info["is_success"]

    def rewards(self, count: int) -> bool:
        """Return whether arriving at ``count`` is a success in this episode."""
        target = self.options.target
        if isinstance(target, Mapping):
            target = target.get(self.info["shape"], ())
        return count in target if isinstance(target, Sequence) else count == target

    @property
    def succeeded(self) -> bool:
        """Whether this episode has arrived at the target."""
        return self.results[-1]

    @property
    def score(self) -> tuple[int, int]:
        """Number of episodes that arrived, and of those that have arrived or can no longer arrive."""
        return sum(self._decided), len(self._decided)

    @property
    def streak(self) -> int:
        """Number of the last episodes that all arrived, without a failure between them."""
        return len(list(takewhile(bool, reversed(self._decided))))

    @property
    def _decided(self) -> list[bool]:
        return self.results if self.ended or self.succeeded else self.results[:-1]
