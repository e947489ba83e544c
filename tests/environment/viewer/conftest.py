"""What the viewer's tests share: a viewer on an invisible screen, events for it, and what its window shows."""

import sys
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from counting_env.viewer.canvas import BIG, BLUE, CARD, HUGE, INK, LARGE, LINE, MEDIUM, MUTED, PAGE, SKY, SMALL
from counting_env.viewer.window import BAD, GOOD, Viewer

# Font size, colour and ground of every text in the window that is not made smaller to fit.
STYLES = [
    (LARGE, INK, BLUE),  # first: a word of a button may be in a sentence too
    (LARGE, PAGE, SKY),
    *((size, INK, PAGE) for size in (HUGE, BIG, LARGE, MEDIUM, SMALL)),
    *((size, MUTED, PAGE) for size in (LARGE, SMALL)),
    *((size, INK, CARD) for size in (HUGE, LARGE, MEDIUM, SMALL)),
    *((size, MUTED, CARD) for size in (LARGE, MEDIUM, SMALL)),
    *((size, INK, LINE) for size in (MEDIUM, SMALL)),
    (LARGE, GOOD, CARD),
    (LARGE, BAD, CARD),
]


@pytest.fixture
def start(screen):
    """A function that opens a viewer with the given options of the environment, on a start with 7 objects.

    The first screen, which any key would end, is over.
    """

    def open_viewer(max_episode_steps: int = 4, **options: Any) -> Viewer:
        env = gym.make("CountingEnv-v0", max_episode_steps=max_episode_steps, **options)
        seed = next(seed for seed in range(999) if env.reset(seed=seed)[1]["count"] == 7)
        viewer = Viewer(env, max_episode_steps, seed)
        viewer.welcoming = False
        return viewer

    return open_viewer


@pytest.fixture
def happen(screen):
    """A function that posts events, runs the viewer's loop over them, and leaves it as a closed window would."""

    def run(viewer: Viewer, *events: Any) -> None:
        for event in (*events, screen.event.Event(screen.QUIT)):
            screen.event.post(event)
        viewer.running = True
        viewer.run()
        assert not viewer.running

    return run


@pytest.fixture
def press(screen, happen):
    """A function that presses and releases keys, one after the other."""

    def run(viewer: Viewer, *keys: str) -> None:
        codes = [getattr(screen, f"K_{key}") for key in keys]
        both = (screen.KEYDOWN, screen.KEYUP)
        happen(viewer, *(screen.event.Event(kind, key=code) for code in codes for kind in both))

    return run


@pytest.fixture
def where(screen):
    """A function that returns the middle (x, y) of a text in the window by looking for its very pixels, or ``None``."""

    def look(text: str) -> tuple[int, int] | None:
        window = packed(screen.display.get_surface())
        for size, ink, ground in STYLES:
            glyphs = screen.font.Font(None, size).render(text, True, ink)
            template = screen.Surface(glyphs.get_size())
            template.fill(ground)
            template.blit(glyphs, (0, 0))
            corner = find(window, packed(template))
            if corner is not None:
                return screen.Rect(corner, template.get_size()).center
        return None

    def packed(surface: Any) -> np.ndarray:
        return np.ascontiguousarray(screen.surfarray.array2d(surface).T & 0xFFFFFF)

    return look


@pytest.fixture
def shows(where):
    """A function that tells whether the window shows a text."""
    return lambda text: where(text) is not None


def find(window: np.ndarray, template: np.ndarray) -> tuple[int, int] | None:
    """Return the corner (x, y) of ``template`` (h, w) in ``window`` (H, W), or ``None``."""
    height, width = template.shape
    telling = max(range(height), key=lambda row: len(np.unique(template[row])))
    needle = template[telling].tobytes()
    for top in range(window.shape[0] - height + 1):
        row = window[top + telling].tobytes()
        found = row.find(needle)
        while found >= 0:
            left = found // 4  # bytes a pixel
            if np.array_equal(window[top : top + height, left : left + width], template):
                return left, top
            found = row.find(needle, found + 1)
    return None


AGENT = """
import numpy as np
from gymnasium import spaces


class Agent:
    def __init__(self, action=np.int64(0)):
        self.action, self.asked = action, 0

    def predict(self, observation):
        self.asked += 1
        return self.action, None


class Seer(Agent):
    def imagine(self, observation):
        return [(None, "7"), (np.int64(0), "6, reward 0.0"), (np.int64(1), "7"), (0, "six"), (0, "5"), (0, "4")]


class Continuous(Agent):
    action_space = spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self):
        super().__init__(np.array([-0.5], np.float32))


class Of:
    agent = Agent()


class Mute:
    pass


class Small(Agent):
    observation_space = spaces.Box(0, 255, (3, 32, 32), np.uint8)


class Three(Agent):
    action_space = spaces.Discrete(3)


def lost():
    return Agent(np.int64(7))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder from which the program is run, with a file of agents."""
    (tmp_path / "agents_for_tests.py").write_text(AGENT)
    (tmp_path / "broken_for_tests.py").write_text("import nothing_of_that_name")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "agents_for_tests", raising=False)
    return tmp_path
