"""Tasks of others, as this comparison sees them: distractors, repeated actions, and networks of their own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv
from torch import nn

CHANNELS = 4  # that a distractor adds to MinAtar's four to ten
Layers = NDArray[np.bool_]
Wrapper = Callable[[gym.Env[Any, Any]], gym.Env[Any, Any]]


@dataclass(frozen=True)
class Environment:
    """An environment, and how to make it.

    Attributes:
        env_id: its id in Gymnasium.
        module: the package that registers it.
        install: how to install that.
        options: of ``gymnasium.make``.
        wrapper: what it is wrapped in.
    """

    env_id: str
    module: str
    install: str
    options: Mapping[str, Any] = field(default_factory=dict)
    wrapper: Wrapper | None = None

    def require_installed(self) -> None:
        """Raise ``ModuleNotFoundError`` if the package of the environment is missing."""
        if find_spec(self.module.partition(".")[0]) is None:
            raise ModuleNotFoundError(f"{self.env_id} needs {self.module.partition('.')[0]}: {self.install}")

    def make(self, num_envs: int, seed: int) -> VecEnv:
        """Return ``num_envs`` environments for Stable-Baselines3."""
        module = import_module(self.module)
        if self.env_id not in gym.registry:  # MinAtar registers when asked, the others when imported
            module.register_envs()
        return make_vec_env(self.env_id, num_envs, seed, wrapper_class=self.wrapper, env_kwargs=dict(self.options))


class ExtraChannels(gym.Wrapper[Layers, int, Layers, int]):
    """Adds four channels that do not matter to the boolean channels (H, W, C) of a MinAtar game.

    The draws are those of a generator of its own, seeded with each seed that ``reset`` is given.

    Args:
        env: a MinAtar game.
        kind: ``"noise"``: each cell is on or off anew in each frame. ``"drift"``: a random picture for each episode
            that moves one column on with each step, around the edges: it can be predicted, and does not matter either.
        density: the share of cells that are on.
    """

    def __init__(self, env: gym.Env[Layers, int], kind: Literal["noise", "drift"], density: float = 0.1) -> None:
        super().__init__(env)
        assert isinstance(env.observation_space, spaces.Box)
        height, width, channels = env.observation_space.shape
        shape = (height, width, channels + CHANNELS)
        self.observation_space = spaces.Box(0, 1, shape, np.bool_)  # type: ignore[assignment, arg-type]  # as MinAtar's
        self._kind, self._density = kind, density
        self._generator = np.random.default_rng()
        self._picture = self._draw()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Layers, dict[str, Any]]:
        """Begin an episode of the game, and a new picture."""
        observation, info = self.env.reset(seed=seed, options=options)
        if seed is not None:
            self._generator = np.random.default_rng(seed)
        self._picture = self._draw()
        return self._beside(observation), info

    def step(self, action: int) -> tuple[Layers, float, bool, bool, dict[str, Any]]:
        """Take a step of the game."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._picture = self._draw() if self._kind == "noise" else np.roll(self._picture, 1, axis=1)
        return self._beside(observation), float(reward), terminated, truncated, info

    def _draw(self) -> Layers:
        assert self.observation_space.shape is not None
        return self._generator.random((*self.observation_space.shape[:2], CHANNELS)) < self._density

    def _beside(self, observation: Layers) -> Layers:
        return np.concatenate([observation, self._picture], axis=2)


class RepeatAction(gym.Wrapper[Any, Any, Any, Any]):
    """Takes each action twice, and adds up the rewards, as is the custom in the DeepMind Control Suite."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take two steps of the environment, or one if that ends the episode."""
        total = 0.0
        for _ in range(2):
            observation, reward, terminated, truncated, info = self.env.step(action)
            total += float(reward)
            if terminated or truncated:
                break
        return observation, total, terminated, truncated, info


class MinAtarNetwork(nn.Module):
    """The network of MinAtar's DQN (Young and Tian, arXiv 1903.03176) as an encoder.

    A 3x3 convolution to 16 channels, ReLU, and a linear layer.

    Args:
        observation_space: of booleans (H, W, C).
        latent_dim: width D of the latent; 128 there, and a ReLU follows.
    """

    def __init__(self, observation_space: spaces.Box, latent_dim: int) -> None:
        super().__init__()
        height, width, channels = observation_space.shape
        self.convolution = nn.Conv2d(channels, 16, kernel_size=3)
        self.linear = nn.Linear(16 * (height - 2) * (width - 2), latent_dim)

    def forward(self, layers: torch.Tensor) -> torch.Tensor:
        """Map float32 layers (B, H, W, C) to latents (B, D)."""
        latents: torch.Tensor = self.linear(torch.relu(self.convolution(layers.movedim(-1, 1))).flatten(1))
        return latents
