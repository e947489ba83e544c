"""Bad arguments, actions and resets of CountingVectorEnv: each is named, and nothing has happened."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.vector import AutoresetMode

import counting_env
from counting_env import CountingVectorEnv
from tests.environment.comparing import assert_same, draw_actions

BAD_ARGUMENTS = [
    ({"num_envs": 0}, "num_envs=0"),
    ({"num_envs": 2.0}, "num_envs=2.0"),
    ({"copy": "False"}, "copy='False' is neither True nor False"),
    ({"copy": 0}, "copy=0 is neither True nor False"),
    ({"max_episode_steps": 0}, "max_episode_steps=0"),
    ({"autoreset_mode": "sometimes"}, "autoreset_mode='sometimes'"),
    ({"render_mode": "human"}, "render_mode='human'"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_ARGUMENTS, ids=str)
def test_bad_arguments(arguments, message):
    """A bad argument raises an error that names the argument and its value."""
    with pytest.raises(ValueError, match=message):
        CountingVectorEnv(**arguments)


@pytest.mark.parametrize(
    "options",
    [{"target": 9}, {"max_count": 65}, {"image_size": 31}, {"reward": "rich"}, {"continuous": 1}, {"slip": 2}],
    ids=str,
)
def test_wrong_options_raise_the_same_errors_as_the_single_environment(options):
    with pytest.raises(ValueError, match=next(iter(options))) as single:
        counting_env.CountingEnv(**options)
    with pytest.raises(ValueError, match=next(iter(options))) as batch:
        CountingVectorEnv(2, **options)
    assert str(batch.value) == str(single.value)


def test_unknown_option():
    with pytest.raises(TypeError, match="colour"):
        CountingVectorEnv(2, colour="red")


BAD_ACTIONS = [
    (False, np.array([0, 1]), "shape"),
    (False, np.array([[0], [1], [0]]), "shape"),
    (False, np.array([0.0, 1.0, 1.0]), "dtype"),
    (False, np.array([True, False, True]), "dtype"),
    (False, np.array([0, 1, 2]), r"actions\[2\]=np.int64\(2\)"),
    (False, np.array([0, -1, 1]), r"actions\[1\]"),
    (False, np.array([2**63, 0, 1], np.uint64), r"actions\[0\]"),
    (False, None, "actions=None"),
    (True, np.zeros(3, np.float32), "shape"),
    (True, np.zeros((3, 1), bool), "dtype"),
    (True, np.array([[0], [0], [1 + 1e-12]]), r"actions\[2\]"),
    (True, np.array([[0], [np.nan], [0]], np.float32), r"actions\[1\]"),
    (True, np.array([[0], [0], [1.5]], np.float32), r"actions\[2\]"),
]


@pytest.mark.parametrize(("continuous", "actions", "message"), BAD_ACTIONS, ids=str)
def test_bad_actions(continuous, actions, message):
    """Actions of a wrong shape, type or value raise an error, and the environment goes on as if never asked."""
    env, twin = (CountingVectorEnv(3, continuous=continuous) for _ in range(2))
    env.reset(seed=0)
    twin.reset(seed=0)
    with pytest.raises(InvalidAction, match=message):
        env.step(actions)
    good = draw_actions(env, 1)[0]
    assert_same(env.step(good), twin.step(good))


BAD_RESETS = [
    ({"options": {"reset_mask": [True, False, True]}}, TypeError, "reset_mask"),
    ({"options": {"reset_mask": np.ones(3, int)}}, TypeError, "reset_mask"),
    ({"options": {"reset_mask": np.ones(2, bool)}}, ValueError, r"\(3,\)"),
    ({"options": {"reset_mask": np.zeros(3, bool)}}, ValueError, "at least one"),
    ({"options": {"count": 9}}, ValueError, "count=9"),
    ({"options": {"place": 1}}, ValueError, "place"),
    ({"options": "count"}, ValueError, "options='count' is not a dictionary"),
    ({"seed": [1, 2]}, ValueError, "3 environments"),
    ({"seed": 1.5}, ValueError, "seed=1.5"),
    ({"seed": -1}, gym.error.Error, "-1"),
    ({"seed": [1, 2, -3]}, gym.error.Error, "-3"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), BAD_RESETS, ids=str)
def test_bad_resets(arguments, error, message):
    """Bad arguments of reset raise an error, and the environment goes on as if never asked."""
    env, twin = (CountingVectorEnv(3) for _ in range(2))
    env.reset(seed=0)
    twin.reset(seed=0)
    with pytest.raises(error, match=message):
        env.reset(**arguments)
    action = np.array([1, 0, 1])
    assert_same(env.step(action), twin.step(action))


def test_step_before_reset():
    env = CountingVectorEnv(2)
    with pytest.raises(ResetNeeded, match="reset"):
        env.step(np.array([0, 1]))
    env.reset(options={"reset_mask": np.array([True, False])})
    with pytest.raises(ResetNeeded, match="every"):
        env.step(np.array([0, 1]))
    env.reset(options={"reset_mask": np.array([False, True])})
    env.step(np.array([0, 1]))


def test_disabled_mode_insists_on_a_reset():
    """In mode DISABLED a step after the end of an episode is an error that names the sub-environments."""
    env = CountingVectorEnv(3, autoreset_mode=AutoresetMode.DISABLED)
    env.reset(seed=0, options={"count": 3})
    env.step(np.array([0, 1, 0]))
    with pytest.raises(ResetNeeded, match=r"\[1\].*reset_mask"):
        env.step(np.array([0, 1, 0]))
    env.reset(options={"reset_mask": np.array([False, True, False])})
    env.step(np.array([0, 1, 0]))


def test_render_without_mode_warns():
    env = CountingVectorEnv(2)
    env.reset(seed=0)
    with pytest.warns(UserWarning, match="rgb_array"):
        assert env.render() is None
    with pytest.raises(ResetNeeded):
        CountingVectorEnv(2, render_mode="rgb_array").render()
