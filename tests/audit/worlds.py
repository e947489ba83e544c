"""Environments, encoders and models that the tests of the audit share."""

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from torch import nn

import counting_env  # noqa: F401  # registers CountingEnv-v0
from jepa_extractor import JEPA, jepa_policy_kwargs, random_episodes

COUNTING = {"vectorization_mode": "vector_entry_point"}


for name, original in (("Small-v0", "CountingEnv-v0"), ("SmallContinuous-v0", "CountingEnvContinuous-v0")):
    spec = gym.spec(original)
    gym.register(name, spec.entry_point, max_episode_steps=4, kwargs={**spec.kwargs, "image_size": 36})


class Counter(nn.Module):
    """An encoder that counts exactly: every count that ``merge`` does not change has its own latent, up to noise."""

    def __init__(self, merge):
        super().__init__()
        self.merge = merge
        self.weight = nn.Parameter(torch.zeros(()))
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, images):
        counts = torch.tensor([self.merge(count_objects(image)) for image in images])
        noise = 0.05 * torch.randn(len(images), 3, generator=self.generator)
        return torch.stack([counts, counts**2 / 8, 0 * counts], dim=1).float() + noise


def count_objects(image):
    """Return how many objects an image (3, H, W) shows."""
    from scipy.ndimage import label

    return label(image.amax(0).numpy() > 0, structure=np.ones((3, 3)))[1]


def make_jepa(envs, **kwargs):
    torch.manual_seed(0)
    return JEPA(envs.single_observation_space, envs.single_action_space, **kwargs)


def make_model(algorithm, **kwargs):
    continuous = algorithm is SAC
    env = gym.make("CountingEnvContinuous-v0" if continuous else "CountingEnv-v0", image_size=36)
    policy_kwargs = {"net_arch": [8], **jepa_policy_kwargs(env.action_space, recipe="paper", latent_dim=8)}
    options = {"n_steps": 32, "batch_size": 32, "n_epochs": 1} if algorithm is PPO else {"buffer_size": 100}
    return algorithm("CnnPolicy", env, policy_kwargs=policy_kwargs, device="cpu", **{"seed": 0, **options, **kwargs})


class Places(gym.Env):
    """A walk on four places, seen as two numbers of very different scale; ``info["place"]`` is the place."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = spaces.Discrete(2)
    class_mdp = ([[0, 1], [0, 2], [1, 3], [2, 3]], [0, 0, 0, 1])

    def __init__(self, scale=1_000.0):
        self.scale = scale

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._place, self._steps = int(self.np_random.integers(4)), 0
        return self._seen(), {"place": self._place, "state": self._place}

    def step(self, action):
        self._place = int(np.clip(self._place + 2 * action - 1, 0, 3))
        self._steps += 1
        return self._seen(), 0.0, False, self._steps == 5, {"place": self._place, "state": self._place}

    def _seen(self):
        noise = self.np_random.normal(size=2)
        return np.array([self._place, self.scale * self._place % 2] + 0.1 * noise, np.float32)


gym.register("Places-v0", Places)


def train_under_vec_normalize():
    """A model trained under VecNormalize, whose features are the observations that it sees."""
    torch.manual_seed(0)
    vec_env = VecNormalize(DummyVecEnv([Places] * 2), clip_obs=1.2)
    vec_env.seed(0)
    model = PPO("MlpPolicy", vec_env, n_steps=16, batch_size=32, n_epochs=1, seed=0, device="cpu")
    return model.learn(64), vec_env


def places():
    return gym.make_vec("Places-v0", 4, vectorization_mode="sync")


def raw_observations(count):
    return np.concatenate([episode.observations for episode in random_episodes(places(), count, seed=0)])
