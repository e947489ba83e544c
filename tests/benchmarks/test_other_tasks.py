"""The comparison on tasks that others wrote."""

import json
from dataclasses import replace
from functools import partial
from itertools import pairwise

import advice
import gymnasium as gym
import numpy as np
import pytest
from returns import environments, run, summary
from returns.cases import ARMS, BASELINES, TASKS
from returns.figure import draw
from returns.summary import equal_cost
from returns.tables import interval, tables
from rliable.metrics import probability_of_improvement

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


@pytest.fixture
def breakout():
    """A function that makes MinAtar's Breakout."""
    if "MinAtar/Breakout-v1" not in gym.registry:
        minatar.register_envs()
    return partial(gym.make, "MinAtar/Breakout-v1")


@pytest.mark.parametrize("kind", ["noise", "drift"])
def test_a_distractor_stands_beside_the_game(breakout, kind):
    """The game's channels are those it shows without; the others have the density, move as they say, or are new."""
    plain, distracted = breakout(), environments.ExtraChannels(breakout(), kind, density=0.3)
    shown, _ = distracted.reset(seed=3)
    np.testing.assert_array_equal(shown[..., :4], plain.reset(seed=3)[0])
    assert distracted.observation_space.contains(shown)
    extra = [shown[..., 4:]]
    for action in (0, 1, 2, 1) * 5:
        shown, reward, *_ = distracted.step(action)
        expected, expected_reward, *_ = plain.step(action)
        np.testing.assert_array_equal(shown[..., :4], expected)
        assert reward == expected_reward
        extra.append(shown[..., 4:])
    assert np.mean(extra) == pytest.approx(0.3, abs=0.05)
    moved = [np.array_equal(np.roll(before, 1, axis=1), after) for before, after in pairwise(extra)]
    assert all(moved) if kind == "drift" else not any(moved)
    again = environments.ExtraChannels(breakout(), kind, density=0.3)
    np.testing.assert_array_equal(again.reset(seed=3)[0][..., 4:], extra[0])


def test_an_action_is_taken_twice_until_the_episode_ends():
    """Rewards add up; nothing is stepped after an end."""

    class Counter(gym.Env):
        observation_space, action_space = gym.spaces.Discrete(9), gym.spaces.Discrete(2)
        steps = 0

        def step(self, action):
            self.steps += 1
            return self.steps, 10.0**-self.steps, self.steps == 3, False, {}

    env = environments.RepeatAction(Counter())
    assert env.step(0) == (2, 0.11, False, False, {})
    assert env.step(0) == (3, 0.001, True, False, {})


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
    assert [equal_cost(arms, name) for name in ("spr", "mrq", "shared")] == ["layer", "layer_4", "plain"]


@pytest.fixture
def few_resamples(monkeypatch):
    monkeypatch.setattr(summary, "RESAMPLES", 200)


@pytest.mark.usefixtures("few_resamples")
def test_a_comparison():
    """Ratio and probability are those worked out by hand; the verdict is that of the interval."""
    arms = {"plain": outcomes([1, 2, 3, 4], 10.0), "spr": outcomes([3.5, 3.5, 3.5, 3.5], 10.0)}
    row = summary.summarise({"asterix": arms})["tasks"]["asterix"]["spr"]
    assert row["baseline"] == "plain"
    assert row["ratio"] == pytest.approx(3.5 / 2.5)
    probability, low, high = row["probability"]
    assert probability == 0.75  # it beats three of four
    assert low <= 0.5
    assert high >= 0.75
    assert row["verdict"] == "not apart"
    for score, verdict in ((5.0, "better"), (0.5, "worse")):
        changed = {**arms, "spr": outcomes([score] * 4, 10.0)}
        assert summary.summarise({"asterix": changed})["tasks"]["asterix"]["spr"]["verdict"] == verdict
    nothing = {"plain": outcomes([0, 0], 1.0), "spr": outcomes([0, 1], 1.0)}
    assert summary.summarise({"asterix": nothing})["tasks"]["asterix"]["spr"]["ratio"] is None


@pytest.mark.usefixtures("few_resamples")
def test_intervals_are_always_the_same():
    """They come from a seed, and leave NumPy's global generator as it was."""
    scores = np.random.default_rng(0).normal(size=(2, 5, 1))
    before = np.random.get_state()[1:3]  # noqa: NPY002
    first = [summary.estimate(probability_of_improvement, *scores) for _ in range(2)]
    assert first[0] == first[1]
    np.testing.assert_equal(np.random.get_state()[1:3], before)  # noqa: NPY002


@pytest.mark.usefixtures("few_resamples")
def test_tables_and_figure(tmp_path):
    """Each run is in its row; a distractor has a column of its own; tasks of one algorithm are counted together."""
    arms = {"layer": outcomes([2, 2, 2], 10.0, shifted=0.5), "spr": outcomes([5, 5, 5], 20.0, shifted=1.5)}
    plain = {"plain": outcomes([5, 5, 5], 10.0), "spr": outcomes([2, 2, 2], 20.0)}
    results = {"breakout_noise": arms, "asterix": plain, "empty": plain}
    text = tables(json.loads(json.dumps(summary.summarise(results))))
    assert "Breakout with noise, DQN:" in text
    assert "| LayerNorm, no auxiliary | 3 | 2.00 [2.00, 2.00] | 4.00 | 0.50 | 10 |  |  |  |  |" in text
    assert "| recipe spr | 3 | 5.00 [5.00, 5.00] | 10.00 | 1.50 | 20 | LayerNorm, no auxiliary | 2.50 |" in text
    assert "1.00 [1.00, 1.00] | better |" in text
    assert "| DQN, recipe spr | 2 | 1 | 0 | 1 | 1 | 0.50 [0.50, 0.50] |" in text
    assert "| PPO, recipe spr | 1 | 0 | 0 | 1 | 0 | 0.00 [0.00, 0.00] |" in text
    draw(results, tmp_path / "figure.png")
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
    text = tables(summary.summarise({"door_key": arms}))
    assert next(line for line in text.splitlines() if row in line).endswith("| yes |")
    text = tables(summary.summarise({"door_key": {"plain": arms["plain"]}}))
    assert next(line for line in text.splitlines() if "0.600 [0.600, 0.600] | 0.964" in line).endswith("| no |")
    alone = tables(summary.summarise({"door_key": {"spr": arms["spr"]}, "asterix": arms}))
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
    table = advice.steps_table({"results": {"hard": {"DQN": arms}, "minigrid": {"DQN": {"plain": arms["plain"]}}}})
    row = "| CountingEnvHard-v0, DQN | alternating, replay ratio 4 | pooled, no auxiliary | 2.00 | 1.00 [1.00, 1.00] |"
    assert table.splitlines()[2:] == [f"{row} 4.0 | better |"]
    results = {
        "asterix": {"layer": outcomes([2, 2], 10.0), "spr": outcomes([5, 5], 20.0), "mrq": outcomes([1, 1], 20.0)}
    }
    table = advice.returns_table({"summary": summary.summarise(results), "results": results})
    row = "| Asterix, DQN | recipe spr | LayerNorm, no auxiliary | 2.50 | 1.00 [1.00, 1.00] | 2.0 | better |"
    assert table.splitlines()[2:] == [row]


def test_numbers_are_written_with_the_digits_that_matter():
    """Two decimals, and none from a hundred on."""
    assert interval((1.234, 0.5, 2.0)) == "1.23 [0.50, 2.00]"
    assert interval((123.4, 99.6, 200.0)) == "123 [100, 200]"


def test_what_is_compared():
    """Every task has a baseline, and every arm is used; what is not installed says how to get it."""
    assert all(set(task.arms) & set(BASELINES) and set(task.arms) <= set(ARMS) for task in TASKS.values())
    assert {arm for task in TASKS.values() for arm in task.arms} == set(ARMS)
    missing = environments.Environment("None-v0", "no_such_package.gym", "pip install it")
    with pytest.raises(ModuleNotFoundError, match="None-v0 needs no_such_package: pip install it"):
        missing.require_installed()


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
    monkeypatch.setattr(run, "EPISODES", 8)
    environment = TASKS[task].environment
    short = replace(environment, options={**environment.options, "max_episode_steps": 50})
    monkeypatch.setitem(TASKS, task, replace(TASKS[task], environment=short))
    configuration = {"task": task, "arm": arm, "steps": 1_100, "learning_rate": 1e-3}
    first, again = (run.run(configuration, 0, tmp_path) for _ in range(2))
    assert first.pop("seconds") > 0
    del again["seconds"]
    assert first == again
    assert len(first["returns"]) == 4
    assert ("shifted" in first) == (task in ("breakout_drift", "counting_noise"))
