"""What the comparisons share: tasks of others, distractors, and when a policy is evaluated."""

from functools import partial
from itertools import pairwise

import gymnasium as gym
import numpy as np
import pytest

from studies import comparison
from studies.comparison import Environment, Evaluation

minatar = pytest.importorskip("minatar.gym")


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
    plain, distracted = breakout(), comparison.ExtraChannels(breakout(), kind, density=0.3)
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
    again = comparison.ExtraChannels(breakout(), kind, density=0.3)
    np.testing.assert_array_equal(again.reset(seed=3)[0][..., 4:], extra[0])


def test_an_action_is_taken_twice_until_the_episode_ends():
    """Rewards add up; nothing is stepped after an end."""

    class Counter(gym.Env):
        observation_space, action_space = gym.spaces.Discrete(9), gym.spaces.Discrete(2)
        steps = 0

        def step(self, action):
            self.steps += 1
            return self.steps, 10.0**-self.steps, self.steps == 3, False, {}

    env = comparison.RepeatAction(Counter())
    assert env.step(0) == (2, 0.11, False, False, {})
    assert env.step(0) == (3, 0.001, True, False, {})


def test_what_is_not_installed_says_how_to_get_it():
    """The sentence names the environment, the package and the command."""
    missing = Environment("None-v0", "no_such_package.gym", "pip install it")
    with pytest.raises(ModuleNotFoundError, match="None-v0 needs no_such_package: pip install it"):
        missing.require_installed()


class Rollouts(gym.Env):
    """An environment in which nothing happens."""

    observation_space, action_space = gym.spaces.Box(0, 1, (1,)), gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), 0.0, False, False, {}


@pytest.mark.parametrize(
    ("values", "enough", "least", "expected"),
    [
        ([0.1, 0.2, 0.3, 0.4], np.inf, 4, [32, 48, 64, 64]),  # due at 25, 48, and twice at the end
        ([0.1, 0.9], 0.5, 1, [32, 48]),  # enough: the next step is the last
        ([0.1, 0.2, 0.3], np.inf, 1, [32, 48, 64]),
    ],
)
def test_when_a_policy_is_evaluated(values, enough, least, expected):
    """Between rollouts of 16 steps once it is due, at the end, and no more once it is good enough."""
    from stable_baselines3 import PPO

    left = iter(values)
    evaluation = Evaluation(lambda _: next(left), lambda steps, count: 25 * (count == 0) or 40, enough, least)
    PPO("MlpPolicy", Rollouts(), n_steps=16, batch_size=16, n_epochs=1, device="cpu").learn(64, callback=evaluation)
    assert [steps for steps, *_ in evaluation.curve] == expected
    assert [value for *_, value in evaluation.curve] == values
    assert evaluation.seconds > 0
