"""Environments of which every state is known, and in which any function of the state can be the reward."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import nn

import counting_env
from counting_env.kernels import SHAPES
from jepa_extractor import JEPA, Episode, random_episodes
from jepa_extractor.envs import TableImages
from jepa_extractor.networks.encoders import EncoderName, MakeEncoder

gym.register_envs(counting_env)

Values = NDArray[np.float64]
States = dict[str, NDArray[np.int64]]  # what each state is, by name, (states,)
STEPS = 8  # in an episode
PICTURE_SEED = 500_000  # far above those of training


@dataclass(frozen=True)
class Counting:
    """A variant of ``CountingEnv-v0``, whose states are counts, or counts and shapes."""

    options: Mapping[str, Any]

    def make(self, **options: Any) -> gym.vector.VectorEnv[Any, Any, Any]:
        """Return environments with images and ``info["state"]``; ``options`` go before those of the world."""
        given = {**self._all_options, **options}
        return gym.make_vec("CountingEnv-v0", 64, vectorization_mode="vector_entry_point", **given)

    def states(self) -> States:
        """Return ``"count"`` and ``"shape"``, an index of ``SHAPES``, of each state."""
        env = self._one(seed=0)
        infos = [env.reset(options={"count": count, "shape": SHAPES[shape]})[1] for count, shape in self._starts]
        by_state = np.array(self._starts)[np.argsort([info["state"] for info in infos])]
        return {"count": by_state[:, 0], "shape": by_state[:, 1]}

    def successors(self) -> NDArray[np.int64]:
        """Return the state after each action, (states, actions)."""
        successors: NDArray[np.int64] = self._one(seed=0).get_wrapper_attr("class_mdp")[0]
        return successors

    def pictures(self, each: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return ``each`` images of every state, (N, 3, H, W), and their states (N,)."""
        env = self._one(PICTURE_SEED + seed)
        starts = [{"count": count, "shape": SHAPES[shape]} for count, shape in self._starts for _ in range(each)]
        seen = [env.reset(options=start) for start in starts]
        images = np.stack([image for image, _ in seen])
        return np.moveaxis(images, -1, 1), np.array([info["state"] for _, info in seen])

    @property
    def _starts(self) -> list[tuple[int, int]]:
        counts = range(self.options.get("least_count", 0), self.options["max_count"] + 1)
        shapes = range(len(SHAPES) if isinstance(self.options["target"], Mapping) else 1)
        return list(itertools.product(counts, shapes))

    @property
    def _all_options(self) -> dict[str, Any]:
        return {**self.options, "terminate_on_target": False, "max_episode_steps": STEPS}

    def _one(self, seed: int) -> gym.Env[Any, Any]:
        env = gym.make("CountingEnv-v0", **self._all_options)
        env.reset(seed=seed)
        return env


@dataclass(frozen=True)
class Grid:
    """``FrozenLake-v1`` without holes and goal, on ice that is not slippery: a square that one walks about in."""

    size: int
    image_size: int

    def make(self) -> gym.vector.VectorEnv[Any, Any, Any]:
        """Return environments with images and ``info["state"]``."""
        see = partial(TableImages, image_size=self.image_size, random_starts=True)
        return gym.make_vec("FrozenLake-v1", 8, "sync", wrappers=(see,), **self._options)

    def states(self) -> States:
        """Return ``"row"`` and ``"column"`` of each state."""
        row, column = np.divmod(np.arange(self.size**2), self.size)
        return {"row": row, "column": column}

    def successors(self) -> NDArray[np.int64]:
        """Return the state after each action, (states, actions)."""
        return self._one().class_mdp[0]

    def pictures(self, each: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return ``each`` images of every state, (N, 3, H, W), and their states (N,)."""
        del seed  # each state has one image
        env = self._one()
        images = np.repeat(env.images, each, axis=0)
        return np.moveaxis(images, -1, 1), np.repeat(np.arange(self.size**2), each)

    def _one(self) -> TableImages:
        return TableImages(gym.make("FrozenLake-v1", **self._options), self.image_size, random_starts=True)

    @property
    def _options(self) -> dict[str, Any]:
        rows = ["S" + "F" * (self.size - 1)] + ["F" * self.size] * (self.size - 1)
        return {"desc": rows, "is_slippery": False, "render_mode": "rgb_array", "max_episode_steps": STEPS}


World = Counting | Grid  # without ends; their own rewards are not used: see ``paid``


class Differences(nn.Module):
    """A network on what sets an image apart from the mean of all states' images: the player, a small part of it."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(
        self, observation_space: spaces.Box, latent_dim: int, images: NDArray[np.uint8], network: MakeEncoder
    ) -> None:
        super().__init__()
        pixels = torch.from_numpy(images).float() / 255
        self.register_buffer("mean", pixels.mean(0))
        self.register_buffer("scale", pixels.std(0).mean())
        self.network = network(observation_space, latent_dim)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map float32 images (B, 3, H, W) to latents (B, D)."""
        latents: torch.Tensor = self.network((pixels - self.mean) / self.scale)
        return latents


def make_jepa(world: World, encoder: EncoderName, **arguments: Any) -> JEPA:
    """Return an untrained JEPA for the world; torch's global generator draws its parameters."""
    envs = world.make()
    return JEPA(envs.single_observation_space, envs.single_action_space, encoder=encoder, **arguments)


def walks(world: World, transitions: int, seed: int) -> list[Episode]:
    """Return episodes of ``STEPS`` random actions, with the label ``"state"``."""
    return list(random_episodes(world.make(), transitions, seed, labels=("state",)))


def paid(episodes: list[Episode], values: Values) -> list[Episode]:
    """Return the episodes with the value of the state arrived in as each step's reward."""
    return [
        episode._replace(rewards=values[episode.labels["state"][1:].astype(int)].astype(np.float32))
        for episode in episodes
    ]


# The counts 1 to 8 of four shapes: a target of shapes makes the shape a part of the state.
SHAPED = Counting({"target": {"circle": 4}, "least_count": 1, "max_count": 8, "image_size": 48})
CYCLE = Counting({"target": 0, "max_count": 11, "wrap": True, "image_size": 48})
ROOM = Grid(size=6, image_size=48)
