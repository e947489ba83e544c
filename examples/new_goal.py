"""Pretrain a JEPA on random play with the reward at four; then plan for every count, each from nine pictures."""

import argparse

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.evaluation import evaluate_policy

import counting_env
from counting_env.sb3 import GymnasiumVecEnv
from jepa_extractor import JEPA, TransitionRing, pretrain, random_episodes
from jepa_extractor.planning import LatentPlanner, retarget

gym.register_envs(counting_env)

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--transitions", type=int, default=20_000, help="steps of random play")
parser.add_argument("--updates", type=int, default=500, help="updates of encoder and heads")
parser.add_argument("--seed", type=int, default=0, help="seed of episodes, networks and batches")
args = parser.parse_args()
torch.manual_seed(args.seed)
envs = gym.make_vec("CountingEnv-v0", 64, vectorization_mode="vector_entry_point")
jepa = JEPA(envs.single_observation_space, envs.single_action_space)
ring = TransitionRing.from_episodes(random_episodes(envs, args.transitions, args.seed), args.seed)
pretrain(jepa, ring, args.updates, progress_bar=True)

env = gym.make("CountingEnv-v0")
env.reset(seed=2_000_000 + args.seed)
pictures = np.stack([env.reset(options={"count": count})[0] for count in range(9)])
for goal in range(9):
    planner = LatentPlanner(retarget(jepa, pictures, np.arange(9) == goal), horizon=8)
    unseen = gym.make_vec("CountingEnv-v0", 64, "vector_entry_point", target=goal, max_episode_steps=8)
    tests = GymnasiumVecEnv(unseen)
    tests.seed(1_000_000)
    returns, _ = evaluate_policy(planner, tests, 64, return_episode_rewards=True, warn=False)
    print(f"goal {goal}: success {np.mean(returns):.3f}")
