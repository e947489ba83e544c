"""Five million steps in one go, in each autoreset mode: two minutes on one core, so only with ``-m slow``."""

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from scipy import ndimage

from counting_env import CountingVectorEnv, count_mdp

NUM_ENVS = 64
STEPS = 5_000_000
SETTLED = 100_000  # steps after which memory must no longer grow
CHECK_EVERY = 200  # vector steps between two samples that are checked
PAGE_SLACK = 1 << 20  # bytes: what the memory allocator may take or return by chance


def resident_memory():
    """Return this process's resident memory in bytes."""
    resource = pytest.importorskip("resource")
    try:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()
    except FileNotFoundError:
        pytest.skip("resident memory is read from /proc")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "copies"),
    [(AutoresetMode.NEXT_STEP, True), (AutoresetMode.SAME_STEP, False), (AutoresetMode.DISABLED, False)],
    ids=["NEXT_STEP-copy", "SAME_STEP-no-copy", "DISABLED-no-copy"],
)
def test_five_million_steps(mode, copies):
    """A soak of 5 million steps at 64 environments: resident memory flat, no exception, every invariant on a sample."""
    env = CountingVectorEnv(NUM_ENVS, autoreset_mode=mode, copy=copies)
    successors, values = count_mdp()
    rng = np.random.default_rng(0)
    _, info = env.reset(seed=0)
    counts = info["count"].copy()
    over = np.zeros(NUM_ENVS, bool)
    settled = peak = 0
    for step in range(STEPS // NUM_ENVS):
        actions = rng.integers(0, 2, NUM_ENVS)
        observations, rewards, terminations, truncations, info = env.step(actions)
        reached = info["count"].copy()
        if mode == AutoresetMode.SAME_STEP and "final_info" in info:
            ended = info["_final_info"]
            reached[ended] = info["final_info"]["count"][ended]
        assert (reached == successors[counts, actions])[~over].all()
        assert (rewards == np.where(over, 0, values[reached])).all()
        assert (terminations == (reached == 4) & ~over).all()
        counts = info["count"].copy()
        if step % CHECK_EVERY == 0:
            check_sample(observations, info)
        done = terminations | truncations
        if mode == AutoresetMode.NEXT_STEP:
            over = done
        elif mode == AutoresetMode.DISABLED and done.any():
            counts[done] = env.reset(options={"reset_mask": done})[1]["count"][done]
        if step == SETTLED // NUM_ENVS:
            settled = resident_memory()
        elif step % 1000 == 0:
            peak = max(peak, resident_memory())
    assert peak <= settled + PAGE_SLACK


def check_sample(observations, info):
    """Assert that images, counts, positions and colours of all environments fit together."""
    for image, count, positions, color in zip(
        observations, info["count"], info["positions"], info["color"], strict=True
    ):
        assert ndimage.label(image.any(axis=-1), np.ones((3, 3)))[1] == count
        assert (positions[count:] == -1).all()
        assert (np.abs(positions[:count] - 31.5) <= 28.5).all()
        assert (image[image.any(axis=-1)] == color).all()
    assert not info["is_success"][info["count"] != 4].any()
