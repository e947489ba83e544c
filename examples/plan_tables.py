"""Plan on FrozenLake 8x8 and CliffWalking from images: to the goal, and to a second one that only a picture tells."""

import argparse
from typing import Any

import gymnasium as gym
import interrupts  # noqa: F401  # Ctrl-C ends with a sentence
import numpy as np
import torch
from torch import nn

from jepa_extractor import (
    Episode,
    JEPAExtractor,
    LatentPlanner,
    TableImages,
    TransitionRing,
    fit_transition,
    policy_space,
    pretrain,
    retarget,
)

WORLDS: dict[str, tuple[str, dict[str, Any]]] = {
    "lake": ("FrozenLake-v1", {"map_name": "8x8", "is_slippery": False}),
    "cliff": ("CliffWalking-v1", {}),
}
STEPS, LIMIT = 8, 40  # of an episode of the training; of a test
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--world", choices=WORLDS, default="lake", help="environment")
parser.add_argument("--second", type=int, default=28, help="number of the state that is the second goal")
parser.add_argument("--updates", type=int, default=100, help="updates of the encoder")
parser.add_argument("--transition-updates", type=int, default=6_000, help="updates of the transition")
parser.add_argument("--horizon", type=int, default=16, help="steps that the planner looks ahead: the longest way")
parser.add_argument("--seed", type=int, default=0, help="seed of episodes, networks and batches")
args = parser.parse_args()
if min(args.updates, args.transition_updates, args.horizon) < 1 or args.seed < 0:
    parser.error("--updates, --transition-updates and --horizon take positive integers, --seed one of at least 0")
torch.set_num_threads(1)  # small tensors: more threads only wait for each other
generator = np.random.default_rng(args.seed)
torch.manual_seed(args.seed)

name, options = WORLDS[args.world]
env = TableImages(gym.make(name, render_mode="rgb_array", **options), image_size=48)
images, (successors, _) = np.moveaxis(env.images, -1, 1), env.class_mdp
goal = len(images) - 1  # the last state, in either world
if not 0 <= args.second < goal or env.ends[args.second]:
    parser.error(f"--second {args.second} is not a state that can be passed: give one of 0 to {goal - 1}, and no hole")


class Differences(nn.Module):
    """An encoder of what sets an image apart from the mean of all: the player, a small part of the picture."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, observation_space: gym.spaces.Box, latent_dim: int) -> None:
        super().__init__()
        pixels = torch.from_numpy(images).float() / 255
        self.register_buffer("mean", pixels.mean(0))
        self.register_buffer("scale", pixels.std(0).mean())
        size = int(np.prod(observation_space.shape))
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(size, 256), nn.ReLU(), nn.Linear(256, latent_dim))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map float32 images (B, 3, H, W) to latents (B, D)."""
        latents: torch.Tensor = self.layers((pixels - self.mean) / self.scale)
        return latents


class Transition(nn.Module):
    """A wide network: there is a rule for each state, and no other."""

    def __init__(self, latent_dim: int, action_dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(latent_dim + action_dim, 512), nn.LayerNorm(512), nn.ReLU(), nn.Linear(512, latent_dim)
        )

    def forward(self, latents: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Map latents (B, D) and action features (B, A) to latents (B, D)."""
        predicted: torch.Tensor = self.layers(torch.cat([latents, actions], dim=-1))
        return predicted


def episode(state: int, action: int) -> Episode:
    """Return an episode that begins with this action and goes on at random; what has ended stays where it is."""
    actions = np.array([action, *generator.integers(successors.shape[1], size=STEPS - 1)])
    states = [state]
    for taken in actions:
        states.append(int(successors[states[-1], taken]))
    return Episode(images[states], actions, np.equal(states[1:], goal).astype(np.float32), False, {})


def success(planner: LatentPlanner, wanted: int) -> float:
    """Return the share of starts from which the planner arrives."""
    states = np.flatnonzero(~env.ends & (np.arange(len(images)) != wanted))
    for _ in range(LIMIT):
        going = np.flatnonzero((states != wanted) & ~env.ends[states])
        if not len(going):
            break
        actions, _ = planner.predict(images[states[going]])
        states[going] = successors[states[going], actions]
    return float((states == wanted).mean())


episodes = [episode(state, action) for state, action in np.ndindex(successors.shape)]
ring = TransitionRing.from_episodes(episodes, args.seed)
extractor = JEPAExtractor(
    policy_space(env.observation_space),
    env.action_space,
    encoder=Differences,
    transition=Transition,
    dynamics_weight=0.0,
)
pretrain(extractor, ring, args.updates, learning_rate=3e-4, transition_updates=0)
fit_transition(extractor, ring, args.transition_updates, learning_rate=3e-3)
settings = {"horizon": args.horizon, "width": 64, "discount": 0.9}
print(f"{name}: {success(LatentPlanner(extractor, **settings), goal):.3f} of all starts reach the goal")
retargeted = retarget(extractor, images, np.arange(len(images)) == args.second)
print(f"{name}: {success(LatentPlanner(retargeted, **settings), args.second):.3f} reach state {args.second}")
