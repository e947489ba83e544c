"""What GymnasiumVecEnv passes on: seeds, options, pictures, attributes, methods; and how it fails."""

import copy
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, VectorWrapper
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from counting_env import CountingVectorEnv
from counting_env.sb3 import GymnasiumVecEnv
from tests.sb3.vec_envs import assert_equal, dummy

MODES = list(AutoresetMode)


def test_seeding_is_for_one_reset():
    env = GymnasiumVecEnv(CountingVectorEnv(3))
    env.seed(7)
    first = env.reset()
    second = env.reset()
    assert not np.array_equal(first, second)
    env.seed(7)
    np.testing.assert_array_equal(env.reset(), first)


def test_reset_options():
    env = GymnasiumVecEnv(CountingVectorEnv(3))
    env.set_options({"count": 2})
    env.reset()
    assert [info["count"] for info in env.reset_infos] == [2, 2, 2]
    env.set_options([{"count": 2}, {}, {}])
    with pytest.raises(ValueError, match="one dict"):
        env.reset()


@pytest.mark.parametrize("make", ["native", "sync"])
def test_rendering(make):
    """Rendering: images of all sub-environments, and one tiled picture."""
    vector_env = gym.make_vec(
        "CountingEnv-v0",
        num_envs=3,
        vectorization_mode="vector_entry_point" if make == "native" else "sync",
        render_mode="rgb_array",
    )
    env = GymnasiumVecEnv(vector_env)
    theirs = dummy("CountingEnv-v0", 3, render_mode="rgb_array")
    for one in (env, theirs):
        one.seed(0)
        one.reset()
    assert env.render_mode == "rgb_array"
    assert_equal(list(env.get_images()), theirs.get_images())
    np.testing.assert_array_equal(env.render(), theirs.render())


def test_attributes_and_methods_of_sub_environments():
    """env_method, get_attr and set_attr reach sub-environments where there are some."""
    env = GymnasiumVecEnv(gym.make_vec("CartPole-v1", num_envs=3, vectorization_mode="sync"))
    assert env.get_attr("gravity") == [9.8] * 3
    env.set_attr("gravity", 1.0, indices=[1])
    assert env.get_attr("gravity") == [9.8, 1.0, 9.8]
    assert env.get_attr("gravity", indices=1) == [1.0]
    env.set_attr("wind", 3.0)
    assert env.get_attr("wind") == [3.0] * 3
    assert env.env_method("has_wrapper_attr", "gravity", indices=[0, 2]) == [True, True]
    assert env.env_is_wrapped(gym.wrappers.TimeLimit) == [True] * 3
    assert env.env_is_wrapped(gym.wrappers.RecordEpisodeStatistics, indices=0) == [False]
    assert not env.has_attr("weight")


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_attributes_as_over_dummy_vec_env(asynchronous):
    """A missing attribute is missing, a new one can be set in some sub-environments, and all go on stepping."""
    kwargs = {"context": "spawn"} if asynchronous else {}
    vector_env = gym.make_vec(
        "CartPole-v1", num_envs=3, vectorization_mode="async" if asynchronous else "sync", vector_kwargs=kwargs
    )
    ours, theirs = GymnasiumVecEnv(vector_env), dummy("CartPole-v1", 3)
    for env in (ours, theirs):
        env.seed(0)
        env.reset()
        assert not env.has_attr("missing")
        with pytest.raises(AttributeError, match="missing"):
            env.get_attr("missing")
        env.set_attr("wind", 3.0, indices=[0, 2])
        assert env.get_attr("wind", indices=0) == [3.0]
        env.set_attr("wind", 4.0, indices=1)
        assert env.get_attr("wind") == [3.0, 4.0, 3.0]
        assert env.has_attr("reset")
        env.set_attr("wind", [1, 2, 3])
        assert env.get_attr("wind") == [[1, 2, 3]] * 3
    actions = np.zeros(3, int)
    assert_equal(ours.step(actions), theirs.step(actions))
    ours.close()


def test_attributes_and_methods_of_a_native_batch():
    """A native batch has attributes for all at once, also under wrappers."""

    class Wrapped(VectorWrapper):
        def masks(self):
            return np.eye(3, dtype=bool)

    env = GymnasiumVecEnv(Wrapped(CountingVectorEnv(3)))
    assert env.get_attr("max_episode_steps", indices=[0, 2]) == [4, 4]
    env.set_attr("max_episode_steps", 2)
    assert env.get_attr("max_episode_steps") == [2] * 3
    assert_equal(env.env_method("masks"), list(np.eye(3, dtype=bool)))
    with pytest.raises(ValueError, match=r"indices=\[0\]"):
        env.env_method("masks", indices=[0])
    with pytest.raises(ValueError, match="indices=1"):
        env.set_attr("max_episode_steps", 3, indices=1)
    assert env.env_is_wrapped(gym.wrappers.TimeLimit) == [False] * 3


def test_bad_input(monkeypatch):
    with pytest.raises(TypeError, match="make_vec"):
        GymnasiumVecEnv(gym.make("CartPole-v1"))
    nameless = CountingVectorEnv(2)
    monkeypatch.setattr(nameless, "metadata", {})
    with pytest.raises(ValueError, match="autoreset_mode"):
        GymnasiumVecEnv(nameless)
    with pytest.raises(ValueError, match="partial_reset='no'"):
        GymnasiumVecEnv(CountingVectorEnv(2), partial_reset="no")
    with pytest.raises(RuntimeError, match="step_async"):
        GymnasiumVecEnv(CountingVectorEnv(2)).step_wait()


def test_usable_after_bad_actions():
    ours, theirs = (GymnasiumVecEnv(CountingVectorEnv(2)) for _ in range(2))
    for env in (ours, theirs):
        env.seed(0)
        env.reset()
    with pytest.raises(gym.error.InvalidAction):
        ours.step(np.array([0, 2]))
    good = np.array([0, 1])
    assert_equal(copy.deepcopy(ours.step(good)), theirs.step(good))


def _make_single():
    import counting_env

    gym.register_envs(counting_env)  # a spawned process has registered nothing yet
    return gym.make("CountingEnv-v0")


@pytest.mark.slow
def test_subproc_vec_env_without_a_script():
    """Workers of `python -c`, as of a notebook, have nothing to import: the id names the package, as documented."""
    code = """
import multiprocessing
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import SubprocVecEnv
for method in multiprocessing.get_all_start_methods():
    kwargs = {"start_method": method}
    env = make_vec_env("counting_env:CountingEnv-v0", n_envs=2, vec_env_cls=SubprocVecEnv, vec_env_kwargs=kwargs)
    print(env.reset().shape)
    env.close()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.splitlines()) == {"(2, 64, 64, 3)"}


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("start_method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_subproc_vec_env(start_method):
    """The single environment gives the same observations in SubprocVecEnv, forked and spawned, as in one process."""
    envs = SubprocVecEnv([_make_single] * 2, start_method=start_method), DummyVecEnv([_make_single] * 2)
    for env in envs:
        env.seed(0)
    np.testing.assert_array_equal(*(env.reset() for env in envs))
    for action in np.random.default_rng(0).integers(0, 2, (10, 2)):
        np.testing.assert_array_equal(*(env.step(action)[0] for env in envs))
    envs[0].close()
