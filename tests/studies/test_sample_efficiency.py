"""The comparison of how soon a policy succeeds."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from studies import sample_efficiency
from studies.runner import finished_runs
from studies.sample_efficiency import (
    ALGORITHMS,
    ARMS,
    CONFIGURATIONS,
    SEEDS,
    TASKS,
    draw,
    table,
    until_success,
)
from studies.statistics import interquartile


def outcome(steps, budget=1_000, seconds=2.0):
    last = budget if steps is None else steps
    return {"budget": budget, "steps": steps, "curve": [[100, 0.5, 0.3], [last, seconds, 0.97]]}


def test_interquartile_mean():
    """The interquartile mean of five values is the mean of the middle three; its interval ignores their order."""
    interval = interquartile(np.array([100.0, 1.0, 2.0, 3.0, 0.0]))
    assert interval.value == 2.0
    assert interval.low <= 2.0 <= interval.high
    assert (interval.low, interval.high) == interquartile(np.array([3.0, 2.0, 100.0, 0.0, 1.0]))[1:]
    assert interquartile(np.full(5, 7.0)) == (7.0, 7.0, 7.0)


def test_a_run_without_success_counts_with_its_whole_budget():
    """Such a run stays in the mean, and every number that depends on it is called a bound."""
    runs = {seed: outcome(steps) for seed, steps in enumerate((200, 300, 400, None, None))}
    steps, _, successes = until_success(runs)
    assert successes == 3
    assert steps.value == pytest.approx((300 + 400 + 1_000) / 3)
    solved, unsolved = {0: outcome(170)}, {0: outcome(None)}
    arms = {"nature": runs, "plain": solved, "joint": solved, "detach_q": unsolved}
    text = table({"results": {"default": {"PPO": arms}}})
    assert "| NatureCNN | 3 of 5 | at least 567 [" in text
    assert "| joint, reward | 1 of 1 | 170 [170, 170] | 2 [2, 2] | at least 3.33 | 1.00 |" in text
    bounds = "at least 1,000 [1,000, 1,000] | at least 2 [2, 2] | unknown | at most 0.17"
    assert f"| joint, detached target, reward and Q | 0 of 1 | {bounds} |" in text


def test_curves(tmp_path):
    """Every task and algorithm gets its panel, also where an algorithm cannot act, and every arm its line."""
    runs = {0: outcome(400), 1: outcome(None)}
    results = {"default": {"SAC": dict.fromkeys(ARMS, runs)}, "minigrid": {"PPO": {"nature": runs}}}
    draw({"results": results}, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 10_000


def test_what_is_compared():
    """Encoders alone, more updates without an auxiliary, and joint, shared and alternating auxiliaries are compared.

    The three algorithms meet three environments, one of which comes from another project.
    """
    alone = {"nature", "nature_tuned", "places", "plain"}
    more_updates = {"nature_updates", "more_updates"}
    auxiliary = {"joint", "detach_q", "shared", "replay", "more_joint"}
    assert set(ARMS) == alone | more_updates | auxiliary
    assert {name for name, arm in ARMS.items() if arm.callback is not None} == auxiliary
    assert all(ARMS[name].options["encoder"] == "pooled" for name in auxiliary | {"plain", "more_updates"})
    assert set(ALGORITHMS) == {"PPO", "DQN", "SAC"}
    ids = {name: task.environment.env_id for name, task in TASKS.items()}
    assert {ids[f"default-{name}"] for name in ALGORITHMS} == {"CountingEnv-v0"}
    assert {ids[f"hard-{name}"] for name in ALGORITHMS} == {"CountingEnvHard-v0"}
    assert ids["minigrid-PPO"].startswith("MiniGrid")
    assert "minigrid-SAC" not in ids, "SAC cannot act there"
    assert len(CONFIGURATIONS) == 8 * len(ARMS)
    assert list(SEEDS) == [40, 41, 42, 43, 44]


@pytest.mark.parametrize("arm", ARMS)
def test_rollouts_and_updates(arm):
    """All arms of PPO collect 1,024 steps in a rollout; where 13 times the updates are promised, it is 13."""

    def updates(settings):  # steps of the optimizer for 1,024 steps of the environment
        ppo, off_policy = settings["PPO"], (settings["DQN"]["gradient_steps"], settings["SAC"]["gradient_steps"])
        return (ppo["n_epochs"] * 1024 // ppo["batch_size"], *off_policy)

    shared = {name: algorithm.arguments for name, algorithm in ALGORITHMS.items()}
    own = {name: {**shared[name], **ARMS[arm].settings.get(name, {})} for name in ALGORITHMS}
    assert own["PPO"]["n_steps"] * ALGORITHMS["PPO"].num_envs == 1024
    times = 13 if "13 times the updates" in ARMS[arm].title else 1
    assert updates(own) == tuple(times * number for number in updates(shared))


def test_every_finished_run_of_the_folder_is_read(tmp_path):
    """Runs of earlier commands count too, seeds in the order of their numbers; one without a result does not count."""
    for folder in ("hard-DQN-joint/seed10", "hard-DQN-joint/seed9", "default-PPO-plain/seed0"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "result.json").write_text(json.dumps({"result": {"steps": len(folder)}, "seconds": 1.0}))
    (tmp_path / "default-PPO-plain" / "seed1").mkdir()
    (tmp_path / "default-SAC-joint" / "seed0").mkdir(parents=True)
    results = sample_efficiency.gathered(finished_runs(tmp_path))["results"]
    assert results == {
        "default": {"PPO": {"plain": {"0": {"steps": 23}}}},
        "hard": {"DQN": {"joint": {"9": {"steps": 20}, "10": {"steps": 21}}}},
    }
    assert list(results["hard"]["DQN"]["joint"]) == ["9", "10"]


@pytest.fixture
def short(monkeypatch):
    """Everything as it is, but less of it."""
    monkeypatch.setattr(sample_efficiency, "EPISODES", 50)
    less = {"PPO": {"n_steps": 16, "n_epochs": 1, "batch_size": 64}}
    for name, algorithm in ALGORITHMS.items():
        arguments = {**algorithm.arguments, **less.get(name, {"learning_starts": 40})}
        monkeypatch.setitem(ALGORITHMS, name, replace(algorithm, arguments=arguments))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algorithm", "arm"), [*(("PPO", name) for name in ARMS), ("DQN", "replay"), ("SAC", "detach_q")]
)
def test_every_arm_runs(algorithm, arm, short, tmp_path):
    """Every arm and algorithm is trained, evaluated at the end, and saved."""
    configuration = {"task": f"default-{algorithm}", "arm": arm, "steps": 128}
    result = sample_efficiency.run(configuration, 0, tmp_path)
    steps, seconds, success = result["curve"][-1]
    assert steps == 128
    assert seconds > 0
    assert 0 <= success <= 1
    ALGORITHMS[algorithm].build.load(tmp_path / "model.zip")


@pytest.mark.slow
def test_same_seed_same_curve(short, tmp_path):
    """Two runs of one configuration and seed differ in their seconds alone."""
    configuration = {"task": "default-DQN", "arm": "joint", "steps": 256}
    curves = [sample_efficiency.run(configuration, 3, tmp_path)["curve"] for _ in range(2)]
    (steps, _, successes), (again, _, successes_again) = (zip(*curve, strict=True) for curve in curves)
    assert (steps, successes) == (again, successes_again)


@pytest.mark.slow
def test_started_again_nothing_is_run_twice(tmp_path):
    """The second time all results are there, and the table is the same."""
    command = [sys.executable, "-W", "error", "-m", "studies", "sample_efficiency", "--only", "default-DQN-nature"]
    command += ["--seeds", "0", "1", "--set", "steps=1100", "--workers", "2", "--out", str(tmp_path)]
    out = tmp_path / "results.json"
    first = subprocess.run(command, check=True, capture_output=True, text=True)
    results = json.loads(out.read_text())["results"]
    assert results["default"]["DQN"]["nature"].keys() == {"0", "1"}
    again = subprocess.run(command, check=True, capture_output=True, text=True)
    assert again.stdout == first.stdout
    assert json.loads(out.read_text())["results"] == results
    assert (tmp_path / "figure.png").exists()
