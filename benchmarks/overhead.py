"""What does the auxiliary cost? Wall time of training with JEPACallback against the same encoder without.

    python benchmarks/overhead.py --repetitions 5 --out overhead.json

Both trainings are at Stable-Baselines3's default arguments and the callback's, on one torch thread, and advance in
turn within one process, so that a busy machine affects both alike. Ratios are medians over repetitions.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch
from results import add_out, at_least, environment_facts, markdown_table, write_json
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env

import counting_env
from jepa_extractor import JEPACallback, jepa_policy_kwargs

gym.register_envs(counting_env)

# algorithm: (environment, number of them, arguments that shorten the measurement only, steps a repetition, goal)
CASES: dict[type[BaseAlgorithm], tuple[str, int, dict[str, Any], int, float]] = {
    PPO: ("CountingEnv-v0", 8, {"n_steps": 64}, 512, 0.20),
    DQN: ("CountingEnv-v0", 1, {"learning_starts": 200, "buffer_size": 2_000}, 400, 0.35),
    SAC: ("CountingEnvContinuous-v0", 1, {"learning_starts": 100, "buffer_size": 2_000}, 20, 0.15),
}


def trainer(algorithm: type[BaseAlgorithm], callback: JEPACallback | None) -> Callable[[], float]:
    """Return a function that continues the training for one repetition and returns the seconds per step."""
    env_id, num_envs, arguments, steps, _ = CASES[algorithm]
    env = make_vec_env(env_id, n_envs=num_envs, seed=0)
    policy_kwargs = jepa_policy_kwargs(env.action_space)
    model = algorithm("CnnPolicy", env, policy_kwargs=policy_kwargs, seed=0, device="cpu", **arguments)
    model.learn(max(steps, 2 * arguments.get("learning_starts", 0)), callback=callback)  # past learning_starts

    def train() -> float:
        start = time.perf_counter()
        model.learn(steps, callback=callback, reset_num_timesteps=False)
        return (time.perf_counter() - start) / steps

    return train


def tables(figures: Mapping[str, Sequence[Sequence[float]]]) -> str:
    """Return the results as Markdown, from pairs of seconds a step: without the auxiliary, and with it."""
    rows = []
    for algorithm, (*_, goal) in CASES.items():
        pairs = figures[algorithm.__name__]
        added = [joint / plain - 1 for plain, joint in pairs]
        plain, joint = (1000 * statistics.median(column) for column in zip(*pairs, strict=True))
        rows.append(
            [
                algorithm.__name__,
                f"{plain:.2f}",
                f"{joint:.2f}",
                f"{statistics.median(added):+.0%}",
                f"{min(added):+.0%} .. {max(added):+.0%}",
                f"{goal:+.0%}",
            ]
        )
    header = ["algorithm", "without, ms a step", "joint, ms a step", "added, median", "range", "at most"]
    return markdown_table(header, rows)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=at_least(1), default=7, help="measurements of each training (default: 7)")
    add_out(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    figures = {}
    for algorithm in CASES:
        plain, joint = trainer(algorithm, None), trainer(algorithm, JEPACallback())
        figures[algorithm.__name__] = [(plain(), joint()) for _ in range(arguments.repetitions)]
    print(tables(figures))
    write_json(Path(arguments.out), {**environment_facts(), "torch_threads": 1, "seconds_a_step": figures})


if __name__ == "__main__":
    main()
