"""An environment whose images say where they come from: the exact oracle for stored transitions."""

import itertools

import gymnasium as gym
import numpy as np
from gymnasium import spaces

SIZE = 36
EPISODE_LENGTHS = (1, 3, 2, 5)  # of successive episodes
TIME_LIMIT = 4  # ends the episodes of length 5 before their own end


class CodedEnv(gym.Env):
    """Images hold (environment, episode, step); the reward is a function of all three and of the action."""

    _numbers = itertools.count()

    def __init__(self, number: int, action_space: spaces.Space | None = None) -> None:
        self.observation_space = spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8)
        self.action_space = spaces.Discrete(5) if action_space is None else action_space
        self.number = number
        self.episode = -1
        self.time = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode += 1
        self.time = 0
        return self._image(), {"code": self._code()}

    def step(self, action):
        self.time += 1
        terminated = self.time >= EPISODE_LENGTHS[self.episode % len(EPISODE_LENGTHS)]
        reward = coded_reward(self.number, self.episode, self.time, np.asarray(action))
        return self._image(), reward, terminated, False, {"code": self._code()}

    def action_masks(self) -> np.ndarray:
        """Allow every action, for algorithms that ask."""
        return np.ones(getattr(self.action_space, "n", 1), np.bool_)

    def _code(self) -> int:
        return (self.number * 1000 + self.episode) * 10 + self.time

    def _image(self) -> np.ndarray:
        return np.full((SIZE, SIZE, 3), (self.number, self.episode % 256, self.time), np.uint8)


def coded_reward(number: int, episode: int, time: int, action: np.ndarray) -> float:
    """Return the reward that the image and the action prescribe."""
    return float(number + episode / 8 + time / 64 + np.sum(action, dtype=np.float64) / 1024)


def make_coded_env(number: int, action_space: spaces.Space | None = None) -> gym.Env:
    """Return a coded environment with its time limit."""
    return gym.wrappers.TimeLimit(CodedEnv(number, action_space), TIME_LIMIT)


def decode(observation: np.ndarray) -> tuple[int, int, int]:
    """Return (environment, episode, step) from an image, channels first."""
    number, episode, time = observation[:, 0, 0]
    assert (observation == observation[:, :1, :1]).all()
    return int(number), int(episode), int(time)
