"""Watching an agent: what it does in the window, and what the window shows of its foresight."""

import gymnasium as gym
import numpy as np
import pytest

from counting_env.viewer import agents
from counting_env.viewer.watch import PACE, AgentViewer

pytest.importorskip("pygame")


@pytest.fixture
def start(screen, folder):
    """A function that opens a window in which an agent plays, on a start with 7 objects."""

    def open_window(name, **options):
        agent = agents.find_agent(f"agents_for_tests:{name}")
        env = gym.make("CountingEnv-v0", max_episode_steps=4, **options)
        return AgentViewer(env, 4, agent, next(s for s in range(999) if env.reset(seed=s)[1]["count"] == 7))

    return open_window


@pytest.fixture
def live(screen, monkeypatch):
    """A function that runs a viewer over a script: at each look for events one key, a time that passes, or the end."""

    def run(viewer, *script):
        clock, events = [0.0], iter(script)
        code = {"space": screen.K_SPACE, "right": screen.K_RIGHT, "r": screen.K_r}

        def wait(milliseconds):
            event = next(events, None)
            if event is None:
                return screen.event.Event(screen.QUIT)
            if isinstance(event, float):
                clock[0] += event
                return screen.event.Event(screen.NOEVENT)
            return screen.event.Event(screen.KEYDOWN, key=code[event])

        monkeypatch.setattr("counting_env.viewer.watch.monotonic", lambda: clock[0])
        monkeypatch.setattr(screen.event, "wait", wait)
        monkeypatch.setattr(screen.event, "get", list)
        viewer.running = True
        viewer.run()

    return run


def texts(viewer, monkeypatch):
    """Draw the window and return every text in it."""
    written = []
    write = viewer.canvas.write
    monkeypatch.setattr(
        viewer.canvas, "write", lambda text, *rest, **more: (written.append(text), write(text, *rest, **more))
    )
    viewer.draw()
    monkeypatch.undo()
    return written


def test_the_agent_steps_once_in_a_while(start, live):
    """A step takes PACE seconds, not less; after an end a new episode begins by itself."""
    viewer = start("Agent")
    live(viewer, 0.9 * PACE)
    assert (viewer.game.steps, viewer.agent.asked) == (0, 0)
    live(viewer, PACE, PACE)
    assert (viewer.game.steps, viewer.game.info["count"]) == (2, 5)
    live(viewer, PACE)
    assert viewer.game.succeeded
    assert viewer.game.ended
    live(viewer, PACE)
    assert (viewer.game.steps, viewer.game.score, viewer.game.ended) == (0, (1, 1), False)


def test_space_pauses_and_right_makes_one_step(start, live):
    """While it is paused the agent waits; Right makes one step and pauses; Space goes on; R begins anew."""
    viewer = start("Agent")
    live(viewer, "space", 10 * PACE)
    assert (viewer.paused, viewer.game.steps) == (True, 0)
    live(viewer, "right", 10 * PACE)
    assert (viewer.paused, viewer.game.steps) == (True, 1)
    live(viewer, "space", PACE)
    assert (viewer.paused, viewer.game.steps) == (False, 2)
    live(viewer, "right")
    assert (viewer.paused, viewer.game.steps) == (True, 3)
    live(viewer, "r")
    assert (viewer.game.steps, viewer.game.results) == (0, [True, False])


def drawn(viewer, monkeypatch):
    """Draw the window, and return the signs and the dots of what the agent imagines."""
    signs, dots = [], []
    sign, draw_dots = viewer.canvas.sign, viewer.canvas.dots
    monkeypatch.setattr(
        viewer.canvas,
        "sign",
        lambda name, middle, *rest: (signs.append(name) if middle[0] > 912 else None, sign(name, middle, *rest)),
    )
    monkeypatch.setattr(viewer.canvas, "dots", lambda number, *rest: (dots.append(number), draw_dots(number, *rest)))
    viewer.draw()
    monkeypatch.undo()
    return signs, dots


def test_the_window_shows_what_the_agent_imagines(start, screen, monkeypatch):
    """What the agent sees now and expects of the steps that are left: numbers as dots, other words as words."""
    viewer = start("Seer")
    written = texts(viewer, monkeypatch)
    at = written.index("The agent imagines")
    assert written[at + 1 :] == ["now", "7", "6", "reward 0.0", "7", "six", "5"]
    assert drawn(viewer, monkeypatch) == (["minus", "plus", "minus", "minus"], [7, 6, 7, 5])
    viewer.advance()
    viewer.advance()
    viewer.advance()
    viewer.game.ended = False
    assert drawn(viewer, monkeypatch) == (["minus"], [7, 6])
    for text in ("Space", "pause", "one step", "R", "new episode", "hide the count", "leave"):
        assert text in written, text
    assert {"add", "Next"}.isdisjoint(written)


def test_the_imagined_future_ends_at_the_goal(start, screen, monkeypatch):
    """The first imagined target has a tick, and nothing comes after it; a start on the target is no arrival."""
    viewer = start("Seer")
    viewer.foresight = [(None, "4"), (0, "3"), (1, "4, reward 1.0"), (1, "5")]
    assert drawn(viewer, monkeypatch) == (["minus", "plus", "tick"], [4, 3, 4])
    viewer.foresight = [(None, "4 squares"), (0, "14"), (1, "41")]
    assert drawn(viewer, monkeypatch) == (["minus", "plus"], [4, 14, 41])


@pytest.mark.parametrize(
    ("target", "shape", "counts"),
    [(4, "circle", [4]), ((2, 6), "circle", [2, 6]), ({"circle": 4, "square": (2, 8)}, "square", [2, 8])],
)
def test_which_counts_are_goals(start, target, shape, counts):
    """A target may be a count, several, or depend on the shape."""
    viewer = start("Seer", target=target, least_count=1)
    viewer.game.info["shape"] = shape
    assert [count for count in range(9) if viewer.game.rewards(count)] == counts
    viewer.game.info["shape"] = "stroke"
    assert not (isinstance(target, dict) and viewer.game.rewards(4))


def test_an_agent_that_imagines_nothing(start, screen, monkeypatch):
    """Then the window is that of a person who plays."""
    viewer = start("Agent")
    assert "The agent imagines" not in texts(viewer, monkeypatch)


def test_continuous_actions(start, monkeypatch):
    """An agent whose actions are numbers plays the continuous variant; the sign of an imagined action is its effect."""
    viewer = start("Continuous", continuous=True)
    viewer.agent.imagine = lambda observation: [(np.array([-0.5]), "less"), (np.array([0.0]), "more")]
    viewer.advance()
    assert viewer.game.info["count"] == 6
    viewer.foresight = viewer.agent.imagine(None)
    assert texts(viewer, monkeypatch)[-2:] == ["less", "more"]
    signs, dots = drawn(viewer, monkeypatch)
    assert (signs[-2:], dots) == (["minus", "plus"], [])
