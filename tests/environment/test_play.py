"""The viewer, played through real key events on SDL's dummy driver, and read off its window's pixels."""

import copy
import signal
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest

from counting_env import CountingEnv, play
from counting_env.viewer import Viewer
from counting_env.window import NO_DISPLAY, enlarge

pytest.importorskip("pygame")


def pixels(screen) -> np.ndarray:
    return screen.surfarray.array3d(screen.display.get_surface()).swapaxes(0, 1)


def picture(screen, viewer: Viewer) -> np.ndarray:
    area = viewer.picture_area
    return pixels(screen)[area.top : area.bottom, area.left : area.right]


@pytest.mark.parametrize("key", ["LEFT", "DOWN", "MINUS", "KP_MINUS"])
def test_keys_that_remove(start, press, key: str) -> None:
    """The left and down arrows and both minus keys remove an object."""
    viewer = start(target=0)
    press(viewer, key, key)
    assert viewer.game.info["count"] == 5


@pytest.mark.parametrize("key", ["RIGHT", "UP", "PLUS", "EQUALS", "KP_PLUS"])
def test_keys_that_add(start, press, key: str) -> None:
    """The right and up arrows and both plus keys add an object; "=" is "+" without Shift."""
    viewer = start()
    press(viewer, key)
    assert viewer.game.info["count"] == 8


def test_the_window_shows_the_picture_and_the_numbers(start, press, shows, screen) -> None:
    """The window shows the picture, the keys, steps left, last reward and score."""
    viewer = start()
    twin = copy.deepcopy(viewer.game.env)
    press(viewer)
    np.testing.assert_array_equal(picture(screen, viewer), enlarge(viewer.game.observation))
    for text in ("Make it 4", "Objects", "7", "Steps left", "4 of 4", "Last reward", "none yet", "score", "in a row"):
        assert shows(text), text
    for text in ("R", "H", "G", "F11", "Q"):
        assert shows(text), text
    for text in ("remove", "add", "new episode", "hide the count", "record a GIF", "full screen", "leave"):
        assert shows(text), text
    assert not shows("3 of 4")

    press(viewer, "LEFT")
    image, *_, info = twin.step(0)
    assert info["count"] == 6
    np.testing.assert_array_equal(picture(screen, viewer), enlarge(image))
    for text in ("6", "3 of 4", "0.00"):
        assert shows(text), text
    assert not shows("4 of 4")


def test_the_first_screen_explains_the_game(start, press, shows) -> None:
    """It tells what to do, how, and how to begin, and nothing of the picture."""
    viewer = start()
    viewer.welcoming = True
    press(viewer, "h", "F1")
    assert viewer.welcoming
    for text in ("Make it 4", "Too many?", "remove", "Too few?", "add", "Start", "Space"):
        assert shows(text), text
    assert shows("Count the objects. Remove or add one at a time. You have 4 steps.")
    assert not shows("Objects")
    viewer = start(max_episode_steps=1)
    viewer.welcoming = True
    press(viewer)
    assert shows("Count the objects. Remove or add one at a time. You have 1 step.")


@pytest.mark.parametrize("welcoming", [True, False])
def test_the_large_buttons_show_their_keys(start, press, monkeypatch: pytest.MonkeyPatch, welcoming: bool) -> None:
    """On the first screen and in the game the keys that remove and add are drawn on the buttons."""
    viewer = start()
    viewer.welcoming = welcoming
    signs = []
    sign = viewer.canvas.sign
    monkeypatch.setattr(viewer.canvas, "sign", lambda name, *rest: (signs.append(name), sign(name, *rest)))
    viewer.draw()
    assert signs == ["minus", "left", "down", "minus", "plus", "right", "up", "plus"]


@pytest.mark.parametrize("key", ["SPACE", "RETURN", "LEFT", "UP", "r"])
def test_any_key_of_the_game_begins(start, press, shows, key: str) -> None:
    """The first key shows the picture and changes nothing; the second counts."""
    viewer = start()
    viewer.welcoming = True
    press(viewer, key)
    assert (viewer.game.info["count"], viewer.game.steps) == (7, 0)
    assert shows("Your move")
    press(viewer, "LEFT")
    assert viewer.game.info["count"] == 6


def test_success_is_celebrated_counted_and_needs_a_new_start(start, press, shows, screen) -> None:
    """A success is shown and counted; then no key of an action has an effect."""
    viewer = start()
    press(viewer, "LEFT", "LEFT", "LEFT")  # 7 to 4
    assert (viewer.game.info["count"], viewer.game.reward, viewer.game.score) == (4, 1.0, (1, 1))
    for text in ("Success!", "Next", "Space", "1.00", "1 of 4", "1 of 1"):
        assert shows(text), text
    before = pixels(screen).copy()
    press(viewer, "LEFT", "RIGHT", "UP", "MINUS")
    np.testing.assert_array_equal(pixels(screen), before)
    press(viewer, "r")
    assert (viewer.game.steps, viewer.game.reward, viewer.game.score) == (0, None, (1, 1))
    for text in ("Your move", "4 of 4", "none yet", "1 of 1"):
        assert shows(text), text
    assert not shows("Success!")


def test_running_out_of_steps(start, press, shows, screen) -> None:
    """The fourth step without arriving ends the episode, and the window shows it."""
    viewer = start()
    press(viewer, *["RIGHT"] * 4)
    assert viewer.game.ended
    assert viewer.game.score == (0, 1)
    for text in ("Out of steps", "Next", "0 of 4", "0 of 1", "8"):
        assert shows(text), text
    before = pixels(screen).copy()
    press(viewer, "LEFT")
    np.testing.assert_array_equal(pixels(screen), before)


@pytest.mark.parametrize("key", ["SPACE", "RETURN", "KP_ENTER", "r"])
def test_one_key_leads_to_the_next_episode(start, press, key: str) -> None:
    """After an end Space, Enter and R begin an episode; before it only R does."""
    viewer = start()
    press(viewer, "RIGHT", key)
    assert viewer.game.steps == (0 if key == "r" else 1)
    viewer = start()
    press(viewer, *["RIGHT"] * 4, key)
    assert (viewer.game.steps, viewer.game.ended) == (0, False)


def test_score_and_streak(start, press, shows, monkeypatch: pytest.MonkeyPatch) -> None:
    """Successes of episodes that are decided, and those in a row; leaving an episode after a step is a failure."""
    viewer = start()
    env = viewer.game.env
    reset = env.reset
    monkeypatch.setattr(env, "reset", lambda seed=None: reset(options={"count": 5}))  # one step to success
    press(viewer, "r", "LEFT", "SPACE")
    assert (viewer.game.score, viewer.game.streak) == ((1, 1), 1)
    press(viewer, "r", "r", "LEFT")  # episodes without a step do not count
    assert (viewer.game.score, viewer.game.streak) == ((2, 2), 2)
    assert shows("2 of 2")
    press(viewer, "SPACE", "RIGHT")
    assert (viewer.game.score, viewer.game.streak) == ((2, 2), 2)
    press(viewer, "r")
    assert (viewer.game.score, viewer.game.streak) == ((2, 3), 0)
    press(viewer, "LEFT")
    assert (viewer.game.score, viewer.game.streak) == ((3, 4), 1)


def test_h_hides_and_shows_the_count(start, press, shows, screen) -> None:
    """H hides or shows the count and changes nothing else."""
    viewer = start()
    press(viewer)
    shown = pixels(screen).copy()
    press(viewer, "h")
    hidden = pixels(screen).copy()
    assert shows("?")
    assert shows("show the count")
    assert not shows("7")
    bottom, right = viewer.picture_area.bottomright
    np.testing.assert_array_equal(hidden[: bottom + 1, : right + 1], shown[: bottom + 1, : right + 1])
    press(viewer, "LEFT")
    assert shows("?")
    assert not shows("6")
    press(viewer, "RIGHT", "h")
    assert shows("7")
    assert not shows("?")


def test_without_termination_an_episode_succeeds_once(start, press, shows) -> None:
    """`--no-terminate-on-target`: arriving twice in one episode is one success, and the steps run on."""
    viewer = start(terminate_on_target=False, max_episode_steps=6)
    press(viewer, "LEFT", "LEFT", "LEFT")
    assert shows("Arrived!")
    press(viewer, "LEFT", "RIGHT")
    assert (viewer.game.info["count"], viewer.game.score, viewer.game.ended) == (4, (1, 1), False)
    press(viewer, "RIGHT")
    assert (viewer.game.score, viewer.game.ended) == ((1, 1), True)
    assert shows("Success!")


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


@pytest.mark.parametrize("image_size", [32, 64, 100, 150, 171, 256])
def test_every_image_size_has_room(start, press, screen, image_size: int) -> None:
    """The picture is the environment's own enlargement, whole and unblurred, beside the panel."""
    viewer = start(image_size=image_size, background="noise")
    press(viewer)
    assert screen.Rect(24, 104, 512, 512).contains(viewer.picture_area)
    np.testing.assert_array_equal(picture(screen, viewer), enlarge(viewer.game.observation))


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
