"""What is compared: environments, algorithms, and ways to train an encoder."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import gymnasium as gym
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv, VecMonitor

import counting_env
from counting_env.sb3 import GymnasiumVecEnv
from jepa_extractor import Alternating, RewardTask, Shared

gym.register_envs(counting_env)

NUM_ENVS = 8


@dataclass(frozen=True)
class Task:
    """An environment, and how long an algorithm may take for it. An episode succeeds if its return is positive."""

    env_id: str
    budgets: Mapping[str, int]  # environment steps, by algorithm; algorithms that are missing cannot act in it
    discount: float
    evaluation: Mapping[str, Any] = field(default_factory=dict)  # options of the environment for evaluation alone

    def require_installed(self) -> None:
        """Raise ``ModuleNotFoundError`` if the package of the environment is missing."""
        if self._minigrid and find_spec("minigrid") is None:
            raise ModuleNotFoundError(
                f"{self.env_id} needs Minigrid: pip install --no-deps minigrid (of its dependencies, pygame-ce would "
                "replace pygame)"
            )

    def make(self, algorithm: str, num_envs: int = NUM_ENVS, **options: Any) -> VecEnv:
        """Return the environments, made with these options, for Stable-Baselines3."""
        if self._minigrid:
            import minigrid

            gym.register_envs(minigrid)
            return make_vec_env(self.env_id, num_envs, wrapper_class=_as_image, env_kwargs=options)
        return VecMonitor(GymnasiumVecEnv(self.make_gymnasium(algorithm, num_envs, **options)))

    def make_gymnasium(self, algorithm: str, num_envs: int, **options: Any) -> gym.vector.VectorEnv[Any, Any, Any]:
        """Return the environments for pretraining."""
        if self._minigrid:
            import minigrid

            gym.register_envs(minigrid)
            return gym.make_vec(self.env_id, num_envs, wrappers=[_as_image], **options)
        if algorithm == "SAC":
            options["continuous"] = True
        return gym.make_vec(self.env_id, num_envs, vectorization_mode="vector_entry_point", **options)

    @property
    def _minigrid(self) -> bool:
        return self.env_id.startswith("MiniGrid")


@dataclass(frozen=True)
class Algorithm:
    """An algorithm of Stable-Baselines3 and its settings, the same for all competitors."""

    build: type[PPO | DQN | SAC]
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Competitor:
    """One way to train the features."""

    title: str
    extractor: Mapping[str, Any] | None = field(default_factory=lambda: {"encoder": "pooled"})  # None: NatureCNN
    callback: Mapping[str, Any] | None = field(default_factory=dict)  # arguments; None: no auxiliary
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # of algorithms, in place of the shared


TASKS = {
    "default": Task("CountingEnv-v0", {"PPO": 100_000, "DQN": 50_000, "SAC": 30_000}, 0.9),
    "hard": Task("CountingEnvHard-v0", {"PPO": 40_000, "DQN": 20_000, "SAC": 10_000}, 0.9),
    # Seven steps suffice from anywhere; a policy that has not arrived after 25 goes in circles for its 100.
    "minigrid": Task("MiniGrid-Empty-Random-5x5-v0", {"PPO": 100_000, "DQN": 50_000}, 0.95, {"max_steps": 25}),
}
OFF_POLICY = {
    "learning_rate": 1e-3,
    "buffer_size": 20_000,
    "learning_starts": 1_000,
    "batch_size": 64,
    "train_freq": 1,
    "gradient_steps": 1,
}
# Chosen by training without images, on counts of 0 to 60 and on the latents of a trained encoder. Without the entropy
# bonus, PPO settled there on one action before any features were learned.
ALGORITHMS = {
    "PPO": Algorithm(PPO, {"learning_rate": 1e-3, "n_steps": 128, "batch_size": 256, "n_epochs": 4, "ent_coef": 0.1}),
    "DQN": Algorithm(DQN, {**OFF_POLICY, "target_update_interval": 80, "exploration_fraction": 0.1}),
    "SAC": Algorithm(SAC, {**OFF_POLICY, "ent_coef": 0.01, "tau": 0.1}),
}
# Thirteen times as many steps of the algorithm's own optimizer: what do these buy without any auxiliary?
THIRTEENFOLD = {
    "PPO": {"batch_size": 64, "n_epochs": 13},
    "DQN": {"gradient_steps": 13},
    "SAC": {"gradient_steps": 13},
}
# NatureCNN's best learning rate of 3e-4, 1e-3 and 3e-3 on two other seeds: see plans/sample_efficiency.md.
TUNED = {"PPO": {"learning_rate": 1e-3}, "DQN": {"learning_rate": 3e-4}}
DETACH_Q = {"encoder": "pooled", "target": "detach", "auxiliary": ("reward", "q")}
COMPETITORS = {
    "nature": Competitor("NatureCNN", extractor=None, callback=None),
    "nature_tuned": Competitor("NatureCNN, tuned rate", extractor=None, callback=None, settings=TUNED),
    "nature_updates": Competitor("NatureCNN, 13 times the updates", None, None, THIRTEENFOLD),
    "places": Competitor("places, no auxiliary", {"encoder": "places"}, callback=None),
    "plain": Competitor("pooled, no auxiliary", callback=None),
    "more_updates": Competitor("pooled, 13 times the updates", callback=None, settings=THIRTEENFOLD),
    "joint": Competitor("joint, reward"),
    "detach_q": Competitor("joint, detached target, reward and Q", DETACH_Q),
    "shared": Competitor(
        "the algorithm's batch, reward",
        {"encoder": "pooled", "target": "detach", "auxiliary": (RewardTask(latents="predicted"),)},
        {"schedule": Shared()},
    ),
    "replay": Competitor("alternating, replay ratio 4", callback={"schedule": Alternating(replay_ratio=4)}),
    "more_joint": Competitor("joint, detached, Q, and 13 times the updates", DETACH_Q, settings=THIRTEENFOLD),
}


def _as_image(env: gym.Env[Any, Any]) -> gym.Wrapper[Any, Any, Any, Any]:
    """Minigrid's whole grid as an image, eight pixels a cell, without its text."""
    from minigrid.wrappers import ImgObsWrapper, RGBImgObsWrapper

    wrapped: gym.Wrapper[Any, Any, Any, Any] = ImgObsWrapper(RGBImgObsWrapper(env))
    return wrapped
