"""The command ``python -m counting_env.play``: its options, its errors, and how one leaves."""

import signal
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest

from counting_env import CountingEnv, play
from counting_env.display import NO_DISPLAY
from counting_env.viewer.window import Viewer

pytest.importorskip("pygame")


def pixels(screen) -> np.ndarray:
    return screen.surfarray.array3d(screen.display.get_surface()).swapaxes(0, 1)


def picture(screen, viewer: Viewer) -> np.ndarray:
    area = viewer.picture_area
    return pixels(screen)[area.top : area.bottom, area.left : area.right]


@pytest.mark.parametrize("key", ["q", "ESCAPE", None])
def test_leaving(screen, key: str | None) -> None:
    """Q, Esc and closing the window leave with exit status 0, and nothing stays open."""
    screen.display.init()
    if key:
        screen.event.post(screen.event.Event(screen.KEYDOWN, key=getattr(screen, f"K_{key}")))
    else:
        screen.event.post(screen.event.Event(screen.QUIT))
    assert play.main(["--seed", "0"]) == 0
    assert not screen.display.get_init()


def test_leaving_by_ctrl_c(screen, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the terminal leaves like Q, without a traceback."""

    def interrupted(milliseconds: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(screen.event, "wait", interrupted)
    assert play.main([]) == 0
    assert not screen.display.get_init()


@pytest.mark.skipif(sys.platform == "win32", reason="SIGTERM cannot be handled there")
@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_leaving_by_a_signal(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """SIGTERM and SIGINT leave with exit status 0 and print nothing."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    code = """
import os, runpy, sys
os.environ["PYGAME_HIDE_SUPPORT_PROMPT"] = "1"
import pygame
wait = pygame.event.wait
def first_wait(milliseconds):
    print("open", flush=True)
    pygame.event.wait = wait
    return wait(milliseconds)
pygame.event.wait = first_wait
sys.argv = ["play"]
runpy.run_module("counting_env.play", run_name="__main__", alter_sys=True)
"""
    viewer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert viewer.stdout.readline() == "open\n"
    viewer.send_signal(number)
    assert viewer.communicate(timeout=60) == ("", "")
    assert viewer.returncode == 0


def test_the_command_line_takes_the_environments_options(screen, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line takes the environment's options."""
    opened = []

    def note(viewer: Viewer) -> None:
        opened.append(viewer)

    monkeypatch.setattr(Viewer, "run", note)
    line = "--target 3 --max-count 12 --image-size 100 --reward dense --placement persist --appearance object"
    line += " --background noise --no-terminate-on-target --max-episode-steps 9 --seed 5"
    line += " --least-count 2 --wrap --slip 0.25"
    assert play.main(line.split()) == 0
    assert play.main([]) == 0
    asked, plain = opened
    positional = (3, 12, 100, False, "dense", "persist", "object", "noise", False, 2, True, 0.25)
    assert asked.game.options == CountingEnv(*positional).options
    assert asked.game.max_episode_steps == 9
    twin = gym.make("CountingEnv-v0", **vars(asked.game.options))
    assert asked.game.observation.tobytes() == twin.reset(seed=5)[0].tobytes()
    assert plain.game.options == CountingEnv().options
    assert plain.game.max_episode_steps == 4


@pytest.mark.parametrize(
    ("target", "title"),
    [
        ("1", "Make it 1"),
        ("2,6", "Make it 2 or 6"),
        ("circle=4,square=1", "Make it 4 circles, 1 square"),
    ],
)
def test_the_title_names_every_target(screen, shows, monkeypatch: pytest.MonkeyPatch, target: str, title: str) -> None:
    """--target takes a count, several counts, or counts for shapes, and the window shows them."""
    seen = []

    def look(viewer: Viewer) -> None:
        viewer.draw()
        seen.append(shows(title))

    monkeypatch.setattr(Viewer, "run", look)
    assert play.main(["--target", target]) == 0
    assert seen == [True]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--target 9", "target=9 cannot be reached: give counts in least_count..max_count, here 0..8"),
        ("--target hexagon=3", "target={'hexagon': 3} has the unknown shape 'hexagon'"),
        ("--slip 2", "slip=2.0 is not a probability"),
        ("--max-count 65", "max_count=65 does not fit"),
        ("--image-size 16", "image_size=16 is not an integer in 32..256"),
        ("--target four", "argument --target: 'four' is neither counts nor counts for shapes"),
        ("--reward rich", "argument --reward: invalid choice: 'rich'"),
        ("--max-episode-steps 0", "argument --max-episode-steps: 0 is not an integer of at least 1"),
        ("--seed -1", "argument --seed: -1 is not an integer of at least 0"),
        ("--seed x", "argument --seed: invalid integer value: 'x'"),
    ],
)
def test_a_bad_command_line(capsys: pytest.CaptureFixture[str], line: str, message: str) -> None:
    """A bad command line ends with status 2 and a message that names the option and what would be right."""
    with pytest.raises(SystemExit) as leaving:
        play.main(line.split())
    assert leaving.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="other systems find their display without an environment variable")
@pytest.mark.parametrize(
    "display",
    [
        {},
        pytest.param({"DISPLAY": ":987"}, marks=pytest.mark.slow),
        pytest.param({"SDL_VIDEODRIVER": "x11"}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_without_a_display(monkeypatch: pytest.MonkeyPatch, display: dict[str, str]) -> None:
    """Without a display the viewer prints one sentence and ends with status 2; render_mode="human" raises it."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in display.items():
        monkeypatch.setenv(name, value)
    done = subprocess.run(
        [sys.executable, "-m", "counting_env.play"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", NO_DISPLAY + "\n")
    pytest.importorskip("pygame").display.quit()  # an environment of an earlier test may have left one open
    env = CountingEnv(render_mode="human")
    with pytest.raises(gym.error.Error) as error:
        env.reset(seed=0)
    assert str(error.value) == NO_DISPLAY


def test_without_pygame() -> None:
    """Without pygame the viewer prints what to install, and ends with status 2."""
    code = """
import runpy, sys
sys.modules["pygame"] = None
sys.argv = ["play"]
runpy.run_module("counting_env.play", run_name="__main__", alter_sys=True)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert 'pip install "counting-jepa[play]"' in done.stderr
