"""The environment in TorchRL, alone and many at once, and TorchRL's PPO on the encoder of a JEPA."""

import argparse

import gymnasium as gym
import torch
from gymnasium.vector import AutoresetMode
from tensordict.nn import TensorDictModule
from torch import nn
from torchrl.collectors import Collector
from torchrl.envs import Compose, GymEnv, GymWrapper, InitTracker, RewardSum, ToTensorImage, TransformedEnv
from torchrl.envs.utils import ExplorationType, check_env_specs, set_exploration_type
from torchrl.modules import ActorValueOperator, OneHotCategorical, ProbabilisticActor, ValueOperator
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE

import counting_env
from jepa_extractor import JEPA, Batch

gym.register_envs(counting_env)

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--steps", type=int, default=30_720, help="environment steps to train for")
parser.add_argument("--seed", type=int, default=0, help="seed of environments, networks and batches")
args = parser.parse_args()
torch.manual_seed(args.seed)


def make_env(num_envs: int, seed: int) -> TransformedEnv:
    """Return vector environments without autoreset: TorchRL resets those that have ended."""
    images = ToTensorImage(in_keys=["observation"], out_keys=["pixels"])  # channels first, in [0, 1]
    envs = gym.make_vec("CountingEnv-v0", num_envs, "vector_entry_point", autoreset_mode=AutoresetMode.DISABLED)
    env = TransformedEnv(GymWrapper(envs), Compose(InitTracker(), images, RewardSum()))
    env.set_seed(seed)
    return env


class Encoder(JEPA):
    """A JEPA whose encoder takes batches of any shape: TorchRL's have a time dimension, too."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map images (..., 3, 64, 64) to latents (..., 64)."""
        latents: torch.Tensor = self.encoder(pixels.flatten(0, -4)).unflatten(0, pixels.shape[:-3])
        return latents


check_env_specs(GymEnv("CountingEnv-v0"))  # one environment alone
env = make_env(32, args.seed)
check_env_specs(env)
jepa = Encoder(gym.spaces.Box(0, 1, (3, 64, 64)), gym.spaces.Discrete(2))
actor, critic = (nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, size)) for size in (2, 1))
head = TensorDictModule(actor, ["latent"], ["logits"])
agent = ActorValueOperator(
    TensorDictModule(jepa, ["pixels"], ["latent"]),
    ProbabilisticActor(head, ["logits"], distribution_class=OneHotCategorical, return_log_prob=True),
    ValueOperator(critic, ["latent"]),
)
policy, value = agent.get_policy_operator(), agent.get_value_operator()
# TorchRL adds the value of what would come after the time limit
advantages = GAE(gamma=0.9, lmbda=0.95, value_network=value)
ppo = ClipPPOLoss(policy, value, entropy_bonus=False, normalize_advantage=True)
optimizer = torch.optim.Adam(agent.parameters(), lr=1e-3)
for rollout in Collector(env, policy, frames_per_batch=1024, total_frames=args.steps):
    returns = rollout["next", "episode_reward"][rollout["next", "done"]]
    print(f"mean return {returns.mean():.3f} over {len(returns)} episodes")
    with torch.no_grad():
        steps = advantages(rollout).reshape(-1)
    for batch in (steps[chosen] for _ in range(4) for chosen in torch.randperm(len(steps)).split(256)):
        few, losses = batch[:64], ppo(batch)
        observations = torch.stack([few["pixels"], few["next", "pixels"]], dim=1)
        rewards, terminated = few["next", "reward"], few["next", "terminated"]
        auxiliary, _ = jepa.loss(Batch(observations, few["action"].argmax(-1).unsqueeze(1), rewards, terminated))
        optimizer.zero_grad()
        (losses["loss_objective"] + 0.5 * losses["loss_critic"] + auxiliary).backward()
        nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
        optimizer.step()
with torch.no_grad(), set_exploration_type(ExplorationType.DETERMINISTIC):
    episodes = make_env(500, 1_000_000).rollout(4, policy, break_when_any_done=False)
print(f"success rate {episodes['next', 'terminated'].any(1).float().mean():.3f} over 500 unseen episodes")
