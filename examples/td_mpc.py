"""A world model learns from the steps of its own planner, in the style of TD-MPC2; there is no policy."""

import argparse
import time
from typing import Any

import gymnasium as gym
import interrupts  # noqa: F401  # Ctrl-C ends with a sentence
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.evaluation import evaluate_policy

import counting_env
from counting_env.sb3 import GymnasiumVecEnv
from jepa_extractor import JEPA, RewardTask, TransitionRing, pretrain
from jepa_extractor.data import Step
from jepa_extractor.planning import MPPI, GraphSearch, Imagination, LatentPlanner

gym.register_envs(counting_env)

ENVS, EXPLORE, EPISODES, UNSEEN_SEED = 10, 0.3, 200, 1_000_000
IDS = ("CountingEnv-v0", "CountingEnvContinuous-v0", "CountingEnvHard-v0")
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--env", choices=IDS, default=IDS[0], help="environment")
parser.add_argument("--steps", type=int, default=5_000, help="environment steps at most")
parser.add_argument("--updates", type=int, default=150, help="updates of encoder and heads after each round")
parser.add_argument("--seed", type=int, default=0, help="seed of environments, networks, batches and exploration")
parser.add_argument("--out", help="file for the planner, which python -m counting_env.play --agent FILE shows")
args = parser.parse_args()
if min(args.steps, args.updates) < 1 or args.seed < 0:
    parser.error("--steps and --updates take positive integers, --seed one of at least 0")
torch.set_num_threads(1)  # small tensors: more threads only wait for each other
torch.manual_seed(args.seed)
generator = np.random.default_rng(args.seed)

# In this mode each step is a transition. In NEXT_STEP, the default, the one after an end only resets: mask it out.
kind: dict[str, Any] = {"vectorization_mode": "vector_entry_point", "autoreset_mode": AutoresetMode.SAME_STEP}
envs = gym.make_vec(args.env, ENVS, **kind)
envs.action_space.seed(args.seed)
limit = gym.spec(args.env).max_episode_steps
assert limit is not None
spaces = envs.single_observation_space, envs.single_action_space
discrete = isinstance(spaces[1], gym.spaces.Discrete)
search = GraphSearch(width=32, tolerance=0.5) if discrete else MPPI(samples=64, elites=8, iterations=3)
jepa = JEPA(*spaces, auxiliary=(RewardTask(latents="both"),), horizon=2)
ring = TransitionRing(jepa.observation_space, spaces[1], ENVS, 2 * args.steps + 3 * ENVS, args.seed)
images = envs.reset(seed=args.seed)[0].transpose(0, 3, 1, 2)
ring.begin(images)
tests = GymnasiumVecEnv(gym.make_vec(args.env, EPISODES, **kind))
planner, taken, success = None, 0, 0.0
while taken < args.steps and success < 0.95:
    for _ in range(min(3 * limit, -(-(args.steps - taken) // ENVS))):  # three whole episodes, and less at the end
        actions = envs.action_space.sample()
        if planner is not None:
            plans = generator.random(ENVS) >= EXPLORE
            actions[plans] = planner.predict(images)[0][plans]
        pixels, rewards, terminated, truncated, info = envs.step(actions)
        ended, restarted = terminated | truncated, pixels.transpose(0, 3, 1, 2)
        arrived = restarted.copy()
        if ended.any():
            arrived[ended] = np.stack(info["final_obs"][ended]).transpose(0, 3, 1, 2)
        ring.add(Step(actions, rewards, terminated, ended, arrived, restarted))
        images, taken = restarted, taken + ENVS
    pretrain(jepa, ring, args.updates, transition_updates=2 * args.updates)
    planner = LatentPlanner(jepa, limit, search=search)
    tests.seed(UNSEEN_SEED)
    # the reward is 1 at the target
    success = float(np.mean(evaluate_policy(planner, tests, EPISODES, return_episode_rewards=True, warn=False)[0]))
    used = time.process_time()
    print(f"{taken} steps: success rate {success:.3f} over {EPISODES} unseen episodes, {used:.0f} processor seconds")
if planner is not None and args.out:
    env = gym.make(args.env)
    counts = np.repeat(range(env.get_wrapper_attr("options").max_count + 1), 16)
    env.reset(seed=args.seed)
    pictures = np.stack([env.reset(options={"count": int(count)})[0] for count in counts])
    Imagination(planner, pictures, counts).save(args.out)
