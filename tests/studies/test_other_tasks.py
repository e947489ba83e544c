"""The comparison on tasks that others wrote."""

import json
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
from rliable.metrics import probability_of_improvement

from studies import other_tasks, sample_efficiency, statistics
from studies.comparison import equal_cost
from studies.other_tasks import ARMS, BASELINES, TASKS, draw, summarise, table

minatar = pytest.importorskip("minatar.gym")


def outcomes(scores, seconds, **more):
    return {
        str(seed): {"returns": [0.0, score, score, 2 * score], "seconds": seconds, **more}
        for seed, score in enumerate(scores)
    }


@pytest.fixture(autouse=True)
def registry():
    """Forgets MinAtar's environments, which warn when they are registered twice."""
    yield
    for name in [name for name in gym.registry if name.startswith("MinAtar/")]:
        del gym.registry[name]


def test_the_best_baseline_of_equal_cost():
    """It is the best of those that cost at most a tenth more; the plain one is among them, whatever it costs."""
    arms = {
        "plain": outcomes([1, 1, 1], 10.0),
        "layer": outcomes([2, 2, 2], 11.0),
        "layer_4": outcomes([9, 9, 9], 40.0),
        "spr": outcomes([5, 5, 5], 36.0),
        "mrq": outcomes([5, 5, 5], 37.0),
        "shared": outcomes([5, 5, 5], 5.0),
    }
    assert [equal_cost(arms, name, BASELINES) for name in ("spr", "mrq", "shared")] == ["layer", "layer_4", "plain"]


@pytest.fixture
def few_resamples(monkeypatch):
    monkeypatch.setattr(statistics, "RESAMPLES", 200)


@pytest.mark.usefixtures("few_resamples")
def test_a_comparison():
    """Ratio and probability are those worked out by hand; the verdict is that of the interval."""
    arms = {"plain": outcomes([1, 2, 3, 4], 10.0), "spr": outcomes([3.5, 3.5, 3.5, 3.5], 10.0)}
    row = summarise({"asterix": arms})["tasks"]["asterix"]["spr"]
    assert row["baseline"] == "plain"
    assert row["ratio"] == pytest.approx(3.5 / 2.5)
    probability, low, high = row["probability"]
    assert probability == 0.75  # it beats three of four
    assert low <= 0.5
    assert high >= 0.75
    assert row["verdict"] == "not apart"
    for score, verdict in ((5.0, "better"), (0.5, "worse")):
        changed = {**arms, "spr": outcomes([score] * 4, 10.0)}
        assert summarise({"asterix": changed})["tasks"]["asterix"]["spr"]["verdict"] == verdict
    nothing = {"plain": outcomes([0, 0], 1.0), "spr": outcomes([0, 1], 1.0)}
    assert summarise({"asterix": nothing})["tasks"]["asterix"]["spr"]["ratio"] is None


@pytest.mark.usefixtures("few_resamples")
def test_intervals_are_always_the_same():
    """They come from a seed, and leave NumPy's global generator as it was."""
    scores = np.random.default_rng(0).normal(size=(2, 5, 1))
    before = np.random.get_state()[1:3]  # noqa: NPY002
    first = [statistics.stratified(probability_of_improvement, *scores) for _ in range(2)]
    assert first[0] == first[1]
    np.testing.assert_equal(np.random.get_state()[1:3], before)  # noqa: NPY002


@pytest.mark.usefixtures("few_resamples")
def test_tables_and_figure(tmp_path):
    """Each run is in its row; a distractor has a column of its own; tasks of one algorithm are counted together."""
    arms = {"layer": outcomes([2, 2, 2], 10.0, shifted=0.5), "spr": outcomes([5, 5, 5], 20.0, shifted=1.5)}
    plain = {"plain": outcomes([5, 5, 5], 10.0), "spr": outcomes([2, 2, 2], 20.0)}
    results = {"breakout_noise": arms, "asterix": plain, "empty": plain}
    summary = json.loads(json.dumps(summarise(results)))
    text = table({"summary": summary})
    assert "Breakout with noise, DQN:" in text
    assert "| LayerNorm, no auxiliary | 3 | 2.00 [2.00, 2.00] | 4.00 | 0.50 | 10 |  |  |  |  |" in text
    assert "| recipe spr | 3 | 5.00 [5.00, 5.00] | 10.00 | 1.50 | 20 | LayerNorm, no auxiliary | 2.50 |" in text
    assert "1.00 [1.00, 1.00] | better |" in text
    assert "| DQN, recipe spr | 2 | 1 | 0 | 1 | 1 | 0.50 [0.50, 0.50] |" in text
    assert "| PPO, recipe spr | 1 | 0 | 0 | 1 | 0 | 0.00 [0.00, 0.00] |" in text
    draw({"results": results}, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000


@pytest.mark.usefixtures("few_resamples")
def test_the_best_baseline_stands_beside_a_published_score():
    """It is the best over the training; its return at the end reaches the score if the interval does."""
    arms = {
        "plain": outcomes([0.3, 0.3], 10.0),
        "layer": outcomes([0.4820, 0.4826], 10.0),
        "spr": outcomes([0.5, 0.5], 10.0),
    }
    row = "| LayerNorm, no auxiliary | 0.965 [0.964, 0.965] | 0.964 | PPO after as many steps, one run |"
    text = table({"summary": summarise({"door_key": arms})})
    assert next(line for line in text.splitlines() if row in line).endswith("| yes |")
    text = table({"summary": summarise({"door_key": {"plain": arms["plain"]}})})
    assert next(line for line in text.splitlines() if "0.600 [0.600, 0.600] | 0.964" in line).endswith("| no |")
    alone = table({"summary": summarise({"door_key": {"spr": arms["spr"]}, "asterix": arms})})
    assert "published" not in alone
    assert "| recipe spr | 2 | 0.50 [0.50, 0.50] | 1.00 | 10 |  |  |  |  |" in alone


@pytest.mark.usefixtures("few_resamples")
def test_advice_is_the_best_auxiliary_against_the_best_baseline_of_equal_cost():
    """Fewer steps are better; a baseline that costs more than the auxiliary does not count."""

    def until(steps, seconds):
        return {str(seed): {"steps": step, "budget": 900, "curve": [[0, seconds]]} for seed, step in enumerate(steps)}

    arms = {
        "plain": until([400, 400], 1.0),
        "more_updates": until([100, 100], 9.0),
        "joint": until([200, None], 2.0),
        "replay": until([200, 200], 4.0),
        "nature": until([50, 50], 1.0),
    }
    results = {"hard": {"DQN": arms}, "minigrid": {"DQN": {"plain": arms["plain"]}}}
    text = sample_efficiency.of_advice({"results": results})
    row = "| CountingEnvHard-v0, DQN | alternating, replay ratio 4 | pooled, no auxiliary | 2.00 | 1.00 [1.00, 1.00] |"
    assert text.splitlines()[2:] == [f"{row} 4.0 | better |"]
    results = {
        "asterix": {"layer": outcomes([2, 2], 10.0), "spr": outcomes([5, 5], 20.0), "mrq": outcomes([1, 1], 20.0)}
    }
    text = other_tasks.of_advice({"summary": summarise(results)})
    row = "| Asterix, DQN | recipe spr | LayerNorm, no auxiliary | 2.50 | 1.00 [1.00, 1.00] | 2.0 | better |"
    assert text.splitlines()[2:] == [row]


def test_numbers_are_written_with_the_digits_that_matter():
    """Two decimals, and none from a hundred on."""
    assert other_tasks._interval((1.234, 0.5, 2.0)) == "1.23 [0.50, 2.00]"
    assert other_tasks._interval((123.4, 99.6, 200.0)) == "123 [100, 200]"


def test_what_is_compared():
    """Every task has a baseline, and every arm is used."""
    assert all(set(task.arms) & set(BASELINES) and set(task.arms) <= set(ARMS) for task in TASKS.values())
    assert {arm for task in TASKS.values() for arm in task.arms} == set(ARMS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "arm"),
    [
        ("breakout", "shared"),
        ("breakout", "mrq"),
        ("breakout_drift", "spr"),
        ("breakout_ppo", "tdmpc2"),
        ("counting_noise", "paper"),
    ],
)
def test_a_run(task, arm, tmp_path, monkeypatch):
    """A short run is the same if made again, and has four evaluations."""
    monkeypatch.setattr(other_tasks, "EPISODES", 8)
    environment = TASKS[task].environment
    short = replace(environment, options={**environment.options, "max_episode_steps": 50})
    monkeypatch.setitem(TASKS, task, replace(TASKS[task], environment=short))
    configuration = {"task": task, "arm": arm, "steps": 1_100, "learning_rate": 1e-3}
    first, again = (other_tasks.run(configuration, 0, tmp_path) for _ in range(2))
    assert first.pop("seconds") > 0
    del again["seconds"]
    assert first == again
    assert len(first["returns"]) == 4
    assert ("shifted" in first) == (task in ("breakout_drift", "counting_noise"))
