"""CountingEnv and CountingVectorEnv against their twin in plain Python, which shares no code with them."""

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from hypothesis import given
from hypothesis import strategies as st

from counting_env import CountingEnv, CountingVectorEnv
from tests.environment.comparing import MODES
from tests.environment.option_sets import CHOSEN, option_sets, searched, seeds
from tests.environment.twin import Twin

STARTS = [None, {"count": 1}, {"shape": "stroke"}, {"count": 1, "shape": "triangle", "color": (7, 40, 255)}]
FULL = [
    {"max_count": 16, "image_size": 32, "target": 3, "placement": "persist", "appearance": "object", "wrap": True},
    {"max_count": 25, "image_size": 43, "target": 24, "least_count": 20, "background": "noise"},
    {"target": {"circle": 3, "stroke": (1, 2)}, "least_count": 1, "max_count": 5, "reward": "dense", "wrap": True},
    {"target": {"square": 1}, "least_count": 1, "max_count": 3, "slip": 0.5, "background": "clutter"},
    {"target": (2, 7), "reward": "dense", "wrap": True, "background": "drift", "placement": "persist"},
    {"target": 5, "least_count": 3, "max_count": 6, "terminate_on_target": False, "max_episode_steps": 3},
    {"least_count": 2, "max_count": 2, "target": 2, "terminate_on_target": False},
]


def assert_said(image, info, expected_image, expected_info):
    """Assert that an observation and its info are the twin's, to the last pixel."""
    np.testing.assert_array_equal(image, expected_image)
    assert info["positions"].tolist() == expected_info["positions"]
    assert info["color"].tolist() == expected_info["color"]
    shape = info["shape"]
    assert (shape.tolist() if isinstance(shape, np.ndarray) else shape) == expected_info["shape"]
    for key in ("count", "is_success", "state"):
        assert info[key] == expected_info[key], key


def row(info, i):
    return {key: value[i] for key, value in info.items() if not key.startswith("_")}


@pytest.mark.parametrize("options", [*CHOSEN, *FULL], ids=str)
def test_the_single_environment_is_its_twin(options):
    """Starts and steps of ten episodes: counts, rewards, ends, infos and every pixel."""
    options = {key: value for key, value in options.items() if key not in ("continuous", "max_episode_steps")}
    env, twin = CountingEnv(**options), Twin(**options)
    twin.seed(np.random.default_rng(3))
    actions = np.random.default_rng(0)
    least = options.get("least_count", 0)
    for episode in range(10):
        start = STARTS[episode % len(STARTS)]
        if start and "count" in start:
            start = start | {"count": max(start["count"], least)}
        image, info = env.reset(seed=None if episode else 3, options=start)
        assert_said(image, info, *twin.reset(**start or {}))
        for _ in range(5):
            action = int(actions.integers(2))
            image, reward, terminated, truncated, info = env.step(action)
            expected = twin.step(action)
            assert (reward, terminated, truncated) == (*expected[1:3], False)
            assert_said(image, info, expected[0], expected[4])
            if terminated:
                break


def play_beside_twins(options, mode, seed, num_envs=3, steps=9, copy=True):
    """Play a vector environment and a twin for each of its environments, and compare all that they say."""
    continuous = options.get("continuous", False)
    limit = options.get("max_episode_steps", 4)
    env = CountingVectorEnv(num_envs, autoreset_mode=mode, copy=copy, **options)
    twins = [Twin(**{key: value for key, value in options.items() if key != "continuous"}) for _ in range(num_envs)]
    observations, info = env.reset(seed=seed)
    for i, twin in enumerate(twins):
        twin.seed(np.random.default_rng(seed + i))
        assert_said(observations[i], row(info, i), *twin.reset())
    over = np.zeros(num_envs, bool)
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        directions = rng.integers(0, 2, num_envs)
        actions = (rng.uniform(0.01, 1, num_envs) * (2 * directions - 1)).astype(np.float32)[:, None]
        observations, rewards, terminations, truncations, info = env.step(actions if continuous else directions)
        before, over = over, terminations | truncations
        for i, twin in enumerate(twins):
            if before[i] and mode == AutoresetMode.NEXT_STEP:
                assert (rewards[i], terminations[i], truncations[i]) == (0, False, False)
                assert_said(observations[i], row(info, i), *twin.reset())
                continue
            image, reward, terminated, truncated, expected = twin.step(directions[i])
            assert (rewards[i], terminations[i], truncations[i]) == (reward, terminated, truncated)
            assert truncated == (twin.steps == limit)
            if over[i] and mode == AutoresetMode.SAME_STEP:
                assert_said(info["final_obs"][i], row(info["final_info"], i), image, expected)
                image, expected = twin.reset()
            assert_said(observations[i], {key: info[key][i] for key in expected}, image, expected)
        if mode == AutoresetMode.SAME_STEP and over.any():
            assert info["_final_obs"].tolist() == info["_final_info"].tolist() == over.tolist()
            assert [image is None for image in info["final_obs"]] == (~over).tolist()
        else:
            assert "final_obs" not in info
        if mode == AutoresetMode.DISABLED and over.any():
            observations, info = env.reset(options={"reset_mask": over.copy()})
            for i in np.flatnonzero(over).tolist():
                assert_said(observations[i], row(info, i), *twins[i].reset())
            assert info["_count"].tolist() == over.tolist()


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize("options", [*CHOSEN, *FULL], ids=str)
def test_the_vector_environment_is_a_row_of_twins(options, mode):
    """In each autoreset mode, each of its environments does what a twin with the same seed does."""
    play_beside_twins(options, mode, seed=7)


@searched
@given(options=option_sets(), seed=seeds, mode=st.sampled_from(MODES), copy=st.booleans())
def test_any_options(options, seed, mode, copy):
    """Options, seeds and actions searched by hypothesis."""
    play_beside_twins(options, mode, seed, num_envs=2, steps=5, copy=copy)
