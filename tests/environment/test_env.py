"""CountingEnv as an agent meets it: ids, spaces, seeds, starts, ends, rewards, infos."""

import copy
import hashlib
import pickle
from fractions import Fraction

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from scipy import stats

import counting_env
from counting_env import SHAPES, CountingEnv, count_mdp

IDS = ("CountingEnv-v0", "CountingEnvContinuous-v0")

RENDER_MODES = (None, "rgb_array", "human")


# Ids, spaces, checkers


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


# Start


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
