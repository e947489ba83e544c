"""Small models that train in seconds."""

import gymnasium as gym
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

import counting_env
from jepa_extractor import jepa_policy_kwargs

gym.register_envs(counting_env)


@pytest.fixture
def make_ppo():
    """Return a function that builds a small PPO on small counting images."""

    def make(seed: int = 0, **kwargs) -> PPO:
        env = make_vec_env("CountingEnv-v0", n_envs=4, seed=seed, env_kwargs={"image_size": 36, "max_count": 4})
        defaults = {"n_steps": 64, "batch_size": 64, "n_epochs": 4, "seed": seed, "device": "cpu"}
        of_extractor = {name: kwargs.pop(name) for name in ("auxiliary", "dynamics_weight") if name in kwargs}
        policy_kwargs = {
            "net_arch": [16],
            **jepa_policy_kwargs(gym.spaces.Discrete(2), recipe="paper", latent_dim=16, **of_extractor),
        }
        return PPO("CnnPolicy", env, **{"policy_kwargs": policy_kwargs, **defaults, **kwargs})

    return make
