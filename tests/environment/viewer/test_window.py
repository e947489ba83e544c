"""The viewer, played through real key events on SDL's dummy driver, and read off its window's pixels."""

import copy

import gymnasium as gym
import numpy as np
import pytest
from scipy import ndimage

from counting_env.display import enlarge
from counting_env.viewer.window import GOOD, Viewer

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
    for text in ("Make it 4", "Objects", "?", "Steps left", "4 of 4", "Last reward", "none yet", "score", "in a row"):
        assert shows(text), text
    for text in ("R", "H", "G", "F11", "Q"):
        assert shows(text), text
    for text in ("remove", "add", "new episode", "show the count", "record a GIF", "full screen", "leave"):
        assert shows(text), text
    assert not shows("3 of 4")

    press(viewer, "LEFT")
    image, *_, info = twin.step(0)
    assert info["count"] == 6
    np.testing.assert_array_equal(picture(screen, viewer), enlarge(image))
    for text in ("?", "3 of 4", "0.00"):
        assert shows(text), text
    assert not shows("4 of 4")


def test_the_first_screen_explains_the_game(start, press, shows) -> None:
    """It tells what to do, how, and how to begin, and nothing of the picture that is to be counted."""
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
    if welcoming:
        assert signs[:3] == ["minus", "minus", "tick"]  # the example
        del signs[:3]
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
    press(viewer, "h")
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


def test_the_count_appears_when_the_episode_is_over(start, press, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has not counted yet sees no number before the end, and none in the next episode either."""
    viewer = start()
    written = []
    monkeypatch.setattr(viewer.canvas, "write", lambda text, *rest, **more: written.append(text))

    def count() -> str:
        written.clear()
        viewer.draw()
        return written[written.index("Objects") + 1]

    press(viewer, "LEFT", "LEFT")
    assert count() == "?"
    press(viewer, "LEFT")
    assert viewer.game.ended
    assert count() == "4"
    press(viewer, "SPACE")
    assert count() == "?"


@pytest.mark.parametrize(
    ("options", "counts"),
    [
        ({}, [6, 5, 4]),
        ({"target": 8}, [6, 7, 8]),
        ({"target": 7}, [8, 7]),
        ({"target": (2, 6), "reward": "dense"}, [4, 3, 2]),
        ({"target": {"square": 1, "circle": 3}, "least_count": 1, "slip": 1.0}, [3, 2, 1]),
        ({"target": 3, "least_count": 3, "max_count": 3}, [3]),
        ({"target": 0, "wrap": True, "appearance": "object"}, [2, 1, 0]),
    ],
    ids=str,
)
def test_the_first_screen_shows_how_a_picture_becomes_right(
    start, monkeypatch: pytest.MonkeyPatch, options: dict, counts: list[int]
) -> None:
    """Its pictures lead to a target one object at a time, the last one framed; no picture is empty without need."""
    viewer = Viewer(gym.make("CountingEnv-v0", **options), 4, seed=0)
    shown = []
    monkeypatch.setattr(viewer.canvas, "picture", lambda image, area, color: shown.append((image, color)))
    viewer.draw()
    images, colors = zip(*shown, strict=True)
    assert [ndimage.label(image.any(axis=2), np.ones((3, 3)))[1] for image in images] == counts
    assert [color == GOOD for color in colors] == [False] * (len(counts) - 1) + [True]


def test_an_empty_picture_says_so(start, press, shows) -> None:
    """A black square alone would look broken."""
    viewer = start(max_episode_steps=9)
    press(viewer)
    assert not shows("No objects: that is 0")
    viewer.game.observation, viewer.game.info = viewer.game.env.reset(options={"count": 0})
    press(viewer)
    assert shows("No objects: that is 0")


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


@pytest.mark.parametrize("image_size", [32, 64, 100, 150, 171, 256])
def test_every_image_size_has_room(start, press, screen, image_size: int) -> None:
    """The picture is the environment's own enlargement, whole and unblurred, beside the panel."""
    viewer = start(image_size=image_size, background="noise")
    press(viewer)
    assert screen.Rect(24, 104, 512, 512).contains(viewer.picture_area)
    np.testing.assert_array_equal(picture(screen, viewer), enlarge(viewer.game.observation))
