"""The comparison of how soon a policy succeeds."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import sample_efficiency
from learning import run
from learning.cases import ALGORITHMS, COMPETITORS, NUM_ENVS, TASKS
from learning.figure import draw_curves
from learning.summary import BRIEF, brief_table, interquartile, tables, until_success

SCRIPT = sample_efficiency.__file__


def outcome(steps, budget=1_000, seconds=2.0):
    last = budget if steps is None else steps
    return {"budget": budget, "steps": steps, "seconds": None, "curve": [[100, 0.5, 0.3], [last, seconds, 0.97]]}


def test_interquartile_mean():
    """ "Interquartile mean with 95% bootstrap interval": by hand, of five values the three in the middle."""
    interval = interquartile(np.array([100.0, 1.0, 2.0, 3.0, 0.0]))
    assert interval.mean == 2.0
    assert interval.low <= 2.0 <= interval.high
    assert (interval.low, interval.high) == interquartile(np.array([3.0, 2.0, 100.0, 0.0, 1.0]))[1:]
    assert interquartile(np.full(5, 7.0)) == (7.0, 7.0, 7.0)


def test_a_run_without_success_counts_with_its_whole_budget():
    """ "No result is dropped because it disappoints": it stays in the mean, which is then called a lower bound."""
    runs = {seed: outcome(steps) for seed, steps in enumerate((200, 300, 400, None, None))}
    steps, _, solved = until_success(runs)
    assert solved == 3
    assert steps.mean == pytest.approx((300 + 400 + 1_000) / 3)
    solved, unsolved = {0: outcome(170)}, {0: outcome(None)}
    table = tables({"default": {"PPO": {"nature": runs, "plain": solved, "joint": solved, "ema": unsolved}}})
    assert "| NatureCNN | 3 of 5 | at least 567 [" in table
    assert "| joint, reward | 1 of 1 | 170 [170, 170] | 2 [2, 2] | at least 3.33 | 1.00 |" in table
    assert (
        "| joint, slow target | 0 of 1 | at least 1,000 [1,000, 1,000] | at least 2 [2, 2] | unknown | at most 0.17 |"
        in table
    )
    brief = brief_table({"hard": {"DQN": dict.fromkeys(BRIEF, solved) | {"nature": unsolved}}})
    assert "| DQN, CountingEnvHard-v0 | at least 1,000 [1,000, 1,000] | 170 [170, 170] |" in brief


def test_curves(tmp_path):
    """Every task and algorithm gets its panel, also where an algorithm cannot act, and every competitor its line."""
    runs = {0: outcome(400), 1: outcome(None)}
    draw_curves(
        {"default": {"SAC": dict.fromkeys(COMPETITORS, runs)}, "minigrid": {"PPO": {"nature": runs}}},
        tmp_path / "curves.png",
    )
    assert (tmp_path / "curves.png").stat().st_size > 10_000


def test_every_competitor_of_the_issue_is_there():
    """The issue names them, three algorithms and three environments, one of which this project did not write."""
    named = {"nature", "plain", "joint", "joint_q", "alternating", "frozen", "fine_tuned", "detach", "ema"}
    assert named <= set(COMPETITORS)
    assert set(ALGORITHMS) == {"PPO", "DQN", "SAC"}
    assert [task.env_id for task in TASKS.values()][:2] == ["CountingEnv-v0", "CountingEnvHard-v0"]
    assert TASKS["minigrid"].env_id.startswith("MiniGrid")


@pytest.fixture
def short(monkeypatch):
    """Everything as it is, but less of it."""
    monkeypatch.setattr(run, "RANDOM_STEPS", 40)
    monkeypatch.setattr(run, "PRETRAIN_UPDATES", 2)
    monkeypatch.setattr(run, "EPISODES", 50)
    less = {"PPO": {"n_steps": 16, "n_epochs": 1, "batch_size": 64}}
    for name, algorithm in ALGORITHMS.items():
        arguments = {**algorithm.arguments, **less.get(name, {"learning_starts": 40})}
        monkeypatch.setitem(run.ALGORITHMS, name, replace(algorithm, arguments=arguments))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algorithm", "competitor"), [*(("PPO", name) for name in COMPETITORS), ("DQN", "replay"), ("SAC", "frozen")]
)
def test_every_competitor_runs(algorithm, competitor, short, tmp_path):
    """Every competitor and algorithm is trained, evaluated at the end, and saved; pretraining counts as steps."""
    configuration = {"task": "default", "algorithm": algorithm, "competitor": competitor, "steps": 128}
    result = run.run(configuration, 0, tmp_path)
    steps, seconds, success = result["curve"][-1]
    spent = 40 if COMPETITORS[competitor].pretrained else 0
    rollout = NUM_ENVS * COMPETITORS[competitor].settings.get("PPO", {}).get("n_steps", 16)
    assert steps == (spent + max(128, rollout) if algorithm == "PPO" else 128)  # PPO's rollouts are whole
    assert seconds > 0
    assert 0 <= success <= 1
    ALGORITHMS[algorithm].build.load(tmp_path / "model.zip")


@pytest.mark.slow
def test_same_seed_same_curve(short, tmp_path):
    """ "Every run is a pure function of (configuration, seed)": all but the seconds are the same."""
    configuration = {"task": "default", "algorithm": "DQN", "competitor": "joint", "steps": 256}
    curves = [run.run(configuration, 3, tmp_path)["curve"] for _ in range(2)]
    (steps, _, successes), (again, _, successes_again) = (zip(*curve, strict=True) for curve in curves)
    assert (steps, successes) == (again, successes_again)


@pytest.mark.slow
def test_started_again_nothing_is_run_twice(tmp_path):
    """ "Idempotent and resumable": the second time all results are there, and the table is the same."""
    out = tmp_path / "results.json"
    command = [sys.executable, "-W", "error", SCRIPT, "--tasks", "default", "--algorithms", "DQN", "--seeds", "0", "1"]
    command += ["--competitors", "nature", "--steps", "1100", "--workers", "2"]
    command += ["--runs", str(tmp_path / "runs"), "--out", str(out)]
    first = subprocess.run(command, check=True, capture_output=True, text=True)
    results = json.loads(out.read_text())["results"]
    assert results["default"]["DQN"]["nature"].keys() == {"0", "1"}
    again = subprocess.run(command, check=True, capture_output=True, text=True)
    assert again.stdout == first.stdout
    assert json.loads(out.read_text())["results"] == results
    assert (tmp_path / "results.png").exists()


def test_a_folder_that_cannot_be_written(tmp_path):
    """ "A read-only folder is a clear error before hours are lost"."""
    (tmp_path / "runs").write_text("a file")
    command = [sys.executable, SCRIPT, "--tasks", "default", "--runs", str(tmp_path / "runs" / "deep")]
    failed = subprocess.run(command, check=False, capture_output=True, text=True)
    assert failed.returncode == 1
    assert "cannot be written" in failed.stderr
    assert "Traceback" not in failed.stderr
