"""How many states does the reward of other people's environments require, and how many does an encoder keep?

Design. Gymnasium's FrozenLake (4x4 and 8x8, not slippery), CliffWalking and Taxi hold their transition tables, so the
classes of the largest bisimulation are known exactly; ``TableImages`` shows them as images. NatureCNN learns from
12,000 random steps from random starts, and every action in every state once, with reward and dynamics (``joint``) or
not at all (``untrained``). The rewards are those of the environment; where they are rewards of leaving, 1 is added to
each, so that most are 0 and half of a batch shows the rare ones, which changes no class.

Measures, on the image of each state that play can reach. The share of the required pairs of states that are kept
(``pairwise_audit``), and of the pairs that may merge, the share that did. Processor seconds of one core, everything
included.

Seeds. 800 to 804. Settings were chosen on seeds 0 and 1.

Thresholds. On FrozenLake 4x4 and CliffWalking at least 95% of the required pairs are kept with each seed, within 600
processor seconds. On FrozenLake 8x8 and Taxi: as far as it gets.
"""

import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from matplotlib.figure import Figure

from jepa_extractor import (
    Episode,
    JEPAExtractor,
    TableImages,
    TransitionRing,
    largest_bisimulation,
    pairwise_audit,
    policy_space,
    pretrain,
    random_episodes,
)
from jepa_extractor.spaces import as_policies_see

Results = Mapping[str, Mapping[int, Mapping[str, Any]]]  # by configuration and seed

SEEDS = range(800, 805)
WORLDS: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "lake4": ("FrozenLake 4x4", "FrozenLake-v1", {"is_slippery": False}),
    "lake8": ("FrozenLake 8x8", "FrozenLake-v1", {"map_name": "8x8", "is_slippery": False}),
    "cliff": ("CliffWalking", "CliffWalking-v1", {}),
    "taxi": ("Taxi", "Taxi-v4", {}),
}
TRANSITIONS, UPDATES = 12_000, 1_500
CONFIGURATIONS = {f"{world}-{arm}": {"world": world, "arm": arm} for world in WORLDS for arm in ("joint", "untrained")}


def run(configuration: dict[str, Any], seed: int, folder: Path) -> dict[str, float]:
    """Train one encoder and count the pairs of states that it keeps."""
    began = time.process_time()
    _, name, options = WORLDS[configuration["world"]]
    see = partial(TableImages, random_starts=True)
    envs = gym.make_vec(name, 8, "sync", wrappers=(see,), render_mode="rgb_array", **options)
    world = TableImages(gym.make(name, render_mode="rgb_array", **options))
    successors, values = world.class_mdp
    leaving = values.ndim == 2
    torch.manual_seed(seed)
    extractor = JEPAExtractor(
        policy_space(world.observation_space),
        world.action_space,
        encoder="nature",
        auxiliary=("action_reward" if leaving else "reward",),
    )
    if configuration["arm"] == "joint":
        episodes = [*random_episodes(envs, TRANSITIONS, seed), *world.all_transitions()]
        transitions = TransitionRing.from_episodes(map(_shifted, episodes) if leaving else episodes, seed)
        pretrain(extractor, transitions, UPDATES, transition_updates=0, checkpoint=folder / "training.pt")
    images = as_policies_see(world.images, world.observation_space)
    assert isinstance(images, np.ndarray)
    latents, states = extractor.encode(images), np.arange(len(images))
    classes = largest_bisimulation(successors, values)
    required = np.not_equal.outer(classes, classes)
    report = pairwise_audit(np.repeat(latents, 2, axis=0), np.repeat(states, 2), required).numbers()
    return {
        "states": len(states),
        "classes": int(classes.max() + 1),
        "required": report["required_pairs"],
        "kept": report["required_pairs_kept"],
        "mergeable": report["other_pairs"],
        "merged": report["other_pairs_merged"],
        "seconds": time.process_time() - began,
    }


def _shifted(episode: Episode) -> Episode:
    return episode._replace(rewards=episode.rewards + 1)


def table(results: Results) -> str:
    """Return a row for each environment and way of training."""
    lines = ["| environment, states | classes | training | runs | required pairs kept | others merged | seconds |"]
    lines.append("| --- | ---: | --- | ---: | ---: | ---: | ---: |")
    for name, configuration in CONFIGURATIONS.items():
        if runs := list(results.get(name, {}).values()):
            title, first = WORLDS[configuration["world"]][0], runs[0]
            shares = [run["kept"] / run["required"] for run in runs]
            kept = f"{np.mean(shares):.3f} ({min(shares):.3f} to {max(shares):.3f}) of {first['required']}"
            merged = f"{np.mean([run['merged'] for run in runs]):.1f} of {first['mergeable']}"
            cells = [f"{title}, {first['states']}", str(first["classes"]), configuration["arm"], str(len(runs)), kept]
            lines.append("| " + " | ".join([*cells, merged, f"{np.median([r['seconds'] for r in runs]):.0f}"]) + " |")
    return "\n".join(lines) + "\n"


def draw(results: Results, path: Path) -> None:
    """Write the figure: the share of required pairs that each run keeps."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for place, (name, configuration) in enumerate(CONFIGURATIONS.items()):
        shares = [run["kept"] / run["required"] for run in results.get(name, {}).values()]
        color = "#0072b2" if configuration["arm"] == "joint" else "#888888"
        axes.scatter(np.full(len(shares), place), shares, color=color, alpha=0.6)
    axes.set_xticks(range(len(CONFIGURATIONS)), [name.replace("-", "\n") for name in CONFIGURATIONS])
    axes.axhline(0.95, color="grey", linestyle=":")
    axes.set(ylabel="share of the required pairs that are kept")
    figure.savefig(path, dpi=100)
