"""Train PPO on CountingEnv-v0 through a JEPA encoder, then test the policy and picture its latents."""

import interrupts  # noqa: F401  # first, as the other imports take seconds
from report import parse_arguments, train_and_report
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

import counting_env  # noqa: F401  # registers CountingEnv-v0
from jepa_extractor import JEPACallback, jepa_policy_kwargs

arguments = parse_arguments(__doc__, steps=25_000, out="runs/ppo")
env = make_vec_env("CountingEnv-v0", n_envs=8, seed=arguments.seed)
jepa = {} if arguments.no_jepa else jepa_policy_kwargs(env.action_space)
model = PPO(
    "CnnPolicy",
    env,
    learning_rate=1e-3,
    n_steps=128,
    batch_size=256,
    n_epochs=4,
    policy_kwargs={"net_arch": [64], **jepa},
    tensorboard_log=str(arguments.out),
    seed=arguments.seed,
    device=arguments.device,
)
callback = None
if not arguments.no_jepa:
    callback = JEPACallback(probe="count", checkpoint_dir=arguments.out, seed=arguments.seed)
train_and_report(model, callback, arguments)
