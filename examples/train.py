"""Train PPO, DQN or SAC to count through a JEPA encoder, then test the policy and picture its latents."""

import interrupts  # noqa: F401, I001  # first, as the other imports take seconds
import argparse
import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.spatial.distance import cdist
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.callbacks import ProgressBarCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.utils import LinearSchedule

import counting_env
from jepa_extractor import JEPACallback, jepa_policy_kwargs
from jepa_extractor.checkpoint import replace_file
from jepa_extractor.diagnostics import effective_rank, latent_std, nearest_centroid_accuracy

gym.register_envs(counting_env)
EPISODES, UNSEEN = 1_000, 1_000_000  # of the test; its seeds, far above those of training
OFF = {"learning_rate": 1e-3, "buffer_size": 20_000, "learning_starts": 1_000, "batch_size": 64, "train_freq": 1}
# to a rate of 0: the clusters end up tight; with gamma=0.99 and no bonus, one seed of three settled on one action
ON = {"learning_rate": LinearSchedule(3e-3, 0.0, 1.0), "n_steps": 128, "n_epochs": 4, "ent_coef": 0.1}
# A training this short needs a target network that follows fast, and a bonus at each step rewards not finishing.
ALGORITHMS: dict[str, tuple[type[PPO | DQN | SAC], str, int, dict[str, Any]]] = {
    "ppo": (PPO, "CountingEnv-v0", 10_240, {**ON, "max_grad_norm": 1.0}),
    "dqn": (DQN, "CountingEnv-v0", 24_000, {**OFF, "target_update_interval": 1_000, "exploration_fraction": 0.3}),
    "sac": (SAC, "CountingEnvContinuous-v0", 8_000, {**OFF, "tau": 0.1, "ent_coef": 0.01}),
}
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--algorithm", choices=ALGORITHMS, default="ppo", help="algorithm of Stable-Baselines3")
parser.add_argument("--steps", type=int, help="environment steps (default: as many as the algorithm needs)")
parser.add_argument("--seed", type=int, default=0, help="seed of environments, networks and batches")
parser.add_argument("--out", type=Path, default=Path("runs/ppo"), help="output folder")
parser.add_argument("--no-jepa", action="store_true", help="train Stable-Baselines3's own NatureCNN instead")
args = parser.parse_args()
algorithm, env_id, enough, settings = ALGORITHMS[args.algorithm]
steps = enough if args.steps is None else args.steps
if steps < 1 or args.seed < 0:
    parser.error("--steps takes a positive integer, --seed one of at least 0")
env = make_vec_env(env_id, n_envs=8, seed=args.seed)
settings |= {"policy_kwargs": {"net_arch": [64], **({} if args.no_jepa else jepa_policy_kwargs(env))}}
model = algorithm("CnnPolicy", env, gamma=0.9, tensorboard_log=str(args.out), seed=args.seed, device="cpu", **settings)
clip, progress = settings.get("max_grad_norm", 0.5), ProgressBarCallback()
jepa = JEPACallback(max_grad_norm=clip, probe="count", seed=args.seed)
try:
    model.learn(steps, callback=[progress] if args.no_jepa else [jepa, progress])
except KeyboardInterrupt:
    progress.on_training_end()  # left open, the bar would print a traceback at exit
    path = args.out / "model.zip"
    raise SystemExit(f"\nInterrupted after {model.num_timesteps} steps: the model so far is in {path}") from None
finally:
    replace_file(args.out / "model.zip", model.save)

returns, _ = evaluate_policy(model, make_vec_env(env_id, 50, seed=UNSEEN), EPISODES, return_episode_rewards=True)
counts, one = np.tile(np.arange(9), 100), gym.make(env_id)
one.reset(seed=UNSEEN)
images = np.stack([one.reset(options={"count": int(count)})[0] for count in counts]).transpose(0, 3, 1, 2)
extractor = next(part for part in model.policy.modules() if isinstance(part, BaseFeaturesExtractor))
with torch.no_grad():
    latents = extractor(torch.from_numpy(images) / 255).numpy()
accuracy = nearest_centroid_accuracy(latents[:450], counts[:450], latents[450:], counts[450:])
result: dict[str, Any] = {"success_rate": float(np.mean(np.array(returns) > 0)), "nearest_centroid_accuracy": accuracy}
result |= {"latent_std": latent_std(latents), "effective_rank": effective_rank(latents), "episodes": EPISODES}
result |= {"steps": model.num_timesteps, "encoder": type(extractor).__name__}
(args.out / "result.json").write_text(json.dumps(result, indent=2) + "\n")
figure, order, centred = Figure((11, 5), layout="constrained"), np.argsort(counts), latents - latents.mean(0)
left, right = figure.subplots(1, 2)
points = (centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T).T  # principal components
figure.colorbar(left.scatter(*points, c=counts, cmap="turbo", s=8), ax=left, label="count")
right.imshow(cdist(latents[order], latents[order]))  # dark squares: counts that are kept apart
figure.savefig(args.out / "latent.png", dpi=110)
print("\n".join(f"{name.replace('_', ' ')}: {value}" for name, value in result.items()), args.out, sep="\nall in ")
