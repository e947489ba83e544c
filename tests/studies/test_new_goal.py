"""The study of new goals: its runs, its tables, and the example as a person runs it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studies import new_goal
from studies.new_goal import CONFIGURATIONS, run, success, train

ROOT = Path(__file__).parents[2]
SHORT = {"transitions": 300, "updates": 2, "transition_updates": 2, "ppo_steps": 1_024, "episodes": 4, "drawn": 20}

# what is said of a new goal where a training was cut short
pytestmark = pytest.mark.filterwarnings(
    "ignore:what arrives at the highest reward", "ignore:no action leads from a labelled"
)


def short(name):
    return {**CONFIGURATIONS[name], **SHORT}


@pytest.mark.slow
def test_a_run_is_a_function_of_case_and_seed(tmp_path):
    """The same seed gives the same success at each of nine goals, from nine pictures and from those drawn."""
    first, second = (run(short("joint"), 3, tmp_path) for _ in range(2))
    assert {number: len(successes) for number, successes in first["success"].items()} == {"9": 9, "20": 9}
    assert all(0 <= value <= 1 for successes in first["success"].values() for value in successes)
    assert {**first, "seconds": 0} == {**second, "seconds": 0}


@pytest.mark.slow
def test_a_frozen_network_is_the_trained_one():
    """PPO trained the network in the extractor, which the fit of the transition leaves as it is."""
    untrained, trained = (train({**short("frozen_ppo"), "transition_updates": n}, 3) for n in (2, 3))
    before, after = (jepa.encoder.state_dict() for jepa in (untrained, trained))
    assert all((before[name] == after[name]).all() for name in before)
    transitions = [jepa.transition.state_dict() for jepa in (untrained, trained)]
    assert any((transitions[0][name] != transitions[1][name]).any() for name in transitions[0])


@pytest.mark.slow
def test_ppo_from_scratch_reports_steps_or_that_they_did_not_suffice(tmp_path):
    """A goal is reached after a whole number of rollouts, or not at all."""
    steps = run(short("scratch"), 3, tmp_path)["steps"]
    assert set(steps) == {"0", "2", "4", "6", "8"}
    assert set(steps.values()) <= {1_024, None}


def test_a_goal_without_a_picture_counts_as_not_reached():
    """No label tells of the goal, so there is no planner: success is 0."""
    configuration = short("untrained")
    pictures = np.zeros((2, 64, 64, 3), np.uint8)
    assert success(train(configuration, 0), pictures, np.array([0, 1]), 5, configuration) == 0.0


@pytest.mark.parametrize("slip", [0.0, 0.3])
def test_best_success_in_one_step(slip):
    """One step reaches a goal from its two neighbours; 0 and 8 have one, and are left and reached at once."""
    assert new_goal.best_success(slip, horizon=1) == pytest.approx(18 / 81 * (1 - slip))


def test_best_success_without_slip():
    """In eight steps every goal is reached from everywhere."""
    assert new_goal.best_success(0.0, horizon=8) == 1.0
    assert new_goal.best_success(0.0, horizon=7) == pytest.approx(79 / 81)


def result(values, number="9", kept=1.0):
    measures = dict.fromkeys(new_goal.MEASURES, 0.5)
    return {"success": {number: values, "50": values}, **measures, "kept_share": kept, "reward_loss": None}


def test_a_row_shows_means_ranges_and_the_worst_goal():
    """The worst goal is that whose mean over the seeds is lowest."""
    table = new_goal.ways({"results": {"joint": {"0": result([1.0, 0.5]), "1": result([0.5, 0.6])}}})
    cells = "0.650 (0.550 to 0.750) | 0.550"
    assert f"| joint, reward | black | 2 | {cells} | {cells} | 1.000 |" in table


def test_the_rank_correlation_of_a_measure():
    """A measure that orders the extractors as their success does has 1; one that is constant has none."""
    runs = {str(seed): result([seed / 10], kept=seed / 20) for seed in range(8)}
    table = new_goal.audit({"results": {"joint": runs}})
    assert "| audit: share of the pairs that are kept apart | 8 | 1.00 [1.00, 1.00] |" in table
    assert "| effective rank of the latents | 8 | none |" in table
    assert "| reward loss | 0 | none |" in table


@pytest.mark.slow
def test_every_goal_from_nine_pictures(tmp_path):
    """Trained for one goal, the planner reaches all nine goals from one labelled picture of each count."""
    command = [sys.executable, "-W", "error", "-m", "studies", "new_goal", "--only", "joint", "--seeds", "0"]
    command += ["--workers", "1", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "table.md").read_text() in done.stdout
    (by_seed,) = json.loads((tmp_path / "results.json").read_text())["results"].values()
    successes = by_seed["0"]["success"]["9"]
    assert len(successes) == 9
    assert np.mean(successes) >= 0.97
    assert min(successes) >= 0.9
    with Image.open(tmp_path / "figure.png") as picture:
        assert picture.size == (1170, 360)
