"""What is compared: tasks, most of which others wrote, and ways to train the encoder: the configuration of all runs.

The network, the learning rate and the batch of a task's algorithm are the same for every arm.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import gymnasium as gym
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm

from jepa_extractor import RewardTask, Shared
from returns.environments import Environment, ExtraChannels, MinAtarNetwork, RepeatAction, Wrapper


@dataclass(frozen=True)
class Algorithm:
    """An algorithm of Stable-Baselines3, and its settings.

    Attributes:
        build: its class.
        arguments: of its constructor.
        num_envs: environments at a time.
        updates: the name of the argument that says how many updates it makes.
        policy: other arguments of the policy than those of the encoder.
    """

    build: type[BaseAlgorithm]
    arguments: Mapping[str, Any]
    num_envs: int
    updates: str
    policy: Mapping[str, Any]


ALGORITHMS = {
    # Two updates for eight steps; the rest is MinAtar's, but for a shorter exploration, as there are fewer steps.
    "DQN": Algorithm(
        DQN,
        {
            "learning_rate": 5e-4,
            "buffer_size": 50_000,
            "learning_starts": 1_000,
            "batch_size": 32,
            "train_freq": 1,
            "gradient_steps": 2,
            "target_update_interval": 1_000,
            "exploration_fraction": 0.1,
            "exploration_final_eps": 0.01,
        },
        num_envs=8,
        updates="gradient_steps",
        policy={"net_arch": [64]},
    ),
    "PPO": Algorithm(
        PPO,
        {"learning_rate": 1e-3, "n_steps": 128, "batch_size": 256, "n_epochs": 4, "ent_coef": 0.01},
        num_envs=8,
        updates="n_epochs",
        policy={"net_arch": [64], "normalize_images": False},  # Minigrid's symbols are no brightness
    ),
    "SAC": Algorithm(
        SAC,
        {"learning_rate": 5e-4, "learning_starts": 1_000, "buffer_size": 50_000, "gradient_steps": 1},
        num_envs=1,
        updates="gradient_steps",
        policy={"net_arch": [256]},
    ),
}


@dataclass(frozen=True)
class Arm:
    """One way to train the encoder.

    Attributes:
        title: its name in tables.
        extractor: options of ``JEPAExtractor``, beside the task's network.
        callback: arguments of ``JEPACallback``; ``None``: no auxiliary.
        updates: how many times the algorithm's own updates.
    """

    title: str
    extractor: Mapping[str, Any] = field(default_factory=dict)
    callback: Mapping[str, Any] | None = None
    updates: int = 1


# Stretches a batch as in DQN; the clip is the one that DQN has for its own gradient.
LONG = {"batch_size": 32, "rewarded_fraction": 0.0, "max_grad_norm": 10.0}
# Grids and states are not shifted, as images are; and the latent is as wide as without an auxiliary.
PUBLISHED = {"augmentation": ()}
LAYER = {"normalization": "layer"}
BESIDE = {**LAYER, "target": "detach", "auxiliary": (RewardTask(latents="predicted"),)}
ARMS = {
    "plain": Arm("no auxiliary"),
    "layer": Arm("LayerNorm, no auxiliary", LAYER),
    "layer_2": Arm("LayerNorm, 2 times the updates", LAYER, updates=2),
    "layer_4": Arm("LayerNorm, 4 times the updates", LAYER, updates=4),
    "paper": Arm("recipe paper", {"recipe": "paper"}, {"batch_size": 32}),
    "spr": Arm("recipe spr", {"recipe": "spr", **PUBLISHED}, LONG),
    "mrq": Arm("recipe mrq", {"recipe": "mrq", **PUBLISHED}, LONG),
    "tdmpc2": Arm("recipe tdmpc2", {"recipe": "tdmpc2", **PUBLISHED}, LONG),
    "shared": Arm("LayerNorm, reward, the algorithm's batch", BESIDE, {"schedule": Shared()}),
}
BASELINES = ("plain", "layer", "layer_2", "layer_4")


@dataclass(frozen=True)
class Task:
    """An environment, the algorithm that learns it, and for how long.

    Attributes:
        title: its name in tables.
        environment: in which the policy learns.
        algorithm: which of ``ALGORITHMS``.
        steps: environment steps of a training.
        arms: which of ``ARMS`` are compared.
        network: ``encoder`` and ``latent_dim`` of all arms.
        shifted: where it is evaluated once more at the end, with a distractor as it was not in training.
    """

    title: str
    environment: Environment
    algorithm: str
    steps: int
    arms: Sequence[str]
    network: Mapping[str, Any]
    shifted: Environment | None = None


def _minatar(game: str, wrapper: Wrapper | None = None) -> Environment:
    limited = {"max_episode_steps": 2_500}  # as in Freeway; Breakout can go on for ever
    return Environment(f"MinAtar/{game}-v1", "minatar.gym", "pip install minatar", limited, wrapper)


def _minigrid(name: str) -> Environment:
    install = "pip install --no-deps minigrid, since its pygame-ce would replace pygame"
    return Environment(f"MiniGrid-{name}-v0", "minigrid", install, wrapper=_as_symbols)


def _as_symbols(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """Minigrid's view of 7x7 cells as symbols, without its text."""
    from minigrid.wrappers import ImgObsWrapper

    seen: gym.Env[Any, Any] = ImgObsWrapper(env)
    return seen


def _control(name: str) -> Environment:
    return Environment(f"dm_control/{name}-v0", "shimmy", 'pip install "shimmy[dm-control]"', wrapper=_as_vector)


def _as_vector(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    return RepeatAction(gym.wrappers.FlattenObservation(env))


def _counting(background: str) -> Environment:
    return Environment("CountingEnv-v0", "counting_env", "pip install .", {"background": background})


OFF_POLICY = ("plain", "layer", "layer_4", "spr", "mrq", "tdmpc2", "shared")
FEW = ("layer", "layer_2", "layer_4", "spr", "mrq", "shared")  # where a distractor is
ON_POLICY = ("plain", "layer", "layer_2", "layer_4", "paper", "spr", "mrq", "tdmpc2")
GAMES = {
    "breakout": "Breakout",
    "asterix": "Asterix",
    "freeway": "Freeway",
    "seaquest": "Seaquest",
    "space_invaders": "SpaceInvaders",
}
SMALL = {"encoder": MinAtarNetwork, "latent_dim": 128}
TASKS = {
    **{name: Task(f"{game}, DQN", _minatar(game), "DQN", 20_000, OFF_POLICY, SMALL) for name, game in GAMES.items()},
    **{
        f"breakout_{kind}": Task(
            f"Breakout with {kind}, DQN",
            _minatar("Breakout", partial(ExtraChannels, kind=kind)),
            "DQN",
            20_000,
            FEW,
            SMALL,
            _minatar("Breakout", partial(ExtraChannels, kind=kind, density=0.3)),
        )
        for kind in ("noise", "drift")
    },
    **{
        f"counting_{background}": Task(
            f"CountingEnv with {background}, DQN",
            _counting(background),
            "DQN",
            2_000,  # without a background, it needs 1,280
            ("plain", "layer", "layer_2", "paper", "shared"),
            {"encoder": "gated"},
            _counting(other),
        )
        for background, other in (("noise", "drift"), ("drift", "clutter"), ("clutter", "noise"))
    },
    **{
        f"{name}_ppo": Task(f"{GAMES[name]}, PPO", _minatar(GAMES[name]), "PPO", 100_000, ON_POLICY, SMALL)
        for name in ("breakout", "space_invaders")
    },
    **{
        name: Task(f"{env}, PPO", _minigrid(env), "PPO", 100_000, ON_POLICY, {"encoder": "grid"})
        for name, env in (("empty", "Empty-8x8"), ("door_key", "DoorKey-5x5"))
    },
    **{
        name: Task(
            f"{name}, SAC",
            _control(name),
            "SAC",
            12_500,
            ("plain", "layer", "layer_2", "spr", "mrq", "tdmpc2", "shared"),
            {"encoder": "mlp"},
        )
        for name in ("cartpole-swingup", "walker-walk")
    },
}


@dataclass(frozen=True)
class Reference:
    """A return that others published for a task, or the best possible one.

    Attributes:
        score: the return.
        what: of what it is.
        source: where it stands, in Markdown.
    """

    score: float
    what: str
    source: str


REFERENCES = {
    "door_key": Reference(
        0.964,
        "PPO after as many steps, one run",
        "[RL Baselines3 Zoo](https://github.com/DLR-RM/rl-baselines3-zoo/blob/master/benchmark.md)",
    ),
    "empty": Reference(0.961, "the best that any policy can reach", "1 - 0.9 * 11 / 256, with 11 steps to the goal"),
    "cartpole-swingup": Reference(
        279.0,
        "SAC after as many frames, one run, on a line from 206 at 20,000 to 497 at 40,000",
        "[pytorch_sac](https://github.com/denisyarats/pytorch_sac/blob/master/data/sac.csv)",
    ),
}
