"""Train an extractor at one goal, in one of several ways."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecEnv, VecMonitor

import counting_env
from counting_env.sb3 import GymnasiumVecEnv
from jepa_extractor import (
    JEPAExtractor,
    LabelTask,
    TransitionRing,
    fit_transition,
    jepa_policy_kwargs,
    policy_space,
    pretrain,
    random_episodes,
)
from jepa_extractor.networks.encoders import EncoderName

gym.register_envs(counting_env)

UNSEEN_SEED = 1_000_000  # seeds of tests start here, far above those of training
SUCCESS = 0.95  # at which the PPO from scratch stops
OPTIONS: dict[str, dict[str, Any]] = {
    "joint": {},
    "reward_only": {"dynamics_weight": 0.0},
    "dynamics_only": {"auxiliary": ()},
    "label": {"auxiliary": (LabelTask("count", weight=0.2),)},
    "untrained": {"auxiliary": ()},
}
# the settings of the comparison in benchmarks/learning/cases.py
SETTINGS: dict[str, Any] = {"n_steps": 128, "batch_size": 256, "n_epochs": 4, "ent_coef": 0.1, "gamma": 0.9}


def make_envs(configuration: dict[str, Any], num_envs: int, **options: Any) -> gym.vector.VectorEnv[Any, Any, Any]:
    """Return environments of a case; without options, those of its training."""
    shared = {"background": configuration["background"], "slip": configuration["slip"]}
    return gym.make_vec(
        configuration["env_id"], num_envs, vectorization_mode="vector_entry_point", **(shared | options)
    )


def make_test(configuration: dict[str, Any], goal: int, num_envs: int) -> VecEnv:
    """Return environments in which ``goal`` must be reached within the horizon."""
    return GymnasiumVecEnv(make_envs(configuration, num_envs, target=goal, max_episode_steps=configuration["horizon"]))


def train(configuration: dict[str, Any], seed: int) -> JEPAExtractor:
    """Return an extractor trained on random steps; in every way its transition is fitted to its latents."""
    envs = make_envs(configuration, 64)
    space, actions = policy_space(envs.single_observation_space), envs.single_action_space
    episodes = random_episodes(envs, configuration["transitions"], seed, labels=("count",))
    transitions = TransitionRing.from_episodes(episodes, seed)
    way, transition_updates = configuration["way"], configuration["transition_updates"]
    if way == "frozen_ppo":
        network = _trained_network(configuration, seed)
        torch.manual_seed(seed)
        extractor = JEPAExtractor(
            space, actions, latent_dim=network.features_dim, encoder=lambda *_: network, auxiliary=()
        )
    else:
        torch.manual_seed(seed)
        encoder: EncoderName = "gated" if configuration["background"] == "noise" else "pooled"
        extractor = JEPAExtractor(space, actions, encoder=encoder, **OPTIONS[way])
    if way in ("frozen_ppo", "untrained"):
        fit_transition(extractor, transitions, transition_updates)
    else:
        pretrain(extractor, transitions, configuration["updates"], transition_updates=transition_updates)
    return extractor.eval()


def _trained_network(configuration: dict[str, Any], seed: int) -> Any:
    """Return the NatureCNN of a PPO that was trained at the goal of the training."""
    env = VecMonitor(GymnasiumVecEnv(make_envs(configuration, 8)))
    model = PPO("CnnPolicy", env, learning_rate=3e-4, policy_kwargs={"net_arch": [64]}, seed=seed, **SETTINGS)
    model.learn(configuration["ppo_steps"])
    return model.policy.features_extractor


def steps_from_scratch(configuration: dict[str, Any], goal: int, seed: int) -> int | None:
    """Return the environment steps after which PPO with the default encoder reaches ``goal`` in 95% of episodes.

    ``None`` where the case's ``ppo_steps`` do not suffice.
    """
    env = VecMonitor(make_test(configuration, goal, 8))
    features = jepa_policy_kwargs(env.action_space)
    kwargs = {"net_arch": [64], **features}
    model = PPO("CnnPolicy", env, learning_rate=1e-3, policy_kwargs=kwargs, seed=seed, **SETTINGS)
    stop = _StopAtSuccess(make_test(configuration, goal, 64), configuration["episodes"])
    model.learn(configuration["ppo_steps"], callback=stop)
    return stop.steps


class _StopAtSuccess(BaseCallback):
    """Tests the policy after every rollout, and ends the training once it succeeds."""

    def __init__(self, env: VecEnv, episodes: int) -> None:
        super().__init__()
        self.steps: int | None = None
        self._env = env
        self._episodes = episodes

    def _on_rollout_start(self) -> None:  # the policy has just been updated
        if self.num_timesteps and self.steps is None:
            self._env.seed(UNSEEN_SEED)
            returns, _ = evaluate_policy(self.model, self._env, self._episodes, return_episode_rewards=True, warn=False)
            if np.mean(returns) >= SUCCESS:
                self.steps = self.num_timesteps

    def _on_training_end(self) -> None:
        self._on_rollout_start()

    def _on_step(self) -> bool:
        return self.steps is None


def take_pictures(configuration: dict[str, Any], counts: np.ndarray, seed: int) -> np.ndarray:
    """Return a picture of each of ``counts`` (N,), uint8 (N, H, W, 3)."""
    env = gym.make(configuration["env_id"], background=configuration["background"])
    env.reset(seed=seed)
    return np.stack([env.reset(options={"count": int(count)})[0] for count in counts])
