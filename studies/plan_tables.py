"""Does a planner find its way on FrozenLake 8x8 and CliffWalking, to a second goal that only a picture tells?

Design. ``TableImages`` shows the environments; the reward of the training is 1 for arriving at the goal. The data knows
every action in every state, followed by random ones; what has ended stays where it is. The encoder sees images minus
their mean. Few updates of the reward alone leave the latents about equally far from each other; then a wide transition
is fitted to them for long. ``retarget`` takes a second goal from its picture, against those of all other states.

Measures. The share of all other states, as starts, from which the planner arrives within 40 steps.

Seeds. 0: exploratory.

Thresholds. At least 95% of the starts reach either goal.
"""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from jepa_extractor import JEPA, Episode, TransitionRing, fit_transition, pretrain
from jepa_extractor.envs import TableImages
from jepa_extractor.planning import GraphSearch, LatentPlanner, retarget
from studies.facts import Facts
from studies.markdown import markdown_table
from studies.worlds import Differences

WORLDS: dict[str, tuple[str, dict[str, Any]]] = {
    "lake": ("FrozenLake-v1", {"map_name": "8x8", "is_slippery": False}),
    "cliff": ("CliffWalking-v1", {}),
}
STEPS, LIMIT = 8, 40  # of an episode of the training; of a test
SEEDS = (0,)
SHARED = {"updates": 100, "transition_updates": 6_000, "horizon": 16}  # the horizon is the longest way
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "lake": {"world": "lake", "second": 28, **SHARED},
    "cliff": {"world": "cliff", "second": 5, **SHARED},
}


class Perceptron(nn.Sequential):
    """A network that knows each image, not what is in it."""

    def __init__(self, observation_space: gym.spaces.Box, latent_dim: int) -> None:
        size = int(np.prod(observation_space.shape))
        super().__init__(nn.Flatten(), nn.Linear(size, 256), nn.ReLU(), nn.Linear(256, latent_dim))


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


def check(configuration: dict[str, Any]) -> None:
    """Raise ``ValueError`` if the second goal is a hole, the first goal, or no state."""
    env, second = make_world(configuration), configuration["second"]
    last = len(env.images) - 2
    if not 0 <= second <= last or env.ends[second]:
        raise ValueError(f"second={second} is not a state that can be passed: give one of 0 to {last}, and no hole")


def make_world(configuration: dict[str, Any]) -> TableImages:
    """Return the environment, whose goal is its last state."""
    name, options = WORLDS[configuration["world"]]
    return TableImages(gym.make(name, render_mode="rgb_array", **options), image_size=48)


def run(configuration: dict[str, Any], seed: int, folder: Path) -> dict[str, float]:  # noqa: ARG001  # a study's signature
    """Return the success at the ``goal`` of the training and at the ``second``."""
    generator = np.random.default_rng(seed)
    torch.manual_seed(seed)
    env = make_world(configuration)
    images, (successors, _) = np.moveaxis(env.images, -1, 1), env.class_mdp
    goal, second = len(images) - 1, configuration["second"]

    def episode(state: int, action: int) -> Episode:
        actions = np.array([action, *generator.integers(successors.shape[1], size=STEPS - 1)])
        states = [state]
        for taken in actions:
            states.append(int(successors[states[-1], taken]))
        return Episode(images[states], actions, np.equal(states[1:], goal).astype(np.float32), False, {})

    ring = TransitionRing.from_episodes([episode(*pair) for pair in np.ndindex(successors.shape)], seed)
    jepa = JEPA(
        env.observation_space,
        env.action_space,
        encoder=Differences,
        encoder_kwargs={"images": images, "network": Perceptron},
        transition=Transition,
        dynamics_weight=0.0,
    )
    pretrain(jepa, ring, configuration["updates"], learning_rate=3e-4, transition_updates=0)
    fit_transition(jepa, ring, configuration["transition_updates"], learning_rate=3e-3)
    retargeted = retarget(jepa, images, np.arange(len(images)) == second)
    search = GraphSearch(width=64)
    return {
        name: success(LatentPlanner(model, configuration["horizon"], 0.9, search), wanted, env, images)
        for name, model, wanted in (("goal", jepa, goal), ("second", retargeted, second))
    }


def success(planner: LatentPlanner, wanted: int, env: TableImages, images: NDArray[np.uint8]) -> float:
    """Return the share of starts from which the planner arrives."""
    successors, _ = env.class_mdp
    states = np.flatnonzero(~env.ends & (np.arange(len(images)) != wanted))
    for _ in range(LIMIT):
        going = np.flatnonzero((states != wanted) & ~env.ends[states])
        if not len(going):
            break
        actions, _ = planner.predict(images[states[going]])
        states[going] = successors[states[going], actions]
    return float((states == wanted).mean())


def table(facts: Facts) -> str:
    """Return a row for each environment and seed."""
    rows = [
        [WORLDS[CONFIGURATIONS[name]["world"]][0], seed, f"{of['goal']:.3f}", f"{of['second']:.3f}"]
        for name, by_seed in facts["results"].items()
        for seed, of in by_seed.items()
    ]
    return markdown_table(["environment", "seed", "starts that reach the goal", "a second goal"], rows)
