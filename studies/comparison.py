"""What ``sample_efficiency`` and ``other_tasks`` share: tasks, ways to train the encoder, and equal cost."""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from rliable.metrics import aggregate_iqm
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv, VecMonitor
from torch import nn

from counting_env.sb3 import GymnasiumVecEnv
from jepa_extractor import JEPACallback, jepa_policy_kwargs
from studies.markdown import interval_text
from studies.statistics import Interval, Values

UNSEEN_SEED = 1_000_000  # evaluation seeds start here, far above those of training
CHANNELS = 4  # that a distractor adds to MinAtar's four to ten
EQUAL = 1.1  # a baseline costs as much as an arm if it takes at most this many times its seconds
BEST = ("best auxiliary", "best baseline of equal cost", "times as good")
ADVICE = ("task", *BEST, "probability of improvement", "times its seconds", "verdict")  # a header

Layers = NDArray[np.bool_]
Wrapper = Callable[[gym.Env[Any, Any]], gym.Env[Any, Any]]
Runs = Mapping[str, Mapping[str, Any]]  # results by seed


@dataclass(frozen=True)
class Environment:
    """An environment, and how to make it."""

    env_id: str
    module: str  # the package that registers it
    install: str  # how to install that
    options: Mapping[str, Any] = field(default_factory=dict)
    wrapper: Wrapper | None = None
    vectorized: bool = False  # whether it has a vector environment of its own

    def require_installed(self) -> None:
        """Raise ``ModuleNotFoundError`` if the package of the environment is missing."""
        if find_spec(self.module.partition(".")[0]) is None:
            raise ModuleNotFoundError(f"{self.env_id} needs {self.module.partition('.')[0]}: {self.install}")

    def make(self, num_envs: int, seed: int | None = None) -> VecEnv:
        """Return ``num_envs`` environments for Stable-Baselines3."""
        module = import_module(self.module)
        if self.env_id not in gym.registry:  # MinAtar registers when asked, the others when imported
            module.register_envs()
        if self.vectorized:
            envs = gym.make_vec(self.env_id, num_envs, vectorization_mode="vector_entry_point", **self.options)
            return VecMonitor(GymnasiumVecEnv(envs))
        return make_vec_env(self.env_id, num_envs, seed, wrapper_class=self.wrapper, env_kwargs=dict(self.options))


@dataclass(frozen=True)
class Algorithm:
    """An algorithm of Stable-Baselines3, and its settings, the same for all arms."""

    build: type[BaseAlgorithm]
    arguments: Mapping[str, Any]
    num_envs: int
    policy: Mapping[str, Any]  # arguments beside those of the encoder
    policy_class: str = "MlpPolicy"  # the encoder is given by name, whatever the observations are


@dataclass(frozen=True)
class Arm:
    """One way to train the encoder."""

    title: str
    options: Mapping[str, Any] | None = field(default_factory=dict)  # of the JEPA; None: the algorithm's own network
    callback: Mapping[str, Any] | None = None  # arguments; None: no auxiliary
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # of algorithms, in place of the shared


@dataclass(frozen=True)
class Task:
    """An environment, the algorithm that learns it, and for how many steps at most."""

    title: str
    environment: Environment
    algorithm: str
    steps: int
    arms: Sequence[str]  # what is compared
    network: Mapping[str, Any] = field(default_factory=dict)  # options of the JEPA of all arms
    arguments: Mapping[str, Any] = field(default_factory=dict)  # of the algorithm
    judged: Environment | None = None  # where it is evaluated, unless it is where it learns
    shifted: Environment | None = None  # where it is evaluated at the end, too: with another distractor


class Evaluation(BaseCallback):
    """Evaluates between rollouts, while the policy does not change, and ends the training once that is enough.

    Args:
        evaluate: called with the model; returns how good it is.
        following: called with the steps so far and the number of evaluations; returns the steps of the next one.
        enough: at which the training ends.
        least: how many evaluations there are at the end, at least.

    Attributes:
        curve: steps, seconds of training and what ``evaluate`` returned, for each evaluation.
        seconds: of the processor since this was made, without the evaluations.
    """

    def __init__(
        self,
        evaluate: Callable[[BaseAlgorithm], float],
        following: Callable[[int, int], float],
        enough: float = np.inf,
        least: int = 1,
    ) -> None:
        super().__init__()
        self.curve: list[tuple[int, float, float]] = []
        self._judge, self._following, self._enough, self._least = evaluate, following, enough, least
        self._start, self._evaluating = time.process_time(), 0.0
        self._next = following(0, 0)

    @property
    def seconds(self) -> float:
        """Return the processor seconds of the training so far."""
        return time.process_time() - self._start - self._evaluating

    @property
    def solved(self) -> bool:
        """Whether the last evaluation was enough."""
        return bool(self.curve) and self.curve[-1][2] >= self._enough

    def _on_rollout_start(self) -> None:
        if self.num_timesteps >= self._next:
            self._evaluate()
            self._next = self._following(self.num_timesteps, len(self.curve))

    def _on_step(self) -> bool:
        return not self.solved

    def _on_training_end(self) -> None:
        if not self.solved and (not self.curve or self.curve[-1][0] < self.num_timesteps):
            self._evaluate()
        while not self.solved and len(self.curve) < self._least:
            self._evaluate()

    def _evaluate(self) -> None:
        before = time.process_time()
        value = self._judge(self.model)
        self._evaluating += time.process_time() - before
        self.curve.append((self.num_timesteps, round(self.seconds, 2), value))


def train(
    task: Task, algorithm: Algorithm, arm: Arm, steps: int, seed: int, evaluation: Evaluation, **changed: Any
) -> BaseAlgorithm:
    """Return a model that one arm trained on one task; ``changed`` are arguments of the algorithm for this run."""
    env = task.environment.make(algorithm.num_envs, seed)
    features = {}
    if arm.options is not None:
        features = jepa_policy_kwargs(env, **{"recipe": "paper", **arm.options, **task.network})
    arguments = {**algorithm.arguments, **task.arguments, **arm.settings.get(task.algorithm, {}), **changed}
    warnings.filterwarnings("ignore", "the policy trains the encoder")  # the JEPA of a baseline stays as it is
    model = algorithm.build(
        algorithm.policy_class,
        env,
        policy_kwargs={**algorithm.policy, **features},
        seed=seed,
        device="cpu",
        **arguments,
    )
    callbacks: list[BaseCallback] = [evaluation]
    if arm.callback is not None:
        callbacks.append(JEPACallback(seed=seed, **arm.callback))
    return model.learn(steps, callback=callbacks)


def check_installed(tasks: Mapping[str, Task], configuration: Mapping[str, Any]) -> None:
    """Raise ``ModuleNotFoundError`` if the package of the configuration's environment is missing."""
    tasks[configuration["task"]].environment.require_installed()


def configurations(tasks: Mapping[str, Task]) -> dict[str, dict[str, Any]]:
    """Return what is run: each task with each of its arms."""
    return {
        f"{name}-{arm}": {"task": name, "arm": arm, "steps": task.steps}
        for name, task in tasks.items()
        for arm in task.arms
    }


def by_task(results: Mapping[str, Runs]) -> dict[str, dict[str, Runs]]:
    """Return the results of configurations by task and arm."""
    found: dict[str, dict[str, Runs]] = {}
    for name, runs in results.items():
        task, _, arm = name.rpartition("-")
        found.setdefault(task, {})[arm] = runs
    return found


def scores(runs: Runs) -> Values:
    """Return the score of each run, (runs, 1): the mean of its evaluations, the area under its learning curve."""
    return np.array([[np.mean(run["returns"])] for run in runs.values()])


def seconds(runs: Runs) -> float:
    """Return the median processor seconds of a training."""
    return float(np.median([run["seconds"] for run in runs.values()]))


def equal_cost(arms: Mapping[str, Runs], name: str, baselines: Sequence[str]) -> str:
    """Return the baseline with the highest interquartile mean among those that cost no more than the arm ``name``.

    ``"plain"`` is always among them: no arm can cost less.
    """
    limit = EQUAL * seconds(arms[name])
    affordable = [one for one in baselines if one in arms and (one == "plain" or seconds(arms[one]) <= limit)]
    return max(affordable or [name], key=lambda one: float(aggregate_iqm(scores(arms[one]))))


def verdict(probability: Sequence[float]) -> str:
    """Return what an interval of the probability of improvement says."""
    _, low, high = probability
    return "better" if low > 0.5 else "worse" if high < 0.5 else "not apart"


def advice(title: str, arms: Sequence[str], ratio: float | None, probability: Interval, cost: float) -> list[str]:
    """Return a row below ``ADVICE``: the best auxiliary against the best baseline of equal cost."""
    times = "" if ratio is None else f"{ratio:.2f}"
    return [title, *arms, times, interval_text(probability), f"{cost:.1f}", verdict(probability)]


class ExtraChannels(gym.Wrapper[Layers, int, Layers, int]):
    """Adds four channels that do not matter to the boolean channels (H, W, C) of a MinAtar game.

    The draws are those of a generator of its own, seeded with each seed that ``reset`` is given.

    Args:
        env: a MinAtar game.
        kind: ``"noise"``: each cell is on or off anew in each frame. ``"drift"``: a random picture for each episode
            that moves one column on with each step, around the edges: it can be predicted, and does not matter either.
        density: the share of cells that are on.
    """

    def __init__(self, env: gym.Env[Layers, int], kind: Literal["noise", "drift"], density: float = 0.1) -> None:
        super().__init__(env)
        assert isinstance(env.observation_space, spaces.Box)
        height, width, channels = env.observation_space.shape
        shape = (height, width, channels + CHANNELS)
        self.observation_space = spaces.Box(0, 1, shape, np.bool_)  # type: ignore[assignment, arg-type]  # as MinAtar's
        self._kind, self._density = kind, density
        self._generator = np.random.default_rng()
        self._picture = self._draw()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Layers, dict[str, Any]]:
        """Begin an episode of the game, and a new picture."""
        observation, info = self.env.reset(seed=seed, options=options)
        if seed is not None:
            self._generator = np.random.default_rng(seed)
        self._picture = self._draw()
        return self._beside(observation), info

    def step(self, action: int) -> tuple[Layers, float, bool, bool, dict[str, Any]]:
        """Take a step of the game."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._picture = self._draw() if self._kind == "noise" else np.roll(self._picture, 1, axis=1)
        return self._beside(observation), float(reward), terminated, truncated, info

    def _draw(self) -> Layers:
        assert self.observation_space.shape is not None
        return self._generator.random((*self.observation_space.shape[:2], CHANNELS)) < self._density

    def _beside(self, observation: Layers) -> Layers:
        return np.concatenate([observation, self._picture], axis=2)


class RepeatAction(gym.Wrapper[Any, Any, Any, Any]):
    """Takes each action twice, and adds up the rewards, as is the custom in the DeepMind Control Suite."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take two steps of the environment, or one if that ends the episode."""
        total = 0.0
        for _ in range(2):
            observation, reward, terminated, truncated, info = self.env.step(action)
            total += float(reward)
            if terminated or truncated:
                break
        return observation, total, terminated, truncated, info


class MinAtarNetwork(nn.Module):
    """The network of MinAtar's DQN (Young and Tian, arXiv 1903.03176) as an encoder.

    A 3x3 convolution to 16 channels, ReLU, and a linear layer.

    Args:
        observation_space: of booleans (H, W, C).
        latent_dim: width D of the latent; 128 there, and a ReLU follows.
    """

    def __init__(self, observation_space: spaces.Box, latent_dim: int) -> None:
        super().__init__()
        height, width, channels = observation_space.shape
        self.convolution = nn.Conv2d(channels, 16, kernel_size=3)
        self.linear = nn.Linear(16 * (height - 2) * (width - 2), latent_dim)

    def forward(self, layers: torch.Tensor) -> torch.Tensor:
        """Map float32 layers (B, H, W, C) to latents (B, D)."""
        latents: torch.Tensor = self.linear(torch.relu(self.convolution(layers.movedim(-1, 1))).flatten(1))
        return latents
