"""Train SAC on CountingEnvContinuous-v0 through a JEPA encoder, then test the policy and picture its latents."""

import interrupts  # noqa: F401  # first, as the other imports take seconds
from gymnasium import register_envs
from report import parse_arguments, train_and_report
from stable_baselines3 import SAC
from stable_baselines3.common.env_util import make_vec_env

import counting_env
from jepa_extractor import JEPACallback, jepa_policy_kwargs

register_envs(counting_env)

arguments = parse_arguments(__doc__, steps=8_000, out="runs/sac")
env = make_vec_env("CountingEnvContinuous-v0", n_envs=8, seed=arguments.seed)
jepa = {} if arguments.no_jepa else jepa_policy_kwargs(env.action_space)
model = SAC(
    "CnnPolicy",
    env,
    learning_rate=1e-3,
    buffer_size=20_000,
    learning_starts=1_000,
    batch_size=64,
    gamma=0.9,
    train_freq=1,
    gradient_steps=1,
    tau=0.1,  # a training this short needs a target network that follows fast
    ent_coef=0.01,  # an entropy bonus at each step rewards not finishing: keep it well below the reward
    policy_kwargs={"net_arch": [64], **jepa},
    tensorboard_log=str(arguments.out),
    seed=arguments.seed,
    device=arguments.device,
)
callback = None
if not arguments.no_jepa:
    callback = JEPACallback(probe="count", checkpoint_dir=arguments.out, seed=arguments.seed)
train_and_report(model, callback, arguments)
