"""Make the agent that the viewer shows as ``--agent demo``: python scripts/make_demo_agent.py

A JEPA learns from random episodes of CountingEnv-v0, a planner looks four steps ahead in it, and labelled pictures give
names to what it imagines. The file is written only if the planner arrives in every one of 500 unseen episodes.
"""

import argparse
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch

import counting_env
from counting_env.viewer.agents import DEMO
from jepa_extractor import JEPA, RewardTask, TransitionRing, pretrain, random_episodes
from jepa_extractor.planning import Imagination, LatentPlanner

gym.register_envs(counting_env)

SEED, UNSEEN_SEED, STEPS, EPISODES, LIMIT = 0, 1_000_000, 10_000, 500, 4
PICTURES = 16  # of each count


def make() -> Imagination:
    """Return the planner, trained from the seed."""
    torch.set_num_threads(1)  # small tensors: more threads only wait for each other
    torch.manual_seed(SEED)
    envs = _vector_env(64)
    transitions = TransitionRing.from_episodes(random_episodes(envs, STEPS, seed=SEED), seed=SEED)
    tasks = (RewardTask(latents="both"),)  # a planner reads rewards off predicted latents
    jepa = JEPA(envs.single_observation_space, envs.single_action_space, auxiliary=tasks, horizon=2)
    pretrain(jepa, transitions)
    env = counting_env.CountingEnv()
    env.reset(seed=SEED)
    counts = np.repeat(range(9), PICTURES)
    pictures = np.stack([env.reset(options={"count": int(count)})[0] for count in counts])
    return Imagination(LatentPlanner(jepa, LIMIT), pictures, counts)


def success_rate(agent: Imagination) -> float:
    """Return in how many of the unseen episodes the agent arrives, in 0..1."""
    envs = _vector_env(EPISODES)
    pictures, _ = envs.reset(seed=UNSEEN_SEED)
    arrived = np.zeros(EPISODES, np.bool_)
    for _ in range(LIMIT):  # an episode that has not arrived lasts so long
        pictures, *_, info = envs.step(agent.predict(pictures)[0])
        arrived |= info["is_success"]
    return float(arrived.mean())


def _vector_env(num_envs: int) -> counting_env.CountingVectorEnv:
    return counting_env.CountingVectorEnv(num_envs, max_episode_steps=LIMIT)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=DEMO, help="file to write (default: the package's own)")
    args = parser.parse_args()
    demo = make()
    success = success_rate(demo)
    print(f"The planner arrives in {success:.1%} of {EPISODES} unseen episodes.")
    if success < 1:
        sys.exit("Nothing was written: an exhibit must not fail. Train longer (STEPS).")
    demo.save(args.out)
    print(f"{args.out}: {args.out.stat().st_size / 1000:.0f} kB")
