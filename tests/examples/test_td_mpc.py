"""The TD-MPC2-like example, as a person runs it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import counting_env
from jepa_extractor.planning import Imagination

gym.register_envs(counting_env)

ROOT = Path(__file__).parents[2]


def run(*arguments):
    """Run the example in one thread and return the last line that it printed."""
    command = [sys.executable, "-W", "error", "examples/td_mpc.py", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("env", ["CountingEnv-v0", "CountingEnvContinuous-v0"])
def test_it_runs_and_saves_a_planner_that_imagines(env, tmp_path):
    """Two rounds, the second with the first one's planner, leave a planner whose foresight reads counts."""
    path = tmp_path / "planner.pt"
    assert run("--env", env, "--steps", 130, "--updates", 1, "--out", path).startswith("130 steps: success rate")
    foreseen = Imagination.load(path).imagine(gym.make(env).reset(seed=0)[0])
    assert len(foreseen) == 5
    assert all(re.fullmatch(r"[0-8], reward -?\d+\.\d", text) for _, text in foreseen[1:])


@pytest.mark.slow
def test_it_solves_the_task_within_a_thousand_steps(tmp_path):
    """Success is at least 0.95, and what the planner reads of the present is the count, but for half an object."""
    path = tmp_path / "planner.pt"
    line = run("--steps", 1_000, "--out", path)
    steps, success = re.match(r"(\d+) steps: success rate ([\d.]+)", line).groups()
    assert int(steps) <= 1_000
    assert float(success) >= 0.95
    agent, env = Imagination.load(path), gym.make("CountingEnv-v0")
    env.reset(seed=7)
    counts = np.repeat(range(9), 4)
    images = [env.reset(options={"count": int(count)})[0] for count in counts]
    read = [int(agent.imagine(image)[0][1]) for image in images]
    assert np.mean(np.abs(read - counts)) <= 0.5
