"""What one sees: contrast, colours for the colour-blind, texts that fit."""

import gymnasium as gym
import numpy as np
import pytest
from scipy.ndimage import label

from counting_env.viewer.canvas import INK, SIGNS, SIZE
from counting_env.viewer.duel import DuelViewer
from counting_env.viewer.watch import AgentViewer
from counting_env.viewer.window import BAD, GOOD

pytest.importorskip("pygame")

# What a person without one kind of cones sees of linear RGB (Machado, Oliveira and Fernandes 2009, severity 1).
BLIND = {
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}


def linear(color):
    """Return linear RGB of an sRGB colour in 0..255."""
    part = np.array(color) / 255
    return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    """Return the contrast ratio of WCAG 2."""
    dark, light = sorted(linear(color) @ (0.2126, 0.7152, 0.0722) for color in (one, other))
    return (light + 0.05) / (dark + 0.05)


class Seer:
    """An agent with a foresight."""

    def predict(self, observation):
        return 0, None

    def imagine(self, observation):
        return [(None, "some count"), (0, "one less"), (1, "what it was before, and a reward that is long to say")]


def duel(start):
    env = gym.make("CountingEnv-v0", max_episode_steps=4)
    return DuelViewer(env, 4, Seer(), next(seed for seed in range(999) if env.reset(seed=seed)[1]["count"] == 7))


def dots(start):
    viewer = agent(start)
    viewer.foresight = [(None, "64"), (0, "0, reward 0.0"), (1, "33, reward -12.5"), (1, "4, reward 1.0")]
    return viewer


def agent(start):
    return AgentViewer(gym.make("CountingEnv-v0", max_episode_steps=4), 4, Seer())


LONG = {"target": {"circle": (2, 4), "square": 2, "triangle": 3, "stroke": 1}, "least_count": 1}
SCREENS = {
    "first": (lambda start: start(), ""),
    "first, long": (lambda start: start(max_episode_steps=100, **LONG), ""),
    "game": (lambda start: start(), "SPACE h"),
    "long": (lambda start: start(**LONG), "SPACE LEFT"),
    "many": (lambda start: start(max_count=64, max_episode_steps=100, reward="dense"), "SPACE LEFT"),
    "recording": (lambda start: start(), "SPACE g"),
    "saved": (lambda start: start(), "SPACE g g"),
    "success": (lambda start: start(), "SPACE LEFT LEFT LEFT"),
    "failure": (lambda start: start(), "SPACE UP UP UP UP"),
    "arrived": (lambda start: start(terminate_on_target=False), "SPACE LEFT LEFT LEFT"),
    "empty": (lambda start: start(target=8, max_episode_steps=9), "SPACE" + 7 * " LEFT"),
    "duel, first": (duel, ""),
    "duel": (duel, "SPACE LEFT"),
    "duel, won": (duel, "SPACE LEFT LEFT LEFT"),
    "duel, lost": (duel, "SPACE UP UP UP UP"),
    "dots": (dots, ""),
    "agent": (agent, ""),
    "agent, paused": (agent, "SPACE RIGHT"),
}


@pytest.mark.parametrize(("opening", "keys"), SCREENS.values(), ids=SCREENS)
def test_every_text_can_be_read(start, press, screen, monkeypatch, tmp_path, opening, keys):
    """Each text lies on a plain ground, over nothing else, with a contrast of at least 4.5."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("counting_env.viewer.recording.Recording.see", lambda *_: None)
    monkeypatch.setattr("counting_env.viewer.recording.Recording.save", lambda _: "counting-20260504-120000-12.gif")
    viewer = opening(start)
    viewer.welcoming = not isinstance(viewer, AgentViewer)
    press(viewer, *keys.split())
    canvas = viewer.canvas
    write = canvas.write
    texts = []

    def look(text, *place, color=INK, **more):
        around = screen.Rect(0, place[1] - 64, SIZE[0], 128).clip(canvas.surface.get_rect())
        before = screen.surfarray.array2d(canvas.surface.subsurface(around))
        write(text, *place, color=color, **more)
        x, y = (screen.surfarray.array2d(canvas.surface.subsurface(around)) != before).nonzero()
        assert 0 < x.min() < x.max() < SIZE[0] - 1
        (ground,) = np.unique(before[x.min() : x.max(), y.min() : y.max()])
        assert contrast(color, canvas.surface.unmap_rgb(int(ground))[:3]) >= 4.5, text
        texts.append(text)

    monkeypatch.setattr(canvas, "write", look)
    viewer.draw()
    assert len(texts) > 10


@pytest.mark.parametrize("cones", BLIND)
def test_success_and_failure_differ_for_the_colour_blind(cones):
    """Their colours stay far apart, which green and red do not."""
    seen = np.array(BLIND[cones]) @ np.stack([linear(GOOD), linear(BAD)], axis=1)
    assert np.linalg.norm(np.diff(seen.clip(0, 1) ** (1 / 2.4))) > 0.6


@pytest.mark.parametrize("size", [18, 24, 56, 72])
def test_signs_are_whole_and_in_the_middle(start, screen, size):
    """Each sign has the colour that is asked for, around its middle, and nothing outside its square."""
    canvas = start().canvas
    for name in SIGNS:
        canvas.clear()
        canvas.sign(name, (640, 360), size, (255, 255, 255))
        drawn = screen.surfarray.array3d(canvas.surface)[..., 0]
        x, y = (drawn > 128).nonzero()
        assert drawn.max() > 240, name
        for lowest, highest, middle in ((x.min(), x.max(), 640), (y.min(), y.max(), 360)):
            assert middle - size / 2 - 1 <= lowest <= middle <= highest <= middle + size / 2, name


@pytest.mark.parametrize("number", [0, 1, 2, 3, 7, 33, 64])
def test_dots_can_be_counted(start, screen, number):
    """There are so many apart from each other, within their area and around its middle."""
    canvas, area = start().canvas, screen.Rect(200, 300, 301, 121)
    canvas.clear()
    canvas.dots(number, area, (255, 255, 255))
    drawn = screen.surfarray.array3d(canvas.surface)[..., 0] == 255
    assert label(drawn)[1] == number
    if number:
        x, y = drawn.nonzero()
        assert area.contains(screen.Rect(x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1))
        assert abs(x.min() + x.max() - 2 * area.centerx) <= 3
        assert abs(y.min() + y.max() - 2 * area.centery) <= 3
