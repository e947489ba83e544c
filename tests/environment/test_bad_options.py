"""Bad options, reset options and actions: each raises an error that names it, and leaves the environment usable."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import InvalidAction, ResetNeeded

from counting_env import CountingEnv

ARRAY = np.array(["sparse", "dense"])


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"target": 9}, ["target=9", "0..8"]),
        ({"target": -1}, ["target=-1", "0..8"]),
        ({"target": ()}, ["target=()", "at least one"]),
        ({"target": {}}, ["target={}", "at least one"]),
        ({"target": (3, 9)}, ["target=(3, 9)", "0..8"]),
        ({"target": (3, 4.0)}, ["target=(3, 4.0)", "integer"]),
        ({"target": None}, ["target=None", "integer"]),
        ({"target": "4"}, ["target='4'", "integer"]),
        ({"target": {"hexagon": 4}}, ["target={'hexagon': 4}", "'hexagon'", "circle, square, triangle, stroke"]),
        ({"target": {"circle": 9}}, ["target={'circle': 9}", "0..8"]),
        ({"target": {"circle": 0}, "least_count": 1}, ["target={'circle': 0}", "1..8"]),
        ({"target": {"circle": 4}, "appearance": "object"}, ["target={'circle': 4}", "appearance='episode'"]),
        ({"target": 1, "least_count": 2}, ["target=1", "2..8"]),
        ({"least_count": 9}, ["least_count=9", "max_count=8"]),
        ({"least_count": -1}, ["least_count=-1", "at least 0"]),
        ({"least_count": 1.0}, ["least_count=1.0", "integer"]),
        ({"wrap": "False"}, ["wrap='False'", "True", "False"]),
        ({"wrap": True, "least_count": 8, "target": 8}, ["wrap=True", "least_count=8", "max_count=8"]),
        ({"slip": -0.1}, ["slip=-0.1", "[0, 1]"]),
        ({"slip": 1.5}, ["slip=1.5", "[0, 1]"]),
        ({"slip": float("nan")}, ["slip=nan", "[0, 1]"]),
        ({"slip": True}, ["slip=True", "[0, 1]"]),
        ({"slip": "0.1"}, ["slip='0.1'", "[0, 1]"]),
        ({"target": 4.0}, ["target=4.0", "integer"]),
        ({"target": True}, ["target=True", "integer"]),
        ({"target": 3, "max_count": 2}, ["target=3", "0..2"]),
        ({"max_count": 0}, ["max_count=0", "at least 1"]),
        ({"max_count": 65}, ["max_count=65", "image_size=64", "at most 64"]),
        ({"max_count": 17, "image_size": 32}, ["max_count=17", "image_size=32", "at most 16"]),
        ({"max_count": "8"}, ["max_count='8'", "integer"]),
        ({"image_size": 31}, ["image_size=31", "32..256"]),
        ({"image_size": 257}, ["image_size=257", "32..256"]),
        ({"image_size": 64.0}, ["image_size=64.0", "integer"]),
        ({"image_size": (64, 64)}, ["image_size=(64, 64)", "integer"]),
        ({"continuous": 1}, ["continuous=1", "True", "False"]),
        ({"terminate_on_target": None}, ["terminate_on_target=None", "True", "False"]),
        ({"reward": "Dense"}, ["reward='Dense'", "sparse", "dense"]),
        ({"reward": None}, ["reward=None", "sparse", "dense"]),
        ({"reward": ARRAY}, [f"reward={ARRAY!r}", "sparse", "dense"]),
        ({"placement": "random"}, ["placement='random'", "resample", "persist"]),
        ({"appearance": "step"}, ["appearance='step'", "episode", "object"]),
        ({"background": 0}, ["background=0", "black", "noise", "clutter", "drift"]),
        ({"render_mode": "ansi"}, ["render_mode='ansi'", "human", "rgb_array", "None"]),
    ],
    ids=str,
)
def test_an_option_out_of_range(options: dict[str, Any], parts: list[str]) -> None:
    """An option out of range raises at once; the message names the option, its value and what would be right."""
    with pytest.raises(ValueError, match="=") as error:
        CountingEnv(**options)
    for part in parts:
        assert part in str(error.value)


def test_a_count_below_the_least_is_no_start() -> None:
    """The reset option count has the range of the counts."""
    with pytest.raises(ValueError, match=r"count=1 is not an integer in least_count\.\.max_count, here 2\.\.8"):
        CountingEnv(least_count=2).reset(options={"count": 1})


def test_gym_make_passes_the_error_on() -> None:
    """The same message through `gym.make`."""
    with pytest.raises(ValueError, match="target=9"):
        gym.make("CountingEnv-v0", target=9)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"count": 9}, ["count=9", "0..8"]),
        ({"count": -1}, ["count=-1", "0..8"]),
        ({"count": 2.0}, ["count=2.0", "integer"]),
        ({"count": True}, ["count=True", "integer"]),
        ({"shape": "hexagon"}, ["shape='hexagon'", "circle, square, triangle, stroke"]),
        ({"shape": 0}, ["shape=0", "circle"]),
        ({"shape": ARRAY}, [f"shape={ARRAY!r}", "circle"]),
        ({"color": (300, 0, 0)}, ["color=(300, 0, 0)", "0..255"]),
        ({"color": (-1, 90, 90)}, ["color=(-1, 90, 90)", "0..255"]),
        ({"color": (0, 0, 29)}, ["color=(0, 0, 29)", "at least 30"]),
        ({"color": (0.5, 0.5, 0.5)}, ["color=(0.5, 0.5, 0.5)", "integers"]),
        ({"color": (90, 90)}, ["color=(90, 90)", "three"]),
        ({"color": [[90], [90, 90], 1]}, ["color=[[90], [90, 90], 1]", "three"]),
        ({"color": "red"}, ["color='red'", "three integers"]),
        ({"size": 3}, ["size=3", "count, shape, color"]),
        ({"count": 3, 7: 3}, ["7=3", "count, shape, color"]),
    ],
    ids=str,
)
def test_a_reset_option_out_of_range(options: dict[Any, Any], parts: list[str], rollout) -> None:
    """A wrong reset option is named with its value, and the running episode is unharmed."""
    env, twin = CountingEnv(), CountingEnv()
    for each in (env, twin):
        each.reset(seed=0, options={"count": 8})
    with pytest.raises(ValueError, match="reset option") as error:
        env.reset(seed=99, options=options)
    for part in parts:
        assert part in str(error.value)
    assert rollout(env, 20) == rollout(twin, 20)


@pytest.mark.parametrize("action", [2, -1, 0.5, None, "add", np.int64(7), np.uint8(255), np.array([1]), np.array(3)])
def test_a_discrete_action_outside_the_space(action: Any, rollout) -> None:
    """A discrete action outside the space is named with the space, and the episode is unharmed."""
    assert_refused(CountingEnv(), CountingEnv(), action, "Discrete(2)", rollout)


@pytest.mark.parametrize(
    "action", [1, None, "add", np.float32([1.01]), np.float32([np.nan]), np.float32([0, 0]), np.float64([1.5])]
)
def test_a_continuous_action_outside_the_space(action: Any, rollout) -> None:
    """The same for `continuous=True`."""
    env, twin = CountingEnv(continuous=True), CountingEnv(continuous=True)
    assert_refused(env, twin, action, "Box(-1.0, 1.0, (1,), float32)", rollout)


def assert_refused(env: CountingEnv, twin: CountingEnv, action: Any, space: str, rollout) -> None:
    for each in (env, twin):
        each.reset(seed=0, options={"count": 8})
    with pytest.raises(InvalidAction) as error:
        env.step(action)
    assert f"action={action!r}" in str(error.value)
    assert space in str(error.value)
    assert rollout(env, 20) == rollout(twin, 20)


@pytest.mark.parametrize("action", [0, 1, True, np.int64(1), np.uint8(0), np.array(1)])
def test_every_integer_of_the_space_is_an_action(action: Any) -> None:
    """What `Discrete(2)` contains is accepted, whatever its type."""
    env = CountingEnv()
    assert env.action_space.contains(action)
    env.reset(seed=0, options={"count": 7})
    assert env.step(action)[4]["count"] == (8 if action else 6)


def test_a_step_or_render_before_reset() -> None:
    """A step or a picture before the first reset raises an error that says what to call; afterwards reset works."""
    env = CountingEnv(render_mode="rgb_array")
    with pytest.raises(ResetNeeded, match=r"call reset\(\) first"):
        env.step(0)
    with pytest.raises(ResetNeeded, match=r"call reset\(\) first"):
        env.render()
    env.reset(seed=0)
    env.step(0)


def test_a_step_after_termination() -> None:
    """A step after termination is an error; the last picture can still be rendered."""
    env = CountingEnv(render_mode="rgb_array")
    env.reset(seed=0, options={"count": 3})
    env.step(1)
    with pytest.raises(ResetNeeded, match=r"call reset\(\) first"):
        env.step(1)
    assert env.render().any()
    env.reset()
    env.step(0)


def test_rendering_without_a_mode_warns() -> None:
    """`render()` without a render mode does nothing and says how to choose one."""
    env = CountingEnv()
    env.reset(seed=0)
    with pytest.warns(UserWarning, match="render_mode="):
        assert env.render() is None
