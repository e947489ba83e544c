"""GymnasiumVecEnv of vector environments of every convention, held against their own journal."""

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from jepa_extractor.sb3.vec_env import GymnasiumVecEnv
from tests.data.journal import JournalEnv

SAME = AutoresetMode.SAME_STEP
FULL = ("final_info", "final_obs", "masks")


def collect(envs, steps=30):
    """Return what an algorithm stores: by environment and episode, actions, rewards and whether it terminated."""
    adapter, rng = GymnasiumVecEnv(envs), np.random.default_rng(0)
    found: dict = {}
    seen = adapter.reset()
    for _ in range(steps):
        actions = rng.integers(5, size=adapter.num_envs)
        following, rewards, dones, infos = adapter.step(actions)
        for i in range(adapter.num_envs):
            arrived = infos[i]["terminal_observation"] if dones[i] else following[i]
            number, episode, time = (int(value) for value in seen[i])
            assert arrived.tolist() == [number, episode, time + 1]
            terminated = bool(dones[i] and not infos[i]["TimeLimit.truncated"])
            found.setdefault((number, episode), []).append((actions[i], rewards[i], terminated))
        seen = following
    return found


@pytest.mark.parametrize("form", [lambda mode: mode, lambda mode: mode.value, lambda mode: mode.name])
@pytest.mark.parametrize(
    ("mode", "conventions"),
    [
        (SAME, FULL),
        (SAME, ("final_obs",)),
        (SAME, ("final_obs", "masks")),
        (SAME, (*FULL, "list")),
        (AutoresetMode.DISABLED, FULL),
        (AutoresetMode.DISABLED, (*FULL, "list")),
    ],
)
def test_transitions_are_those_of_the_journal(mode, conventions, form):
    """Every step is there once, with its reward, its end and the observation it led to."""
    envs = JournalEnv(mode, {"autoreset_mode": form(mode)}, conventions)
    assert collect(envs) == envs.journal


def test_a_lost_last_observation_is_named():
    """In mode SAME_STEP without ``final_obs``, nothing is stored in its place."""
    with pytest.raises(ValueError, match="SAME_STEP, but its info holds no 'final_obs'"):
        collect(JournalEnv(SAME, {"autoreset_mode": SAME}, ("final_info", "masks")))


def test_an_undeclared_mode_is_refused():
    """The adapter guesses nothing either."""
    with pytest.raises(ValueError, match=r'metadata\["autoreset_mode"\]=None of vector_env='):
        GymnasiumVecEnv(JournalEnv(SAME, {}))
