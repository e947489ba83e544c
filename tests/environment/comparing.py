"""Playing vector environments, and comparing to the byte what they returned."""

import copy

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

MODES = list(AutoresetMode)


def make_sync(num_envs, mode, max_episode_steps=4, **options):
    def make():
        return gym.make("CountingEnv-v0", max_episode_steps=max_episode_steps, **options)

    return SyncVectorEnv([make] * num_envs, autoreset_mode=mode)


def assert_same(ours, theirs, path="result"):
    """Assert that two nested results hold the same types, dtypes and bytes."""
    assert type(ours) is type(theirs), path
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys(), path
        for key in ours:
            assert_same(ours[key], theirs[key], f"{path}[{key!r}]")
    elif isinstance(ours, tuple | list):
        assert len(ours) == len(theirs), path
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            assert_same(a, b, f"{path}[{i}]")
    elif isinstance(ours, np.ndarray):
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape), path
        if ours.dtype == object:
            for i, (a, b) in enumerate(zip(ours.flat, theirs.flat, strict=True)):
                assert_same(a, b, f"{path}[{i}]")
        else:
            np.testing.assert_array_equal(ours, theirs, err_msg=path)
    else:
        assert ours == theirs, path


def play(env, actions, seed=0, mode=AutoresetMode.NEXT_STEP):
    """Return all that an environment returns for a seed and a list of actions, as deep copies."""
    results = [copy.deepcopy(env.reset(seed=seed))]
    for action in actions:
        result = copy.deepcopy(env.step(action))
        results.append(result)
        done = result[2] | result[3]
        if mode == AutoresetMode.DISABLED and done.any():
            results.append(copy.deepcopy(env.reset(options={"reset_mask": done})))
    return results


def draw_actions(env, steps, seed=1):
    env.action_space.seed(seed)
    return [env.action_space.sample() for _ in range(steps)]
