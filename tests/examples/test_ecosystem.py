"""The examples for other tools: plain PyTorch, TorchRL and rl-baselines3-zoo."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*arguments, warnings="error"):
    """Run Python as a person would, in one thread, and return what it printed."""
    command = [sys.executable, "-W", warnings, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def success_rate(output):
    return float(re.search(r"success rate ([\d.]+)", output)[1])


@pytest.mark.slow
@pytest.mark.parametrize("num_envs", [32, 3])
def test_plain_pytorch_runs(num_envs):
    """A rollout and an update, without any warning."""
    output = run("examples/cleanrl_style_ppo.py", "--steps", 64, "--num-envs", num_envs)
    assert 0.1 < success_rate(output) <= 1


@pytest.mark.slow
def test_torchrl_learns():
    """The specs hold, and TorchRL's PPO solves the task; TorchRL warns of itself already when it is imported."""
    pytest.importorskip("torchrl")
    assert success_rate(run("examples/torchrl_env.py", warnings="default")) >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_the_zoo_trains_and_plays(algorithm, tmp_path):
    """The hyperparameter files are read, the JEPA is trained by its callback, and the saved model plays."""
    pytest.importorskip("rl_zoo3")
    common = ("--algo", algorithm, "--env", "CountingEnv-v0", "--gym-packages", "counting_env")
    file = f"examples/rl_zoo/{algorithm}.yml"
    train = ("--conf-file", file, "--n-timesteps", 2048, "--log-folder", tmp_path, "--eval-freq", -1)
    output = run("-m", "rl_zoo3.train", *common, *train, warnings="default")
    assert "jepa/" in output
    assert "dynamics_loss" in output
    played = run(
        "-m", "rl_zoo3.enjoy", *common, "--folder", tmp_path, "--no-render", "--n-timesteps", 400, warnings="default"
    )
    assert 10 < float(re.search(r"Success rate: ([\d.]+)%", played)[1]) <= 100
