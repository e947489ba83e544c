"""CountingEnv as a Gymnasium environment: ids, spaces, seeds, copies, and many at once."""

import copy
import hashlib
import pickle

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env

import counting_env
from counting_env import SHAPES, CountingEnv, count_mdp

IDS = ("CountingEnv-v0", "CountingEnvContinuous-v0")

RENDER_MODES = (None, "rgb_array", "human")


def test_both_ids_are_registered_with_their_time_limit() -> None:
    """Both ids are registered with max_episode_steps=4."""
    for name in IDS:
        spec = gym.spec(name)
        assert spec.max_episode_steps == 4
        assert isinstance(gym.make(name).unwrapped, CountingEnv)


def test_the_hard_variant() -> None:
    """In the hard variant a perfect policy always succeeds, and a random one in 19% of the episodes."""
    env = gym.make("CountingEnvHard-v0")
    assert env.spec is not None
    assert env.spec.max_episode_steps == 16
    for count in range(33):
        _, info = env.reset(seed=count, options={"count": count})
        over = False
        while not over:
            _, _, terminated, truncated, info = env.step(int(info["count"] < 16))
            over = terminated or truncated
        assert info["is_success"]
    # of all random walks from everywhere, exactly: the chance to arrive within 16 steps
    at = np.eye(33)
    arrived = np.zeros(33)
    moves = sum(np.eye(33)[successors] for successors in count_mdp(32, 16)[0].T) / 2
    for _ in range(16):
        at = at @ moves
        arrived += at[:, 16]
        at[:, 16] = 0
    assert arrived.mean() == pytest.approx(0.190, abs=0.001)


def test_spaces() -> None:
    """Observations are Box(0, 255, (64, 64, 3), uint8); actions Discrete(2) or Box(-1, 1, (1,), float32)."""
    discrete, continuous = (gym.make(name) for name in IDS)
    for env in (discrete, continuous):
        assert env.observation_space == spaces.Box(0, 255, (64, 64, 3), np.uint8)
    assert discrete.action_space == spaces.Discrete(2)
    assert continuous.action_space == spaces.Box(-1.0, 1.0, (1,), np.float32)
    assert gym.make("CountingEnv-v0", continuous=True).action_space == continuous.action_space


@pytest.mark.parametrize("render_mode", RENDER_MODES)
@pytest.mark.parametrize("name", IDS)
def test_gymnasium_check_env(screen, name: str, render_mode: str | None) -> None:
    """Gymnasium's check_env, rendering included, passes without a warning."""
    env = gym.make(name, render_mode=render_mode)
    check_env(env.unwrapped)
    env.close()


@pytest.mark.parametrize("render_mode", RENDER_MODES)
@pytest.mark.parametrize("name", IDS)
def test_stable_baselines3_check_env(screen, name: str, render_mode: str | None) -> None:
    """Stable-Baselines3's check_env passes without a warning."""
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    env = gym.make(name, render_mode=render_mode)
    checker.check_env(env, warn=True, skip_render_check=False)
    env.close()


def test_check_env_passes_for_every_variant(screen, variant: dict) -> None:
    """The same for every way to draw a scene."""
    env = gym.make("CountingEnv-v0", **variant)
    check_env(env.unwrapped)


# Seeds


@pytest.mark.parametrize("name", IDS)
def test_the_same_seed_gives_the_same_bytes(name: str, variant: dict, rollout) -> None:
    """Two environments with the same seed give byte-identical trajectories."""
    one, other = (gym.make(name, **variant) for _ in range(2))
    first = rollout(one, 60, seed=7)
    assert rollout(other, 60, seed=7) == first
    assert rollout(other, 60, seed=7) == first  # reseeding starts over
    assert rollout(other, 60, seed=8) != first


@pytest.mark.parametrize(
    ("options", "digest"),
    [
        ({}, "a4ca90c04bc0488e"),
        ({"reward": "dense", "terminate_on_target": False}, "5a6d1131466ee98f"),
        ({"placement": "persist", "appearance": "object"}, "7af5105ef1d6ba99"),
        ({"background": "noise", "image_size": 35}, "bae5a8b0424eaf84"),
        ({"max_count": 64, "target": 60}, "30e1bc35e1ef676a"),
    ],
    ids=str,
)
def test_seeds_keep_their_episodes(options: dict, digest: str) -> None:
    """Images, places, colours and rewards of a seed are the bytes that the first version of the package gave."""
    env = CountingEnv(**options)
    said, actions = hashlib.sha256(), np.random.default_rng(0)
    for seed in range(5):
        image, info = env.reset(seed=seed)
        said.update(image.tobytes() + info["positions"].tobytes() + info["color"].tobytes())
        ended = False
        while not ended:
            image, reward, ended, _, info = env.step(int(actions.integers(2)))
            said.update(np.float64(reward).tobytes())
            said.update(image.tobytes() + info["positions"].tobytes() + info["color"].tobytes())
            ended = ended or actions.random() < 0.1
    assert said.hexdigest().startswith(digest)


def test_continuous_actions_lead_through_the_same_scenes(rollout) -> None:
    """Continuous actions lead through the same scenes as discrete ones: only the action space differs."""
    assert rollout(gym.make(IDS[0]), 60, seed=3) == rollout(gym.make(IDS[1]), 60, seed=3)


@pytest.mark.parametrize(("number", "count"), [(-1.0, 2), (-1e-6, 2), (0.0, 4), (1e-6, 4), (1.0, 4)])
def test_the_sign_of_a_continuous_action_decides(number: float, count: int) -> None:
    """A negative number removes, any other adds."""
    env = CountingEnv(continuous=True)
    env.reset(seed=0, options={"count": 3})
    assert env.step(np.array([number], np.float32))[4]["count"] == count


def test_the_global_random_state_plays_no_part(rollout) -> None:
    """The environment neither reads nor changes NumPy's global random state."""
    np.random.seed(0)  # noqa: NPY002
    state = np.random.get_state()[1].tobytes()  # noqa: NPY002
    first = rollout(CountingEnv(), 40, seed=1)
    assert np.random.get_state()[1].tobytes() == state  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    assert rollout(CountingEnv(), 40, seed=1) == first


def test_episodes_differ_without_a_seed() -> None:
    """An unseeded environment is random, and a reset without a seed goes on with the stream."""
    images = [CountingEnv().reset(options={"count": 8})[0].tobytes() for _ in range(5)]
    env = CountingEnv()
    env.reset(seed=0)
    images += [env.reset(options={"count": 8})[0].tobytes() for _ in range(5)]
    assert len(set(images)) == 10


@pytest.mark.parametrize("name", IDS)
def test_a_pickled_environment_continues_identically(name: str, variant: dict, rollout) -> None:
    """An environment pickled or deep-copied in mid-episode continues identically."""
    env = gym.make(name, **variant)
    env.reset(seed=5, options={"count": 8})
    env.step(env.action_space.sample())
    twins = [pickle.loads(pickle.dumps(env)), copy.deepcopy(env)]
    expected = rollout(env, 40, action_seed=2)
    for twin in twins:
        assert rollout(twin, 40, action_seed=2) == expected


def test_an_environment_with_an_open_window_can_be_pickled(screen, rollout) -> None:
    """The same in render mode "human": the copy opens a window of its own when it needs one."""
    env = gym.make("CountingEnv-v0", render_mode="human")
    env.reset(seed=5, options={"count": 8})
    env.step(0)
    twin = pickle.loads(pickle.dumps(env))
    assert rollout(twin, 10) == rollout(env, 10)
    env.close()  # with the only window that pygame has
    twin.reset()
    twin.close()


def test_returned_arrays_are_the_callers_own() -> None:
    """Writing into an observation or an info changes nothing in the environment."""
    env, twin = CountingEnv(render_mode="rgb_array"), CountingEnv(render_mode="rgb_array")
    for each in (env, twin):
        each.reset(seed=0, options={"count": 8})
    image, _, _, _, info = env.step(0)
    image[:] = 7
    info["color"][:] = 7
    info["positions"][:] = 7
    twin.step(0)
    np.testing.assert_array_equal(env.render(), twin.render())
    ours, theirs = env.step(0), twin.step(0)
    np.testing.assert_array_equal(ours[0], theirs[0])
    np.testing.assert_array_equal(ours[4]["color"], theirs[4]["color"])


@pytest.mark.parametrize("appearance", ["episode", "object"])
def test_infos_have_fixed_shapes_in_a_vector(appearance: str) -> None:
    """Gymnasium's SyncVectorEnv stacks every info into one array: their shapes never change."""
    envs = gym.make_vec("CountingEnv-v0", num_envs=3, vectorization_mode="sync", appearance=appearance, target=0)
    _, info = envs.reset(seed=[0, 1, 2])
    singles = [CountingEnv(appearance=appearance, target=0) for _ in range(3)]
    expected = [env.reset(seed=seed)[1] for seed, env in enumerate(singles)]
    for _ in range(3):
        assert info["count"].tolist() == [each["count"] for each in expected]
        for key in ("color", "positions"):
            np.testing.assert_array_equal(info[key], np.stack([each[key] for each in expected]))
        assert np.array_equal(np.stack(info["shape"]), np.stack([each["shape"] for each in expected]))
        info = envs.step(np.ones(3, np.int64))[4]
        expected = [env.step(1)[4] for env in singles]
    envs.close()


def test_public_names() -> None:
    """The package exports CountingEnv, CountingVectorEnv, count_mdp and SHAPES."""
    assert {"CountingEnv", "count_mdp", "SHAPES"} <= set(counting_env.__all__)
    assert SHAPES == ("circle", "square", "triangle", "stroke")
