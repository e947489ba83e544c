"""Train DQN on CountingEnv-v0 through a JEPA encoder, then test the policy and picture its latents."""

import interrupts  # noqa: F401  # first, as the other imports take seconds
from gymnasium import register_envs
from report import parse_arguments, train_and_report
from stable_baselines3 import DQN
from stable_baselines3.common.env_util import make_vec_env

import counting_env
from jepa_extractor import JEPACallback, jepa_policy_kwargs

register_envs(counting_env)

arguments = parse_arguments(__doc__, steps=24_000, out="runs/dqn")
env = make_vec_env("CountingEnv-v0", n_envs=8, seed=arguments.seed)
jepa = {} if arguments.no_jepa else jepa_policy_kwargs(env.action_space)
model = DQN(
    "CnnPolicy",
    env,
    learning_rate=1e-3,
    buffer_size=20_000,
    learning_starts=1_000,
    batch_size=64,
    gamma=0.9,
    train_freq=1,
    gradient_steps=1,
    target_update_interval=1_000,
    exploration_fraction=0.3,
    policy_kwargs={"net_arch": [64], **jepa},
    tensorboard_log=str(arguments.out),
    seed=arguments.seed,
    device=arguments.device,
)
callback = None
if not arguments.no_jepa:
    callback = JEPACallback(probe="count", checkpoint_dir=arguments.out, seed=arguments.seed)
train_and_report(model, callback, arguments)
