"""Episodes of CountingEnv: starts, steps, ends, rewards and infos."""

from fractions import Fraction

import gymnasium as gym
import numpy as np
import pytest
from scipy import stats

from counting_env import SHAPES, CountingEnv, count_mdp

IDS = ("CountingEnv-v0", "CountingEnvContinuous-v0")

RENDER_MODES = (None, "rgb_array", "human")


def test_the_keys_and_types_of_info(variant: dict) -> None:
    """info holds count, shape, color, positions, is_success and state, with the documented types and shapes."""
    env = CountingEnv(**variant)
    for _, info in (env.reset(seed=0), (None, env.step(1)[4])):
        assert list(info) == ["count", "shape", "color", "positions", "is_success", "state"]
        assert type(info["count"]) is int
        assert type(info["is_success"]) is bool
        assert type(info["state"]) is int
        assert info["color"].dtype == np.uint8
        assert info["positions"].dtype == np.int64
        assert info["positions"].shape == (8, 2)
        if variant["appearance"] == "episode":
            assert type(info["shape"]) is str
            assert info["color"].shape == (3,)


def test_reset_options_set_the_scene() -> None:
    """reset(options=...) sets count, shape and colour; each may be left out."""
    env = CountingEnv()
    env.reset(seed=0)
    for count in range(9):
        for shape in SHAPES:
            for color in ([200, 80, 30], (0, 0, 30), np.array([255, 255, 255])):
                image, info = env.reset(options={"count": count, "shape": shape, "color": color})
                assert (info["count"], info["shape"], info["color"].tolist()) == (count, shape, list(color))
                assert not info["is_success"]
                colors = {tuple(pixel) for pixel in image.reshape(-1, 3).tolist()}
                assert colors == ({(0, 0, 0), tuple(map(int, color))} if count else {(0, 0, 0)})
    assert env.reset(options={"count": 5})[1]["count"] == 5
    assert env.reset(options={"shape": "stroke"})[1]["shape"] == "stroke"
    assert env.reset(options={"color": (1, 2, 99)})[1]["color"].tolist() == [1, 2, 99]
    assert {env.reset(options={})[1]["count"] for _ in range(200)} == set(range(9))  # nothing stays set


def test_reset_options_hold_for_all_objects_of_the_start() -> None:
    """With `appearance="object"` they set every look at the start; an added object draws its own."""
    env = CountingEnv(appearance="object")
    _, info = env.reset(seed=0, options={"count": 6, "shape": "circle", "color": (9, 8, 70)})
    assert (info["shape"][:6] == "circle").all()
    assert (info["color"][:6] == (9, 8, 70)).all()
    *_, info = env.step(1)
    assert info["color"][6].min() >= 30


def test_starts_are_uniform() -> None:
    """Start counts are uniform on 0..8, shapes on four, colour channels on 30..225, centres on 3..60."""
    env = CountingEnv()
    env.reset(seed=0)
    infos = [env.reset()[1] for _ in range(20_000)]
    table = np.zeros((9, 4))
    for info in infos:
        table[info["count"], SHAPES.index(info["shape"])] += 1
    assert stats.chisquare(table.ravel()).pvalue > 0.001  # count and shape, independently
    colors = np.array([info["color"] for info in infos])
    for channel in colors.T:
        assert (channel.min(), channel.max()) == (30, 225)
        assert stats.chisquare(np.bincount(channel, minlength=226)[30:]).pvalue > 0.001
    first = np.array([info["positions"][0] for info in infos if info["count"] == 1])
    for axis in first.T:
        assert (axis.min(), axis.max()) == (3, 60)
        assert stats.chisquare(np.bincount(axis, minlength=61)[3:]).pvalue > 0.001


@pytest.mark.parametrize("target", [0, 4, 8])
def test_a_start_on_the_target_does_not_end_the_episode(target: int) -> None:
    """Starts may be at the target, and do not end the episode there."""
    env = CountingEnv(target=target)
    _, info = env.reset(seed=0, options={"count": target})
    assert not info["is_success"]
    away, back = (0, 1) if target else (1, 0)
    _, reward, terminated, _, info = env.step(away)
    assert (reward, terminated, info["is_success"]) == (0.0, False, False)
    _, reward, terminated, _, info = env.step(back)
    assert (reward, terminated, info["is_success"]) == (1.0, True, True)


def test_staying_on_the_target_at_an_end_is_an_arrival() -> None:
    """The reward is `1{count = target}` of the count arrived at, also where it is clipped."""
    env = CountingEnv(target=8)
    env.reset(seed=0, options={"count": 8})
    _, reward, terminated, _, info = env.step(1)
    assert (reward, terminated, info["count"], info["is_success"]) == (1.0, True, 8, True)


# Steps and end


@pytest.mark.parametrize("name", IDS)
def test_the_time_limit_cuts_off_exactly_at_step_four(name: str) -> None:
    """The episode is truncated after exactly four steps."""
    env = gym.make(name)
    env.reset(seed=0, options={"count": 0})
    remove = 0 if name == IDS[0] else np.array([-1.0], np.float32)
    ends = [env.step(remove)[1:4] for _ in range(4)]
    assert ends == [(0.0, False, False)] * 3 + [(0.0, False, True)]
    assert gym.make(name, max_episode_steps=9).spec.max_episode_steps == 9


def test_the_dynamics_are_count_mdp() -> None:
    """At every count, the environment's transitions and rewards are those of count_mdp."""
    for options in ({}, {"max_count": 12, "target": 1}, {"max_count": 3, "target": 3, "image_size": 32}):
        successors, values = count_mdp(options.get("max_count", 8), options.get("target", 4))
        env = CountingEnv(**options)
        env.reset(seed=0)
        for count, action in np.ndindex(successors.shape):
            env.reset(options={"count": int(count)})
            _, reward, terminated, truncated, info = env.step(int(action))
            assert info["count"] == successors[count, action]
            assert reward == values[info["count"]]
            assert terminated == info["is_success"] == bool(reward)
            assert not truncated
            assert type(reward) is float
            assert type(terminated) is bool


def test_dense_reward_on_the_way() -> None:
    """The dense reward at each count on the way is minus the scaled distance to the target."""
    env = CountingEnv(reward="dense", terminate_on_target=False)
    env.reset(seed=0, options={"count": 0})
    rewards = [env.step(action)[1] for action in (0, 1, 1, 1, 1, 1, 1, 1, 1, 1)]
    assert rewards == [-1.0, -0.75, -0.5, -0.25, 1.0, -0.25, -0.5, -0.75, -1.0, -1.0]


def test_without_termination_the_episode_goes_on() -> None:
    """With terminate_on_target=False arriving gives the reward, and only the time limit ends the episode."""
    env = gym.make("CountingEnv-v0", terminate_on_target=False)
    env.reset(seed=0, options={"count": 3})
    outcomes = [env.step(action) for action in (1, 0, 1, 1)]
    assert [outcome[1] for outcome in outcomes] == [1.0, 0.0, 1.0, 0.0]
    assert [outcome[2] for outcome in outcomes] == [False] * 4
    assert [outcome[3] for outcome in outcomes] == [False, False, False, True]
    assert [outcome[4]["is_success"] for outcome in outcomes] == [True, False, True, False]


@pytest.mark.parametrize(("target", "max_count", "image_size"), [(0, 1, 32), (3, 5, 32), (20, 30, 64), (9, 9, 256)])
def test_other_sizes(target: int, max_count: int, image_size: int) -> None:
    """Other image sizes, largest counts and targets work in the same way."""
    env = gym.make(
        "CountingEnv-v0", target=target, max_count=max_count, image_size=image_size, max_episode_steps=max_count + 1
    )
    assert env.observation_space.shape == (image_size, image_size, 3)
    starts = set()
    for seed in range(40 * max_count):
        image, info = env.reset(seed=seed)
        assert image in env.observation_space
        assert info["positions"].shape == (max_count, 2)
        starts.add(info["count"])
        if seed % 40 == 0:
            ended = False
            while not ended:
                image, reward, ended, truncated, info = env.step(int(info["count"] < target))
                assert not truncated
                assert (reward == 1) == ended == (info["count"] == target)
    assert starts == set(range(max_count + 1))


def test_a_perfect_policy_always_succeeds() -> None:
    """A perfect policy always succeeds within the four steps."""
    env = gym.make("CountingEnv-v0")
    _, info = env.reset(seed=0)
    for _ in range(500):
        terminated = truncated = False
        while not (terminated or truncated):
            _, _, terminated, truncated, info = env.step(int(info["count"] < 4))
        assert info["is_success"]
        _, info = env.reset()


def test_a_random_policy_succeeds_as_often_as_computed() -> None:
    """A uniformly random policy succeeds in exactly 1/3 of the episodes, by dynamic programming."""
    successors, values = count_mdp()
    chance = [Fraction(0)] * 9  # of succeeding within the steps left, by count
    for _ in range(4):
        chance = [
            sum((Fraction(1, 2) * (1 if values[after] else chance[after]) for after in successors[count]), Fraction(0))
            for count in range(9)
        ]
    exact = sum(chance) / 9
    assert exact == Fraction(1, 3)

    env = gym.make("CountingEnv-v0")
    env.reset(seed=0)
    actions = np.random.default_rng(0)
    episodes, successes = 6000, 0
    for _ in range(episodes):
        env.reset()
        terminated = truncated = False
        while not (terminated or truncated):
            _, _, terminated, truncated, info = env.step(int(actions.integers(2)))
        successes += info["is_success"]
    assert stats.binomtest(successes, episodes, float(exact)).pvalue > 0.001


# Many at once
