"""The demonstration of ``make demo``: PPO learns to count through a JEPA encoder, and a page shows what that keeps."""

import interrupts  # noqa: F401, I001  # first, as the others take seconds

import argparse
import os
import subprocess
import sys
import webbrowser
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--steps", type=int, default=8_192, help="environment steps to train for")
parser.add_argument("--seed", type=int, default=0, help="seed of environments, networks and batches")
parser.add_argument("--threads", type=int, default=1, help="torch threads; on networks this small more of them wait")
parser.add_argument("--no-browser", action="store_true", help="do not open the report")
parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="output folder")
arguments = parser.parse_args()

print("Loading torch, and compiling the environment, once ...", flush=True)
COMPILE = """import gymnasium as gym, counting_env
envs = gym.make_vec("CountingEnv-v0", num_envs=8)
envs.reset()
envs.step([0] * 8)"""
# Numba keeps what it compiles, and torch loads meanwhile
compiling = subprocess.Popen([sys.executable, "-c", COMPILE], stderr=subprocess.DEVNULL)

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.utils import LinearSchedule

import counting_env
from counting_env.sb3 import GymnasiumVecEnv
from jepa_extractor import JEPACallback, jepa_policy_kwargs
from jepa_extractor.audit import AuditSet, audit, write_page

GAMES = 200  # unseen games that the policy plays
UNSEEN = 1_000_000  # seeds start here, far above those of the training

arguments.out.mkdir(parents=True, exist_ok=True)
torch.set_num_threads(arguments.threads)
gym.register_envs(counting_env)

compiling.wait()
env = GymnasiumVecEnv(gym.make_vec("CountingEnv-v0", num_envs=8))
env.seed(arguments.seed)
env.reset()
model = PPO(
    "CnnPolicy",
    env,
    learning_rate=LinearSchedule(3e-3, 0.0, 1.0),  # to 0: the clouds of the counts end up tight
    n_steps=128,
    n_epochs=4,
    gamma=0.9,
    ent_coef=0.1,
    max_grad_norm=1.0,
    policy_kwargs=jepa_policy_kwargs(env),
    seed=arguments.seed,
    device="cpu",
)

print("Recording random games, by which the encoder is audited ...", flush=True)
required = AuditSet.collect(
    "CountingEnv-v0", steps=2_000, classes_from="count", mdp=counting_env.count_mdp(), seed=UNSEEN
)

print("Training PPO and the JEPA in its encoder ...", flush=True)
model.learn(arguments.steps, callback=JEPACallback(max_grad_norm=1.0), progress_bar=sys.stdout.isatty())
model.save(arguments.out / "model.zip")

print("Playing games that it has never seen, and writing the report ...", flush=True)
test = GymnasiumVecEnv(gym.make_vec("CountingEnv-v0", num_envs=8))
test.seed(UNSEEN)
success = np.mean(evaluate_policy(model, test, n_eval_episodes=GAMES, warn=False)[0])
report = audit(model, required, "PPO with a JEPA")
page = (arguments.out / "report.html").resolve()
write_page([report], page, encoders={report.name: model})

print(
    f"\nRewarded for arriving at four objects, the policy does so in {success:.0%} of {GAMES} games it has never seen."
)
print(f"Nobody told its encoder to count. What it keeps, by the audit: {report.verdict}")
print(f"The report shows which pictures it takes for the same, and which not: {page}")
has_display = sys.platform in ("darwin", "win32") or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
if has_display and not arguments.no_browser:
    webbrowser.open(page.as_uri())
