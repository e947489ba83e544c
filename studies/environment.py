"""How fast is the environment, compared with the rate at which memory can fill its arrays?

Design. Every ratio compares two contenders that took turns in the same run, so that a busy or slow machine affects both
alike. Steps are those of single environments; resets, infos and the rest of the API's work are measured too. Actions
are drawn beforehand.

Measures. Steps per second of each contender, one figure for each repetition; and the share of PPO's time for a rollout
that the environment takes.

Thresholds. ``GOALS``.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from matplotlib.figure import Figure
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecEnvWrapper

from counting_env import CountingVectorEnv
from counting_env.sb3 import GymnasiumVecEnv
from studies.facts import Facts, of_one_run
from studies.markdown import markdown_table

SIZES = (1, 8, 64, 256, 1024)
CARTPOLE, FILL_64, FILL_1024 = "CartPole-v1, gym.make", "fill, 64", "fill, 1024"
GOALS = (  # measured, against, at least
    ("batch, 64", FILL_64, 0.25),
    ("batch, 64", CARTPOLE, 10.0),
    ("batch, 1024", FILL_1024, 0.6),
    ("batch, 8", "SyncVectorEnv, 8", 8.0),
    ("CountingEnv-v0, gym.make", CARTPOLE, 0.5),
    ("PPO rollouts, adapter", "PPO rollouts, DummyVecEnv", 1.0),
)

CONFIGURATIONS = {"all": {"seconds": 1.0, "repetitions": 10}}  # for each contender; its turns
SEEDS = (0,)
TIMED = True
gathered = of_one_run

Contender = tuple[Callable[[], None], int]  # some work, and how many steps it makes


def single(env: gym.Env[Any, Any], seed: int, steps: int = 64) -> Contender:
    """Step one environment, and reset it where an episode ends."""
    actions = drawn_actions(env, seed, steps)

    def work() -> None:
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()

    return work, steps


def batch(env: gym.vector.VectorEnv[Any, Any, Any], seed: int, steps: int = 16) -> Contender:
    """Step a vector environment that resets by itself."""
    actions = drawn_actions(env, seed, steps)

    def work() -> None:
        for action in actions:
            env.step(action)

    return work, steps * env.num_envs


def drawn_actions(env: gym.Env[Any, Any] | gym.vector.VectorEnv[Any, Any, Any], seed: int, steps: int) -> list[Any]:
    """Begin an episode, and return random actions."""
    env.action_space.seed(seed)
    env.reset(seed=seed)
    return [env.action_space.sample() for _ in range(steps)]


def fill(num_envs: int, repeats: int = 16) -> Contender:
    """Fill the observations of ``num_envs`` environments with zeros: no environment can be faster."""
    images = np.ones((num_envs, 64, 64, 3), np.uint8)

    def work() -> None:
        for _ in range(repeats):
            images.fill(0)

    return work, repeats * num_envs


def environments(seed: int) -> dict[str, Contender]:
    """Return all contenders that need no torch."""

    def make() -> gym.Env[Any, Any]:
        return gym.make("counting_env:CountingEnv-v0")  # a process of AsyncVectorEnv imports no more than this says

    contenders = {
        CARTPOLE: single(gym.make("CartPole-v1"), seed),
        "CountingEnv-v0, gym.make": single(make(), seed),
        # without copies, like the batches that they are compared with
        "SyncVectorEnv, 8": batch(gym.vector.SyncVectorEnv([make] * 8, copy=False), seed),
        "AsyncVectorEnv, 8": batch(gym.vector.AsyncVectorEnv([make] * 8, copy=False, context="spawn"), seed),
    }
    for n in SIZES:
        contenders[f"fill, {n}"] = fill(n)
        contenders[f"batch, {n}"] = batch(CountingVectorEnv(n, copy=False), seed)
        contenders[f"batch, {n}, copy=True"] = batch(CountingVectorEnv(n), seed)
    try:
        from minigrid.wrappers import RGBImgObsWrapper
    except ImportError:
        print("Minigrid is not installed: left out", file=sys.stderr)
    else:
        contenders["Minigrid, full RGB image"] = single(RGBImgObsWrapper(gym.make("MiniGrid-Empty-8x8-v0")), seed)
    return contenders


def rates(contenders: dict[str, Contender], seconds: float, repetitions: int) -> dict[str, list[float]]:
    """Return steps per second of each contender, one figure for each repetition; contenders take turns."""
    for work, _ in contenders.values():
        work()  # compile, and touch the memory
    measured: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repetitions):
        for name, (work, steps) in contenders.items():
            made, begin = 0, time.perf_counter()
            while (elapsed := time.perf_counter() - begin) < seconds / repetitions:
                work()
                made += steps
            measured[name].append(made / elapsed)
    return measured


def collections(seed: int, repetitions: int, num_envs: int = 8) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Return PPO's steps per second while it collects rollouts, and the share of that time spent in the environment."""

    class Timed(VecEnvWrapper):
        """Adds up the time that steps of the environment take."""

        seconds = 0.0

        def reset(self) -> Any:
            return self.venv.reset()

        def step_async(self, actions: Any) -> None:
            begin = time.perf_counter()
            super().step_async(actions)
            self.seconds += time.perf_counter() - begin

        def step_wait(self) -> Any:
            begin = time.perf_counter()
            result = self.venv.step_wait()
            self.seconds += time.perf_counter() - begin
            return result

    class Clock(BaseCallback):
        """Adds up the time between the start and the end of rollouts."""

        seconds = 0.0

        def _on_rollout_start(self) -> None:
            self.begin = time.perf_counter()

        def _on_step(self) -> bool:
            return True

        def _on_rollout_end(self) -> None:
            self.seconds += time.perf_counter() - self.begin

    n_steps = 32
    made: dict[str, VecEnv] = {
        "PPO rollouts, adapter": GymnasiumVecEnv(CountingVectorEnv(num_envs, autoreset_mode="SameStep")),
        "PPO rollouts, DummyVecEnv": DummyVecEnv([lambda: gym.make("CountingEnv-v0")] * num_envs),
    }
    timed = {name: Timed(env) for name, env in made.items()}
    models = {
        name: PPO("CnnPolicy", env, n_steps=n_steps, batch_size=n_steps * num_envs, n_epochs=1, seed=seed, device="cpu")
        for name, env in timed.items()
    }
    measured: dict[str, list[float]] = {name: [] for name in models}
    environment, everything = dict.fromkeys(models, 0.0), dict.fromkeys(models, 0.0)
    for repetition in range(repetitions + 1):  # the first warms up
        for name, model in models.items():
            clock = Clock()
            timed[name].seconds = 0.0
            model.learn(n_steps * num_envs, callback=clock, reset_num_timesteps=repetition == 0)
            if repetition > 0:
                measured[name].append(n_steps * num_envs / clock.seconds)
                environment[name] += timed[name].seconds
                everything[name] += clock.seconds
    return measured, {name: environment[name] / everything[name] for name in models}


def run(configuration: dict[str, Any], seed: int, folder: Path) -> dict[str, Any]:  # noqa: ARG001  # a study's signature
    """Measure everything."""
    repetitions = configuration["repetitions"]
    measured = rates(environments(seed), configuration["seconds"], repetitions)
    collected, shares = collections(seed, repetitions)
    measured |= collected
    return {"steps_per_second": measured, "share_in_environment": shares}


def ratio(measured: dict[str, list[float]], name: str, other: str) -> float:
    """Return the median over repetitions of the ratio of two contenders measured in the same one."""
    return statistics.median(a / b for a, b in zip(measured[name], measured[other], strict=True))


def table(facts: Facts) -> str:
    """Return a row for each contender, a row for each goal, and the shares."""
    measured = facts["steps_per_second"]
    rows = []
    for name, figures in measured.items():
        size = name.split(", ")[1] if name.startswith("batch") else None
        of_fill = f"{ratio(measured, name, f'fill, {size}'):.2f}" if size else ""
        of_cartpole = "" if name.startswith("PPO") else f"{ratio(measured, name, CARTPOLE):.2f}"
        rows.append([name, f"{statistics.median(figures):,.0f}", of_fill, of_cartpole])
    goals = []
    for name, other, least in GOALS:
        if name in measured and other in measured:
            value = ratio(measured, name, other)
            goals.append([f"{name} ÷ {other}", f"{least}", f"{value:.2f}", "met" if value >= least else "MISSED"])
    lines = [
        markdown_table(["contender", "steps/s (median)", "of the fill rate", "times CartPole"], rows),
        "",
        markdown_table(["goal", "at least", "measured", ""], goals),
        "",
        *(
            f"- Share of {name} spent in the environment: {share:.1%}"
            for name, share in facts["share_in_environment"].items()
        ),
    ]
    return "\n".join(lines)


def draw(facts: Facts, path: Path) -> None:
    """Draw a bar for each contender's median rate, and its range over the repetitions."""
    measured = facts["steps_per_second"]
    names = sorted(measured, key=lambda name: statistics.median(measured[name]))
    medians = np.array([statistics.median(measured[name]) for name in names])
    lows, highs = np.array([(min(measured[name]), max(measured[name])) for name in names]).T
    colors = ["silver" if name.startswith("fill") else "tab:blue" for name in names]
    figure = Figure(figsize=(8, 0.3 * len(names) + 1), layout="constrained")
    axes = figure.subplots()
    axes.barh(names, medians, xerr=(medians - lows, highs - medians), color=colors, ecolor="grey")
    axes.set(xscale="log", xlabel="steps/s, median and range; grey bars: filling the same arrays with zeros")
    figure.savefig(path, dpi=100)
