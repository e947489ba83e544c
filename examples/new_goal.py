"""Train a JEPA for one goal; then plan for every goal of CountingEnv-v0, each from a few labelled pictures."""

import argparse
import json
from pathlib import Path

import gymnasium as gym
import interrupts  # noqa: F401  # Ctrl-C ends with a sentence
import numpy as np
import torch
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from stable_baselines3.common.evaluation import evaluate_policy
from tqdm import tqdm

import counting_env  # noqa: F401  # registers CountingEnv-v0
from counting_env.sb3 import GymnasiumVecEnv
from jepa_extractor import (
    JEPAExtractor,
    LatentPlanner,
    TransitionRing,
    fit_transition,
    policy_space,
    pretrain,
    random_episodes,
    retarget,
)

GOALS = range(9)
HORIZON = 8  # steps from 0 to 8, the longest way to a goal
EPISODES = 128  # for each goal
TRAINED = 4  # the goal of the training
PICTURE_SEED, UNSEEN_SEED = 500_000, 1_000_000  # far above those of training
WAYS = {
    "joint": {},
    "reward only": {"dynamics_weight": 0.0},
    "dynamics only": {"auxiliary": ()},
    "untrained": None,  # but for the transition
}


def train(
    transitions: TransitionRing, envs: gym.vector.VectorEnv, way: dict | None, arguments: argparse.Namespace
) -> JEPAExtractor:
    """Return an extractor trained on random steps; its transition is fitted to its latents in every way of training."""
    torch.manual_seed(arguments.seed)
    transitions.generator = np.random.default_rng(arguments.seed)  # the same batches in every way
    encoder = "gated" if arguments.background == "noise" else "pooled"
    space = policy_space(envs.single_observation_space)
    extractor = JEPAExtractor(space, envs.single_action_space, encoder=encoder, **(way or {}))
    if way is None:
        fit_transition(extractor, transitions)
    else:
        pretrain(extractor, transitions, arguments.updates)
    return extractor


def take_pictures(background: str, each: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return ``each`` pictures of every count, and the counts."""
    env = gym.make("CountingEnv-v0", background=background)
    env.reset(seed=PICTURE_SEED + seed)
    counts = np.repeat(np.arange(9), each)
    return np.stack([env.reset(options={"count": int(count)})[0] for count in counts]), counts


def success(extractor: JEPAExtractor, goal: int, background: str) -> float:
    """Return the share of episodes in which a planner reaches ``goal``, from every count, within ``HORIZON`` steps."""
    options = {"target": goal, "max_episode_steps": HORIZON, "background": background}
    envs = gym.make_vec("CountingEnv-v0", num_envs=64, vectorization_mode="vector_entry_point", **options)
    env = GymnasiumVecEnv(envs)
    env.seed(UNSEEN_SEED)
    return float(evaluate_policy(LatentPlanner(extractor, HORIZON), env, EPISODES, warn=False)[0])


def draw(result: dict[str, dict[int, list[float]]], path: Path) -> None:
    """Write a picture: success for each goal, and its mean over the number of pictures."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for line, (way, by_number) in enumerate(result.items()):
        fewest = min(by_number)
        style = {"marker": "o", "linewidth": 7 - 2 * line}  # where lines lie on each other, all are seen
        left.plot(GOALS, by_number[fewest], **style, label=way)
        right.plot(list(by_number), [np.mean(successes) for successes in by_number.values()], **style)
    left.axvline(TRAINED, color="grey", linestyle=":")
    left.set(xlabel="goal (dotted: that of the training)", ylabel="success", title=f"{fewest} labelled pictures")
    right.set(xlabel="labelled pictures", title="Mean over the goals", xticks=list(by_number))
    left.legend()
    figure.savefig(path, dpi=110)


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--background", choices=("black", "noise"), default="black", help="background of the pictures")
parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="ways of training to compare")
parser.add_argument("--each", type=int, nargs="+", default=[1, 2, 5], help="labelled pictures of each count")
parser.add_argument("--updates", type=int, default=700, help="updates of the training")
parser.add_argument("--transitions", type=int, default=20_000, help="random steps to train on")
parser.add_argument("--seed", type=int, default=0, help="seed of environments, networks and batches")
parser.add_argument("--out", type=Path, default=Path("runs/new_goal"), help="output folder")
parser.add_argument("--threads", type=int, default=2, help="torch threads")
arguments = parser.parse_args()
if min(*arguments.each, arguments.updates, arguments.transitions, arguments.threads) < 1 or arguments.seed < 0:
    parser.error("--each, --updates, --transitions and --threads take positive integers, --seed one of at least 0")
torch.set_num_threads(arguments.threads)
arguments.out.mkdir(parents=True, exist_ok=True)

make_vec = {"num_envs": 64, "vectorization_mode": "vector_entry_point", "background": arguments.background}
envs = gym.make_vec("CountingEnv-v0", target=TRAINED, **make_vec)
transitions = TransitionRing.from_episodes(random_episodes(envs, arguments.transitions, arguments.seed), arguments.seed)
result: dict[str, dict[int, list[float]]] = {}
for way in tqdm(arguments.ways, unit="way"):
    extractor = train(transitions, envs, WAYS[way], arguments)
    result[way] = {}
    for each in sorted(arguments.each):
        pictures, counts = take_pictures(arguments.background, each, arguments.seed)
        result[way][len(counts)] = [
            success(retarget(extractor, pictures, counts == goal), goal, arguments.background) for goal in GOALS
        ]
(arguments.out / "result.json").write_text(json.dumps(result, indent=2) + "\n")
draw(result, arguments.out / "new_goal.png")

table = Table(title=f"Success at goals 0 to 8, {arguments.background} background, seed {arguments.seed}")
for column in ("training", "pictures", *map(str, GOALS), "mean"):
    table.add_column(column, justify="left" if column == "training" else "right", no_wrap=True)
for way, by_number in result.items():
    for number, successes in by_number.items():
        table.add_row(way, str(number), *(f"{value:.2f}" for value in successes), f"{np.mean(successes):.3f}")
Console().print(table)
print(f"In {arguments.out}: new_goal.png, result.json")
