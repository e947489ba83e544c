"""What does the auxiliary cost? Processor time of training with JEPACallback against the same encoder without.

Design. All trainings are at Stable-Baselines3's default arguments, on one torch thread. Those of a row advance in turn
within one process.

Measures. Processor milliseconds a step, and what the auxiliary adds to them: medians over repetitions, and the range.

Thresholds. At most what ``CASES`` says.
"""

import statistics
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env

import counting_env
from jepa_extractor import JEPACallback, QTask, RewardTask, jepa_policy_kwargs
from studies.facts import Facts, Results
from studies.markdown import markdown_table

gym.register_envs(counting_env)

# algorithm: (environment, number of them, arguments that shorten the measurement only, steps a repetition)
SETTINGS: dict[type[BaseAlgorithm], tuple[str, int, dict[str, Any], int]] = {
    PPO: ("CountingEnv-v0", 8, {"n_steps": 64}, 512),
    DQN: ("CountingEnv-v0", 1, {"learning_starts": 200, "buffer_size": 2_000}, 400),
    SAC: ("CountingEnvContinuous-v0", 1, {"learning_starts": 100, "buffer_size": 2_000}, 20),
}


@dataclass(frozen=True)
class Case:
    """A training that is measured with the auxiliary and without.

    Attributes:
        algorithm: the algorithm.
        goal: what the auxiliary may add, where that was set.
        options: of ``jepa_policy_kwargs``, with and without the auxiliary.
        callback: arguments of ``JEPACallback``.
    """

    algorithm: type[BaseAlgorithm]
    goal: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    callback: Mapping[str, Any] = field(default_factory=dict)


OWN = {"batch_size": 32}  # DQN's own
PAPER = {"recipe": "paper"}
WITH_Q = {"auxiliary": (RewardTask(latents="predicted"), QTask())}
CASES = {
    "PPO": Case(PPO, goal=0.20),
    "DQN": Case(DQN, goal=0.25),
    "SAC": Case(SAC, goal=0.15),
    "PPO, reward and Q": Case(PPO, goal=0.25, options=WITH_Q),
    "DQN, reward and Q": Case(DQN, goal=0.30, options=WITH_Q),
    "SAC, reward and Q": Case(SAC, goal=0.20, options=WITH_Q),
    "PPO, recipe paper": Case(PPO, options=PAPER),
    "DQN, recipe paper": Case(DQN, options=PAPER),
    "SAC, recipe paper": Case(SAC, options=PAPER),
    "DQN, batch of 32, recipe paper": Case(DQN, options=PAPER, callback=OWN),
    "DQN, batch of 32, recipe spr": Case(DQN, options={"recipe": "spr"}, callback=OWN),
    "DQN, batch of 32, recipe mrq": Case(DQN, options={"recipe": "mrq"}, callback=OWN),
    "DQN, batch of 32, recipe tdmpc2": Case(DQN, options={"recipe": "tdmpc2"}, callback=OWN),
}


CONFIGURATIONS = {f"case{number}": {"case": name, "repetitions": 7} for number, name in enumerate(CASES)}
SEEDS = (0,)
TIMED = True


def trainer(case: Case, callback: JEPACallback | None) -> Callable[[], float]:
    """Return a function that continues the training for one repetition and returns the seconds per step."""
    warnings.filterwarnings("ignore", "the policy trains the encoder")  # the JEPA of a baseline stays as it is
    env_id, num_envs, arguments, steps = SETTINGS[case.algorithm]
    env = make_vec_env(env_id, n_envs=num_envs, seed=0)
    policy_kwargs = jepa_policy_kwargs(env.action_space, **case.options)
    model = case.algorithm("CnnPolicy", env, policy_kwargs=policy_kwargs, seed=0, device="cpu", **arguments)
    model.learn(max(steps, 2 * arguments.get("learning_starts", 0)), callback=callback)  # past learning_starts

    def train() -> float:
        start = time.process_time()
        model.learn(steps, callback=callback, reset_num_timesteps=False)
        return (time.process_time() - start) / steps

    return train


def run(configuration: dict[str, Any], seed: int, folder: Path) -> dict[str, Any]:  # noqa: ARG001  # a study's signature
    """Return ``pairs`` of seconds a step: without the auxiliary, and with it."""
    case = CASES[configuration["case"]]
    without, with_it = trainer(case, None), trainer(case, JEPACallback(**case.callback))
    return {"pairs": [(without(), with_it()) for _ in range(configuration["repetitions"])]}


def gathered(results: Results) -> Facts:
    """Return the pairs of each case."""
    runs = {CONFIGURATIONS[name]["case"]: next(iter(by_seed.values())) for name, by_seed in results.items()}
    return {"seconds_a_step": {case: run["pairs"] for case, run in runs.items()}}


def table(facts: Facts) -> str:
    """Return a row for each training."""
    rows = []
    for name, pairs in facts["seconds_a_step"].items():
        added = [with_it / without - 1 for without, with_it in pairs]
        without, with_it = (1000 * statistics.median(column) for column in zip(*pairs, strict=True))
        goal = CASES[name].goal
        rows.append(
            [
                name,
                f"{without:.2f}",
                f"{with_it:.2f}",
                f"{statistics.median(added):+.0%}",
                f"{min(added):+.0%} .. {max(added):+.0%}",
                "" if goal is None else f"{goal:+.0%}",
            ]
        )
    header = ["training", "without, ms a step", "with, ms a step", "added, median", "range", "at most"]
    return markdown_table(header, rows)


def brief(facts: Facts) -> str:
    """Return what the auxiliary adds to DQN."""
    rows = [
        [name, f"{statistics.median(with_it / without - 1 for without, with_it in pairs):+.0%}"]
        for name, pairs in facts["seconds_a_step"].items()
        if CASES[name].algorithm is DQN
    ]
    return markdown_table(["training", "added"], rows)


SHOWN = {"brief": brief}
