"""PPO in one file of plain PyTorch, in the style of CleanRL, with a JEPA that learns beside it."""

import argparse
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from torch import nn
from torch.distributions import Categorical

import counting_env
from jepa_extractor import JEPA, TransitionRing
from jepa_extractor.data import Step

gym.register_envs(counting_env)

GAMMA, LAMBDA, CLIP, EPOCHS, BATCH, EPISODES = 0.99, 0.95, 0.2, 4, 256, 1000
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--steps", type=int, default=25_000, help="environment steps to train for")
parser.add_argument("--seed", type=int, default=0, help="seed of environments, networks and batches")
parser.add_argument("--num-envs", type=int, default=32, help="environments stepped at once")
args = parser.parse_args()
torch.manual_seed(args.seed)

# In this mode each step is a transition. In NEXT_STEP, the default, the one after an end only resets: mask it out.
kind: dict[str, Any] = {"vectorization_mode": "vector_entry_point", "autoreset_mode": AutoresetMode.SAME_STEP}
envs = gym.make_vec("CountingEnv-v0", args.num_envs, **kind)
jepa = JEPA(envs.single_observation_space, envs.single_action_space)
head = nn.Sequential(nn.Linear(jepa.latent_dim, 64), nn.Tanh(), nn.Linear(64, 3))  # two logits and a value
optimizer = torch.optim.Adam([*jepa.parameters(), *head.parameters()], lr=1e-3)


def judge(images: np.ndarray | torch.Tensor) -> tuple[Categorical, torch.Tensor]:
    """Return the policy and the values (B,) for uint8 images (B, 3, 64, 64)."""
    outputs = head(jepa.encoder(torch.as_tensor(images) / 255))
    return Categorical(logits=outputs[:, :2]), outputs[:, 2]


images = envs.reset(seed=args.seed)[0].transpose(0, 3, 1, 2)
ring = TransitionRing(jepa.observation_space, jepa.action_space, args.num_envs, capacity=20_000, seed=args.seed)
ring.begin(images)
length = max(1, min(1024, args.steps) // args.num_envs)  # of a rollout
for _ in range(0, args.steps, length * args.num_envs):
    rows = []
    with torch.no_grad():
        for _ in range(length):
            policy, values = judge(images)
            actions = policy.sample()
            pixels, rewards, terminated, truncated, info = envs.step(actions.numpy())
            ended, restarted = terminated | truncated, pixels.transpose(0, 3, 1, 2)
            arrived = restarted.copy()
            if ended.any():
                arrived[ended] = np.stack(info["final_obs"][ended]).transpose(0, 3, 1, 2)
            ring.add(Step(actions.numpy(), rewards, terminated, ended, arrived, restarted))
            rows.append([*map(torch.as_tensor, (images, actions, policy.log_prob(actions), values, rewards, ~ended))])
            images = restarted
        advantages, advantage, following = list[torch.Tensor](), torch.zeros(()), judge(images)[1]
        for values, rewards, goes_on in (row[3:] for row in reversed(rows)):  # a time limit counts as an end, too
            advantage = (rewards + goes_on * GAMMA * (following + LAMBDA * advantage) - values).float()
            advantages, following = [advantage, *advantages], values
    seen, taken, old, values, rewards, goes_on = (torch.cat(parts) for parts in zip(*rows, strict=True))
    gains = torch.cat(advantages)
    returns, gains = values + gains, (gains - gains.mean()) / (gains.std() + 1e-8)
    for chosen in (part for _ in range(EPOCHS) for part in torch.randperm(len(seen)).split(BATCH)):
        policy, values = judge(seen[chosen])
        ratio, gain = (policy.log_prob(taken[chosen]) - old[chosen]).exp(), gains[chosen]
        actor_loss = -torch.min(ratio * gain, ratio.clamp(1 - CLIP, 1 + CLIP) * gain).mean()
        critic_loss = nn.functional.mse_loss(values, returns[chosen])
        optimizer.zero_grad()
        (actor_loss + 0.5 * critic_loss + jepa.loss(ring.sample(64))[0]).backward()
        nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], 0.5)
        optimizer.step()
tests = gym.make_vec("CountingEnv-v0", EPISODES, **kind)
images, solved = tests.reset(seed=1_000_000)[0], np.zeros(EPISODES, np.bool_)
for _ in range(4):  # no episode is longer; a second one begins only after a success
    images, rewards, terminated = tests.step(judge(images.transpose(0, 3, 1, 2))[0].probs.argmax(1).numpy())[:3]
    solved |= terminated
print(f"success rate {solved.mean():.3f} over {EPISODES} unseen episodes")
