"""What the environment's tests share: option sets, a rollout, an invisible screen."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

VARIANTS = [
    {"placement": placement, "appearance": appearance, "background": background}
    for placement, appearance, background in [
        *product(("resample", "persist"), ("episode", "object"), ("black", "noise")),
        *product(("persist",), ("object",), ("clutter", "drift")),
        *product(("resample",), ("episode",), ("clutter", "drift")),
    ]
]


@pytest.fixture(params=VARIANTS, ids=lambda variant: "-".join(variant.values()))
def variant(request: pytest.FixtureRequest) -> dict[str, str]:
    """The options of one way to draw a scene; a test that asks for it runs for each of them."""
    return request.param


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """pygame on SDL's dummy driver, without waiting between frames."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    pygame = pytest.importorskip("pygame")
    monkeypatch.setattr(pygame.time, "wait", lambda milliseconds: milliseconds)
    pygame.quit()
    yield pygame
    pygame.quit()


@pytest.fixture
def rollout():
    """A function that plays ``steps`` random steps and returns everything the environment said, as bytes."""

    def play(env: gym.Env, steps: int, seed: int | None = None, action_seed: int = 0) -> list[Any]:
        actions = np.random.default_rng(action_seed)
        said = []
        if seed is not None:
            said.append(_frozen(env.reset(seed=seed)))
        for _ in range(steps):
            action: Any = int(actions.integers(2))
            if isinstance(env.action_space, gym.spaces.Box):
                action = np.array([2.0 * action - 1.0], np.float32)
            *outcome, info = env.step(action)
            said.append(_frozen((*outcome, info)))
            if outcome[2] or outcome[3]:
                said.append(_frozen(env.reset()))
        return said

    return play


def _frozen(value: Any) -> Any:
    """Return ``value`` in a form that ``==`` compares to the last byte."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, dict):
        return {key: _frozen(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(_frozen(item) for item in value)
    return type(value), value
