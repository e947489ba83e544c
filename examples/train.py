"""Train PPO on CountingEnv-v0 through a JEPA encoder, then test the policy and picture its latents."""

import interrupts  # noqa: F401  # first, as the other imports take seconds
from gymnasium import register_envs
from report import parse_arguments, train_and_report
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.utils import LinearSchedule

import counting_env
from jepa_extractor import JEPACallback, jepa_policy_kwargs

register_envs(counting_env)

arguments = parse_arguments(__doc__, steps=10_240, out="runs/ppo")
env = make_vec_env("CountingEnv-v0", n_envs=8, seed=arguments.seed)
jepa = {} if arguments.no_jepa else jepa_policy_kwargs(env.action_space)
model = PPO(
    "CnnPolicy",
    env,
    learning_rate=LinearSchedule(3e-3, 0.0, 1.0),  # to 0: the clusters end up tight
    n_steps=128,
    batch_size=64,
    n_epochs=4,
    gamma=0.9,
    ent_coef=0.1,  # with gamma=0.99 and no bonus, one seed of three settled on one action
    max_grad_norm=1.0,
    policy_kwargs={"net_arch": [64], **jepa},
    tensorboard_log=str(arguments.out),
    seed=arguments.seed,
    device=arguments.device,
)
callback = None
if not arguments.no_jepa:
    callback = JEPACallback(max_grad_norm=1.0, probe="count", checkpoint_dir=arguments.out, seed=arguments.seed)
train_and_report(model, callback, arguments)
