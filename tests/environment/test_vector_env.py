"""CountingVectorEnv against Gymnasium's SyncVectorEnv over single environments, byte for byte, and its own promises."""

import copy
import pickle
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import InvalidAction
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

import counting_env
from counting_env import CountingEnv, CountingVectorEnv
from tests.environment.comparing import MODES, assert_same, draw_actions, make_sync, play
from tests.environment.option_sets import CHOSEN


@pytest.mark.parametrize("copies", [True, False], ids=["copy", "no-copy"])
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize("options", CHOSEN, ids=str)
def test_equals_sync_vector_env(options, mode, copies):
    """For the same seed it returns byte for byte what SyncVectorEnv returns for single environments."""
    sync = make_sync(5, mode, **options)
    ours = CountingVectorEnv(5, autoreset_mode=mode, copy=copies, **options)
    actions = draw_actions(sync, 25)
    assert_same(play(ours, actions, 7, mode), play(sync, actions, 7, mode))
    assert ours.observation_space == sync.observation_space
    assert ours.action_space == sync.action_space
    assert ours.metadata["autoreset_mode"] == sync.metadata["autoreset_mode"]


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_reset_like_sync(mode):
    """Lists of seeds, start options and partial resets do what SyncVectorEnv does."""
    sync, ours = make_sync(4, mode), CountingVectorEnv(4, autoreset_mode=mode)
    mask = np.array([True, False, True, False])
    start = {"count": 2, "shape": "square", "color": (200, 80, 30)}
    action = np.array([1, 0, 1, 0])
    for seed, options in [
        ([3, 1, 4, 1], None),
        (None, None),
        ([None, 5, None, 9], start),
        (None, {**start, "reset_mask": mask}),
        ([8, 8, 8, 8], {"reset_mask": ~mask}),
        (12, {"reset_mask": mask}),
    ]:
        results = [env.reset(seed=seed, options=copy.copy(options)) for env in (ours, sync)]
        assert_same(*results)
        assert_same(ours.step(action), sync.step(action))


@pytest.mark.parametrize("limit", [1, 3, 10])
def test_time_limit(limit):
    """Truncation exactly at the limit, as TimeLimit around the single environment has it."""
    sync = make_sync(6, AutoresetMode.SAME_STEP, max_episode_steps=limit)
    ours = CountingVectorEnv(6, max_episode_steps=limit, autoreset_mode="SameStep")
    actions = draw_actions(sync, 25)
    assert_same(play(ours, actions), play(sync, actions))


def test_no_time_limit():
    env = CountingVectorEnv(3, max_episode_steps=None, terminate_on_target=False)
    env.reset(seed=0)
    assert not any(env.step(np.ones(3, int))[3].any() for _ in range(50))


@pytest.mark.parametrize("env_id", ["CountingEnv-v0", "CountingEnvContinuous-v0"])
def test_make_vec(env_id):
    """gym.make_vec(..., vectorization_mode="vector_entry_point") works with every option of the single environment."""
    options = {
        "target": 2,
        "max_count": 9,
        "image_size": 40,
        "reward": "dense",
        "placement": "persist",
        "appearance": "object",
        "background": "noise",
        "terminate_on_target": False,
        "least_count": 1,
        "wrap": True,
        "slip": 0.2,
        "render_mode": "rgb_array",
    }
    env = gym.make_vec(env_id, num_envs=3, vectorization_mode="vector_entry_point", max_episode_steps=6, **options)
    sync = gym.make_vec(env_id, num_envs=3, vectorization_mode="sync", max_episode_steps=6, **options)
    assert isinstance(env, CountingVectorEnv)
    assert env.spec.id == env_id
    actions = draw_actions(env, 15)
    assert_same(play(env, actions), play(sync, actions))
    assert_same(env.render(), sync.render())
    env.close()


def test_unseeded_environments_differ():
    env = CountingVectorEnv(8)
    first, _ = env.reset()
    assert len({image.tobytes() for image in first}) > 1
    again, _ = CountingVectorEnv(8).reset()
    assert not np.array_equal(first, again)


def test_copy_returns_arrays_of_its_own():
    """With copy=True nothing that was returned changes afterwards."""
    env = CountingVectorEnv(6, autoreset_mode=AutoresetMode.SAME_STEP, appearance="object")
    env.reset(seed=0)
    actions = draw_actions(env, 30)
    kept = [env.step(action) for action in actions]
    frozen = copy.deepcopy(kept)
    play(env, actions)
    assert_same(kept, frozen)


def test_without_copy_the_arrays_stay_the_same():
    env = CountingVectorEnv(6, copy=False)
    first, _ = env.reset(seed=0)
    second, *_ = env.step(np.ones(6, int))
    assert second is first
    with pytest.raises(ValueError, match="read-only"):
        first[:] = 7


def test_without_copy_infos_are_read_only():
    """Without copies every array of an info is read-only, masks and names too, also after a partial reset."""
    env = CountingVectorEnv(2, copy=False)
    _, info = env.reset(seed=0)
    _, partial = env.reset(options={"reset_mask": np.array([True, False])})
    for array in (*info.values(), *partial.values()):
        assert not array.flags.writeable


def test_an_ignored_action_may_be_anything():
    """An action that is ignored may have any value, as in SyncVectorEnv."""
    for continuous, wrong in ((False, -1), (True, np.nan)):
        env = CountingVectorEnv(2, continuous=continuous, max_episode_steps=1)
        env.reset(seed=0)
        good = draw_actions(env, 1)[0]
        env.step(good)
        env.step(np.full_like(good, wrong))  # both episodes are over
        with pytest.raises(InvalidAction):
            env.step(np.full_like(good, wrong))


def test_any_number_type_is_welcome():
    """As in the single environment: float64 and whole numbers, each with the sign it has."""
    for given in (np.array([[1.0], [-1e-60]]), np.array([[1], [-1]])):
        env, singles = CountingVectorEnv(2, continuous=True), [CountingEnv(continuous=True) for _ in range(2)]
        env.reset(seed=0)
        counts = env.step(given)[4]["count"]
        for i, single in enumerate(singles):
            single.reset(seed=i)
            assert single.step(given[i])[4]["count"] == counts[i]


def test_seeds_of_numpy():
    """Seeds may be NumPy's integers, one or many."""
    expected = CountingVectorEnv(3).reset(seed=[3, 4, 5])
    assert_same(CountingVectorEnv(3).reset(seed=np.int64(3)), expected)
    assert_same(CountingVectorEnv(3).reset(seed=np.arange(3, 6)), expected)


@pytest.mark.parametrize(
    ("mode", "appearance"),
    [
        (AutoresetMode.NEXT_STEP, "object"),
        (AutoresetMode.SAME_STEP, "episode"),
        (AutoresetMode.DISABLED, "object"),
    ],
    ids=str,
)
def test_nothing_grows_with_num_envs(monkeypatch, mode, appearance):
    """Nothing is allocated per step that grows with the number of environments, apart from copy=True's copies."""

    # Gymnasium takes seconds to make the space of so many images, and no step needs it.
    monkeypatch.setattr("counting_env.vector_env.batch_space", lambda space, num_envs: space)

    def peak(num_envs):
        options = {"autoreset_mode": mode, "copy": False, "appearance": appearance}
        env = CountingVectorEnv(num_envs, max_episode_steps=2, image_size=32, max_count=2, target=1, **options)
        env.reset()
        actions = np.random.default_rng(0).integers(0, 2, (3, num_envs))
        mask = np.zeros(num_envs, np.bool_)
        options = {"reset_mask": mask}

        def go():
            for action in actions:
                _, _, terminations, truncations, _ = env.step(action)
                np.logical_or(terminations, truncations, out=mask)
                if mode == AutoresetMode.DISABLED and mask.any():
                    env.reset(options=options)

        go()
        tracemalloc.start()
        go()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        env.close()
        return peak

    # NumPy's casting buffers are bounded by 8,192 elements, so from there on nothing may grow at all.
    assert peak(16_384) < peak(8_192) + 8_192  # less than a byte for each environment


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
@pytest.mark.parametrize("copies", [True, False])
def test_pickling_in_mid_episode(duplicate, mode, copies):
    """A pickled or deep-copied environment continues identically and shares nothing with the first."""
    env = CountingVectorEnv(5, autoreset_mode=mode, copy=copies)
    actions = draw_actions(env, 12)
    play(env, actions[:2], 1, AutoresetMode.DISABLED)
    twin = duplicate(env)

    def go_on(one):
        results = []
        for action in actions:
            results.append(copy.deepcopy(one.step(action)))
            done = results[-1][2] | results[-1][3]
            if mode == AutoresetMode.DISABLED and done.any():
                one.reset(options={"reset_mask": done})
        return results

    first = go_on(env)
    assert_same(go_on(twin), first)
    env.close()
    twin.close()


def test_closing_twice_and_using_a_pickle_of_a_closed_one():
    env = CountingVectorEnv(4)
    env.reset(seed=0)
    env.close()
    env.close()
    pickle.loads(pickle.dumps(env)).reset(seed=0)


def test_two_environments_in_two_threads():
    """Two threads may step two environments at once."""
    actions = draw_actions(CountingVectorEnv(16), 40)
    expected = [play(CountingVectorEnv(16), actions, seed) for seed in (0, 1)]
    barrier = threading.Barrier(2)

    def work(seed):
        barrier.wait()
        return play(CountingVectorEnv(16), actions, seed)

    with ThreadPoolExecutor(2) as pool:
        assert_same(list(pool.map(work, (0, 1))), expected)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_async_vector_env(context):
    """The single environment runs in AsyncVectorEnv's workers, forked and spawned."""
    env = AsyncVectorEnv([_make_single] * 2, context=context)
    sync = SyncVectorEnv([_make_single] * 2)
    actions = draw_actions(sync, 6)
    for ours, theirs in zip(play(env, actions), play(sync, actions), strict=True):
        np.testing.assert_array_equal(ours[0], theirs[0])
    env.close()


def _make_single():

    gym.register_envs(counting_env)  # a spawned process has registered nothing yet
    return gym.make("CountingEnv-v0")
