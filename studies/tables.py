"""How many states does the reward of other people's environments require, and how many does an encoder keep?

Design. Gymnasium's FrozenLake (4x4 and 8x8, not slippery), CliffWalking and Taxi hold their transition tables, so the
classes of the largest bisimulation are known exactly; ``TableImages`` shows them as images. NatureCNN, which sees what
sets an image apart from the mean of all, learns from 12,000 random steps from random starts, and every action in every
state once: with reward and dynamics (``joint``), with dynamics alone (``dynamics_only``), or not at all
(``untrained``). The rewards are those of the environment; where they are rewards of leaving, 1 is added to each, so
that most are 0 and half of a batch shows the rare ones, which changes no class.

Measures, on the image of each state that play can reach. The share of the required pairs of states that are kept
(``compare_classes``), and of the pairs that may merge, the share that did; the groups of states when pairs that are not
kept count as one. Processor seconds of one core, everything included.

Seeds. 800 to 804. Settings were chosen on seed 0. With images as they are, joint training kept 0.965, 0.486, 0.983 and
0.040 of the required pairs of FrozenLake 4x4, 8x8, CliffWalking and Taxi, since the player is a small part of the
picture; without the mean, it kept all of FrozenLake 8x8 and of Taxi.

Thresholds. On FrozenLake 4x4 and CliffWalking at least 95% of the required pairs are kept with each seed, within 600
processor seconds. On FrozenLake 8x8 and Taxi: as far as it gets.

Added after the other runs, when joint training had kept 0.927 of CliffWalking's required pairs. NatureCNN's strides
leave out the last four rows and columns of an image of 64 pixels, and there CliffWalking draws the player in the last
column: ``cliff68`` has images of 68 pixels, of which the network sees all. There 0.936 were kept: the ten states beside
the cliff, whose reward is 99 times as large as any other, got nearly the same latent. So ``cliff68_scaled`` divides the
rewards by 99; on seed 0 that kept all pairs.
"""

import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from matplotlib.figure import Figure

from jepa_extractor import JEPA, TransitionRing, pretrain, random_episodes
from jepa_extractor.bisimulation import largest_bisimulation
from jepa_extractor.envs import TableImages
from jepa_extractor.networks.encoders import NatureEncoder
from studies.facts import Facts
from studies.markdown import markdown_table, spread_text
from studies.measures import pairwise
from studies.worlds import Differences

SEEDS = range(800, 805)


class World(NamedTuple):
    """An environment, and how the encoder sees it and its rewards."""

    title: str
    env_id: str
    options: Mapping[str, Any]
    image_size: int = 64
    largest_reward: float = 1.0  # by which rewards of leaving are divided


WORLDS = {
    "lake4": World("FrozenLake 4x4", "FrozenLake-v1", {"is_slippery": False}),
    "lake8": World("FrozenLake 8x8", "FrozenLake-v1", {"map_name": "8x8", "is_slippery": False}),
    "cliff": World("CliffWalking", "CliffWalking-v1", {}),
    "cliff68": World("CliffWalking, 68 pixels", "CliffWalking-v1", {}, image_size=68),
    "cliff68_scaled": World("CliffWalking, 68 pixels, rewards / 99", "CliffWalking-v1", {}, 68, 99.0),
    "taxi": World("Taxi", "Taxi-v4", {}),
}
TRANSITIONS, UPDATES = 12_000, 1_500
ARMS = {"joint": "#0072b2", "dynamics_only": "#009e73", "untrained": "#888888"}  # and their colours in the figure
CONFIGURATIONS = {f"{world}-{arm}": {"world": world, "arm": arm} for world in WORLDS for arm in ARMS}


def run(configuration: dict[str, Any], seed: int, folder: Path) -> dict[str, float]:
    """Train one encoder and count the pairs of states that it keeps."""
    began = time.process_time()
    _, name, options, size, largest = WORLDS[configuration["world"]]
    see = partial(TableImages, image_size=size, random_starts=True)
    envs = gym.make_vec(name, 8, "sync", wrappers=(see,), render_mode="rgb_array", **options)
    world = TableImages(gym.make(name, render_mode="rgb_array", **options), image_size=size)
    successors, values = world.class_mdp
    leaving = values.ndim == 2
    images = np.moveaxis(world.images, -1, 1)
    torch.manual_seed(seed)
    task = "action_reward" if leaving else "reward"
    jepa = JEPA(
        world.observation_space,
        world.action_space,
        encoder=Differences,
        encoder_kwargs={"images": images, "network": NatureEncoder},
        auxiliary=() if configuration["arm"] == "dynamics_only" else (task,),
    )
    if configuration["arm"] != "untrained":
        episodes = [*random_episodes(envs, TRANSITIONS, seed), *world.all_transitions()]
        if leaving:
            episodes = [episode._replace(rewards=(episode.rewards + 1) / largest) for episode in episodes]
        transitions = TransitionRing.from_episodes(episodes, seed)
        pretrain(jepa, transitions, UPDATES, transition_updates=0, checkpoint=folder / "training.pt")
    latents, states = jepa.encode(images), np.arange(len(images))
    classes = largest_bisimulation(successors, values)
    required = np.not_equal.outer(classes, classes)
    report = pairwise(np.repeat(latents, 2, axis=0), np.repeat(states, 2), required)
    return {
        "states": len(states),
        "classes": int(classes.max() + 1),
        "required": report["required_pairs"],
        "kept": report["required_pairs_kept"],
        "mergeable": report["other_pairs"],
        "merged": report["other_pairs_merged"],
        "groups": report["groups"],
        "seconds": time.process_time() - began,
    }


def table(facts: Facts) -> str:
    """Return a row for each environment and way of training."""
    rows = []
    for name, configuration in CONFIGURATIONS.items():
        if runs := list(facts["results"].get(name, {}).values()):
            title, first = WORLDS[configuration["world"]].title, runs[0]
            shares = [run["kept"] / run["required"] for run in runs]
            kept = f"{spread_text(shares, float(np.mean(shares)))} of {first['required']}"
            merged = f"{np.mean([run['merged'] for run in runs]):.1f} of {first['mergeable']}"
            arm = configuration["arm"].replace("_", " ")
            groups, seconds = (np.mean([run[key] for run in runs]) for key in ("groups", "seconds"))
            cells = [f"{title}, {first['states']}", str(first["classes"]), arm, str(len(runs)), kept, merged]
            rows.append([*cells, f"{groups:.1f}", f"{seconds:.0f}"])
    header = ["environment, states", "classes", "training", "runs", "required pairs kept", "others merged", "groups"]
    return markdown_table([*header, "seconds"], rows, left=(0, 2))


def draw(facts: Facts, path: Path) -> None:
    """Write the figure: the share of required pairs that each run keeps."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    for offset, (arm, color) in enumerate(ARMS.items()):
        for place, world in enumerate(WORLDS):
            shares = [run["kept"] / run["required"] for run in facts["results"].get(f"{world}-{arm}", {}).values()]
            label = arm.replace("_", " ") if place == 0 else None
            axes.scatter(np.full(len(shares), place + 0.2 * (offset - 1)), shares, color=color, alpha=0.6, label=label)
    axes.set_xticks(range(len(WORLDS)), [title.replace(", ", "\n") for title, *_ in WORLDS.values()], fontsize="small")
    axes.axhline(0.95, color="grey", linestyle=":")
    axes.set(ylabel="share of the required pairs that are kept", ylim=(-0.03, 1.03))
    axes.legend()
    figure.savefig(path, dpi=100)
