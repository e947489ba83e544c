"""The exhibit: no way out but the chord, and an agent that plays when nobody does."""

import gymnasium as gym
import pytest

from counting_env import play
from counting_env.viewer.kiosk import Kiosk

pytest.importorskip("pygame")


class Removes:
    def predict(self, observation):
        return 0, None


@pytest.fixture
def clock():
    """The kiosk's clock, in seconds, as a list of one number."""
    return [0.0]


@pytest.fixture
def kiosk(screen, clock, monkeypatch):
    """A kiosk on a start with 7 objects."""
    env = gym.make("CountingEnv-v0", max_episode_steps=4)
    for module in ("kiosk", "watch"):
        monkeypatch.setattr(f"counting_env.viewer.{module}.monotonic", lambda: clock[0])
    seed = next(seed for seed in range(999) if env.reset(seed=seed)[1]["count"] == 7)
    return Kiosk(env, 4, Removes(), idle=30, seed=seed)


@pytest.fixture
def live(screen, clock, monkeypatch):
    """A function that runs a viewer over a script of keys and of seconds that pass, and then leaves it by the chord."""

    def run(viewer, *script):
        chord = screen.event.Event(screen.KEYDOWN, key=screen.K_q, mod=screen.KMOD_LCTRL | screen.KMOD_LSHIFT)
        events = iter([*script, chord])

        def wait(milliseconds):
            event = next(events)
            if isinstance(event, float):
                clock[0] += event
                return screen.event.Event(screen.NOEVENT)
            if isinstance(event, str):
                return screen.event.Event(screen.KEYDOWN, key=getattr(screen, f"K_{event}"), mod=screen.KMOD_NONE)
            return event

        monkeypatch.setattr(screen.event, "wait", wait)
        monkeypatch.setattr(screen.event, "get", list)
        viewer.running = True
        viewer.run()
        assert next(events, None) is None

    return run


def test_nothing_leads_out_but_the_chord(kiosk, live, screen, shows):
    """Q, Esc, F11, G, the closing of the window, Ctrl with Q and Shift with Q change nothing."""
    assert screen.display.is_fullscreen()
    held = [
        screen.event.Event(screen.KEYDOWN, key=screen.K_q, mod=mod) for mod in (screen.KMOD_CTRL, screen.KMOD_SHIFT)
    ]
    live(kiosk, "SPACE", "q", "ESCAPE", "F11", "g", screen.event.Event(screen.QUIT), *held, "LEFT")
    assert not kiosk.running
    assert kiosk.game.steps == 1
    assert kiosk.recording is None
    assert screen.display.is_fullscreen()


def test_its_buttons_lead_nowhere_else(kiosk, live, monkeypatch):
    """No button leaves, records or changes the window, on the first screen, in the game, or while the agent plays."""
    written = []
    write = kiosk.canvas.write
    monkeypatch.setattr(
        kiosk.canvas, "write", lambda text, *rest, **more: (written.append(text), write(text, *rest, **more))
    )
    live(kiosk, "SPACE", 31.0, 0.0)
    assert "Start" in written
    assert "new episode" in written
    assert "your turn" in written
    assert {"leave", "full screen", "record a GIF", "pause"}.isdisjoint(written)


def test_the_agent_plays_when_nobody_does(kiosk, live):
    """After 30 seconds without input it plays, a step a second; any input leads to the first screen and a new score."""
    live(kiosk, "SPACE", "LEFT", 29.0)
    assert kiosk.watcher is None
    live(kiosk, 29.0, "h", 29.0)
    assert kiosk.watcher is None
    assert kiosk.count_shown
    live(kiosk, 31.0, 1.0, 1.0)
    assert kiosk.watcher is not None
    assert kiosk.watcher.game.steps == 2
    assert kiosk.game.steps == 1
    live(kiosk, "x")
    assert kiosk.watcher is None
    assert kiosk.welcoming
    assert not kiosk.count_shown
    assert (kiosk.game.score, kiosk.rival.score, kiosk.game.steps) == ((0, 0), (0, 0), 0)
    assert kiosk.game.observation.tobytes() == kiosk.rival.observation.tobytes()
    live(kiosk, "SPACE", "LEFT")
    assert kiosk.game.steps == 1


def test_a_touch_counts_as_input(kiosk, live, screen):
    """A touch where no button is keeps the agent waiting, and wakes the first screen."""
    touch = screen.event.Event(screen.MOUSEBUTTONDOWN, pos=(700, 20), button=1)
    live(kiosk, "SPACE", 29.0, touch, 29.0)
    assert kiosk.watcher is None
    live(kiosk, 31.0)
    assert kiosk.watcher is not None
    live(kiosk, touch)
    assert kiosk.watcher is None
    assert kiosk.welcoming


def test_the_command_line(screen, monkeypatch, capsys):
    """--kiosk and --duel play against the demo unless --agent names another; they exclude each other."""
    asked, opened = [], []
    monkeypatch.setattr(play, "find_agent", lambda name: (asked.append(name), Removes())[1])
    monkeypatch.setattr("counting_env.viewer.window.Viewer.run", lambda viewer: opened.append(viewer))  # noqa: PLW0108  # a method
    for line in ("--duel", "--kiosk --idle 5", "--kiosk --agent other.py:agent", "--agent demo"):
        assert play.main(line.split()) == 0
    assert asked == ["demo", "demo", "other.py:agent", "demo"]
    assert [type(viewer).__name__ for viewer in opened] == ["DuelViewer", "Kiosk", "Kiosk", "AgentViewer"]
    assert [viewer.idle for viewer in opened[1:3]] == [5, 30]
    with pytest.raises(SystemExit):
        play.main(["--duel", "--kiosk"])
    assert "not allowed with" in capsys.readouterr().err
