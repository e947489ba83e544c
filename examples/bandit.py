"""A bandit, where the next observation is random: how each way to train the JEPA changes the return of A2C."""

import argparse
from typing import Any

import numpy as np
import torch
from stable_baselines3 import A2C
from stable_baselines3.common.envs import IdentityEnv
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from tqdm import tqdm

from jepa_extractor import JEPACallback, jepa_policy_kwargs

WAYS: dict[str, dict[str, Any] | None] = {
    "no auxiliary": None,
    "default": {},
    "detached target": {"target": "detach"},
    "reward of leaving": {"auxiliary": ("action_reward",)},
    "reward of leaving, no dynamics": {"auxiliary": ("action_reward",), "dynamics_weight": 0.0},
}


def mean_return(way: dict[str, Any] | None, seed: int, steps: int) -> float:
    """Train one policy and return its mean return over ten episodes of 100 steps."""
    env = Monitor(IdentityEnv(10))
    kwargs = jepa_policy_kwargs(env, **({"auxiliary": (), "dynamics_weight": 0.0} if way is None else way))
    model = A2C("MlpPolicy", env, policy_kwargs=kwargs, seed=seed, device="cpu")
    model.learn(steps, callback=None if way is None else JEPACallback())
    return float(np.mean(evaluate_policy(model, env, 10, return_episode_rewards=True)[0]))


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--steps", type=int, default=3_000, help="environment steps of each training")
parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="seeds")
arguments = parser.parse_args()
torch.set_num_threads(1)
returns: dict[str, list[float]] = {name: [] for name in WAYS}
for seed in tqdm(arguments.seeds, unit="seed"):
    for name, way in WAYS.items():
        returns[name].append(mean_return(way, seed, arguments.steps))
print("| | mean | each seed |\n| --- | ---: | --- |")
for name, values in returns.items():
    print(f"| {name} | {np.mean(values):.0f} | {', '.join(f'{value:.0f}' for value in values)} |")
