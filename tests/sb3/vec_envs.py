"""Playing Stable-Baselines3's vector environments, and comparing what they returned."""

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.vec_env import DummyVecEnv

MODES = list(AutoresetMode)


def assert_equal(ours, theirs, path="result"):
    """Assert that two nested results are equal; numbers may be Python's or NumPy's."""
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys(), path
        for key in ours:
            assert_equal(ours[key], theirs[key], f"{path}[{key!r}]")
    elif isinstance(ours, tuple | list):
        assert len(ours) == len(theirs), path
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            assert_equal(a, b, f"{path}[{i}]")
    else:
        a, b = np.asarray(ours), np.asarray(theirs)
        assert a.shape == b.shape, path
        assert a.dtype == b.dtype, path
        np.testing.assert_array_equal(a, b, err_msg=path)


def assert_steps_equal(ours, theirs, steps, seed=3):
    """Drive two VecEnvs with the same actions and compare all they return, and their reset infos."""
    assert ours.seed(seed) == theirs.seed(seed)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    kept = [(ours.reset(), theirs.reset())]
    assert_equal(ours.reset_infos, theirs.reset_infos)
    rng = np.random.default_rng(0)
    dones = 0
    for _ in range(steps):
        if isinstance(ours.action_space, gym.spaces.Discrete):
            actions = rng.integers(0, 2, ours.num_envs)
        else:
            actions = rng.uniform(-1, 1, (ours.num_envs, 1)).astype(np.float32)
        kept.append((ours.step(actions), theirs.step(actions)))
        assert_equal(ours.reset_infos, theirs.reset_infos)
        dones += kept[-1][1][2].sum()
    assert dones > ours.num_envs
    for a, b in kept:  # only now: nothing that was returned may have been overwritten since
        assert_equal(a, b)


def dummy(env_id, num_envs, **options):
    return DummyVecEnv([lambda: gym.make(env_id, **options)] * num_envs)
