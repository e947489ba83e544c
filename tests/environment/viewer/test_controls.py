"""Mouse, touch and gamepads, as pygame's events, in the viewer's loop."""

import weakref
from typing import Any

import pytest

from counting_env.display import open_window
from counting_env.viewer.controls import Intent

pytest.importorskip("pygame")


@pytest.fixture
def click(screen):
    """A function that returns the events of a click, or of a touch, from which SDL makes a click."""

    def events(place: tuple[int, int], button: int = 1, touch: bool = False) -> list[Any]:
        kinds = [screen.MOUSEBUTTONDOWN, screen.MOUSEBUTTONUP]
        clicks = [screen.event.Event(kind, pos=place, button=button, touch=touch) for kind in kinds]
        if not touch:
            return clicks
        finger = {"touch_id": 1, "finger_id": 0, "x": place[0] / 1280, "y": place[1] / 720}
        touches = [screen.event.Event(kind, finger) for kind in (screen.FINGERDOWN, screen.FINGERUP)]
        return [touches[0], clicks[0], touches[1], clicks[1]]

    return events


@pytest.mark.parametrize("touch", [False, True])
def test_a_click_or_a_touch_is_one_step(start, happen, where, click, touch: bool) -> None:
    """The two large buttons remove and add; a touch counts once, though SDL reports it twice."""
    viewer = start(target=0)
    happen(viewer)
    happen(viewer, *click(where("remove"), touch=touch))
    assert (viewer.game.info["count"], viewer.game.steps) == (6, 1)
    happen(viewer, *click(where("add"), touch=touch), *click(where("add"), touch=touch))
    assert (viewer.game.info["count"], viewer.game.steps) == (8, 3)


def test_clicks_elsewhere_and_other_buttons_do_nothing(start, happen, where, click) -> None:
    """A click on the picture has no effect, nor the right button or the wheel on a button."""
    viewer = start(target=0)
    happen(viewer)
    happen(viewer, *click(viewer.picture_area.center), *click(where("add"), button=3), *click(where("add"), button=4))
    assert viewer.game.steps == 0


def test_a_click_leads_through_a_game(start, happen, where, click, shows) -> None:
    """Anywhere on the first screen it begins; after the end "Next" goes on, and the large buttons are dead."""
    viewer = start(max_episode_steps=1)
    viewer.welcoming = True
    happen(viewer, *click((5, 300)))
    assert (viewer.welcoming, viewer.game.steps) == (False, 0)
    place = where("add")
    happen(viewer, *click(place), *click(place))
    assert (viewer.game.steps, viewer.game.ended) == (1, True)
    happen(viewer, *click(where("Next")))
    assert (viewer.game.steps, viewer.game.ended) == (0, False)


def test_the_first_screens_buttons(start, happen, where, click) -> None:
    """A click on a small button does not begin."""
    viewer = start()
    viewer.welcoming = True
    happen(viewer)
    viewer.running = True
    for event in click(where("leave")):
        viewer.handle(event)
    assert (viewer.running, viewer.welcoming) == (False, True)


def test_every_key_of_the_strip_is_a_button(start, happen, where, click) -> None:
    """A person with a mouse alone can do all of it."""
    viewer = start()
    happen(viewer)
    texts = ("new episode", "show the count", "record a GIF", "full screen", "leave")
    meant = [viewer.canvas.touched(where(text)) for text in texts]
    assert meant == [Intent.NEW_EPISODE, Intent.COUNT, Intent.RECORD, Intent.FULL_SCREEN, Intent.LEAVE]


@pytest.mark.parametrize("size", [(640, 360), (1920, 1080), (900, 800), (1600, 500)])
def test_in_a_window_of_another_size(start, happen, where, click, screen, size: tuple[int, int]) -> None:
    """The whole canvas is shown in the middle as large as it fits, and a click hits what is seen."""
    viewer = start(target=0)
    happen(viewer)
    seen = where("remove")
    open_window(size, resizable=True)
    scale = min(size[0] / 1280, size[1] / 720)
    left, top = (size[0] - 1280 * scale) / 2, (size[1] - 720 * scale) / 2
    place = round(left + seen[0] * scale), round(top + seen[1] * scale)
    happen(viewer, *click(place))
    assert viewer.game.info["count"] == 6
    window = screen.display.get_surface()
    for corner in ((0, 0), (size[0] - 1, size[1] - 1)):
        assert window.get_at(corner)[:3] == (17, 19, 25)
    inside = left + viewer.panel.left * scale + 5, top + (viewer.panel.bottom - 5) * scale
    assert window.get_at([round(at) for at in inside])[:3] == pytest.approx((0, 114, 178), abs=4)


def test_f11_fills_the_screen_and_returns(start, press, screen) -> None:
    """Full screen has the size of the desktop; a second F11 ends it."""
    viewer = start()
    press(viewer, "F11")
    assert screen.display.is_fullscreen()
    assert screen.display.get_surface().get_size() == screen.display.get_desktop_sizes()[0]
    press(viewer, "F11")
    assert not screen.display.is_fullscreen()


@pytest.fixture
def pad(screen):
    """A function that returns an event of a gamepad: a button, its cross as a hat, or an axis."""

    def event(instance_id: int = 0, **what: Any) -> Any:
        kind = {"button": screen.JOYBUTTONDOWN, "hat": screen.JOYHATMOTION, "axis": screen.JOYAXISMOTION}
        return screen.event.Event(kind[next(iter(what))], instance_id=instance_id, **what)

    return event


@pytest.mark.parametrize(
    ("value", "count"),
    [((-1, 0), 6), ((1, 0), 8), ((0, 1), 8), ((0, -1), 6)],
)
def test_the_cross_of_a_gamepad(start, happen, pad, value: tuple[int, int], count: int) -> None:
    """Left and down remove, right and up add; a step needs a press from the middle."""
    viewer = start(target=0)
    diagonal = tuple(way or 1 for way in value)
    happen(viewer, pad(hat=0, value=value), pad(hat=0, value=diagonal), pad(hat=0, value=value))
    assert (viewer.game.info["count"], viewer.game.steps) == (count, 1)
    happen(viewer, pad(hat=0, value=(0, 0)), pad(hat=0, value=value))
    assert viewer.game.steps == 2


@pytest.mark.parametrize(("axis", "sign"), [(0, 1), (1, -1)])
def test_the_left_stick_of_a_gamepad(start, happen, pad, axis: int, sign: int) -> None:
    """Beyond the threshold it makes one step, and the next only after it was back; pads do not disturb each other."""
    viewer = start(target=0, max_count=16, max_episode_steps=16)

    def tilt(*values: float, instance_id: int = 0) -> int:
        before = viewer.game.info["count"]
        happen(viewer, *(pad(instance_id, axis=axis, value=sign * value) for value in values))
        return viewer.game.info["count"] - before

    assert tilt(0.1, 0.5, 0.2) == 0
    assert tilt(0.5, 0.7, 1.0, 0.8, 0.5, 0.7, 1.0) == 1
    assert tilt(1.0, instance_id=1) == 1
    assert tilt(0.0, 1.0) == 1
    assert tilt(0.0, -1.0, 0.0) == -1
    happen(viewer, pad(axis=1 - axis, value=1.0), pad(axis=axis, value=sign * 1.0), pad(axis=1 - axis, value=0.0))
    assert viewer.game.steps == 5
    happen(viewer, pad(axis=2, value=1.0), pad(axis=3, value=-1.0), pad(axis=5, value=-1.0))
    assert viewer.game.steps == 5


@pytest.mark.parametrize(("button", "count"), [(2, 6), (13, 6), (12, 6), (1, 8), (14, 8), (11, 8)])
def test_buttons_of_a_gamepad_that_remove_and_add(start, happen, pad, button: int, count: int) -> None:
    """The left and right one of the four at the thumb, and the cross of pads on which it is four buttons."""
    viewer = start(target=0)
    happen(viewer, pad(button=button))
    assert viewer.game.info["count"] == count


@pytest.mark.parametrize("button", [0, 6, 7, 9])
def test_the_start_button_of_a_gamepad(start, happen, pad, button: int) -> None:
    """It begins and leads on, and changes nothing in an episode; so do all buttons without another meaning."""
    viewer = start(max_episode_steps=1)
    viewer.welcoming = True
    happen(viewer, pad(button=button), pad(button=button))
    assert (viewer.welcoming, viewer.game.steps, viewer.game.ended) == (False, 0, False)
    happen(viewer, pad(button=1), pad(button=button))
    assert (viewer.game.steps, viewer.game.score) == (0, (0, 1))


def test_gamepads_come_and_go(start, happen, screen, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pad that is plugged in is held open, as pygame needs it, until it is pulled out."""
    viewer = start()
    opened = []

    class Pad:
        def __init__(self, index: int) -> None:
            opened.append((index, weakref.ref(self)))

        def get_instance_id(self) -> int:
            return 7

    monkeypatch.setattr(screen.joystick, "Joystick", Pad)
    happen(viewer, screen.event.Event(screen.JOYDEVICEADDED, device_index=2, guid=""))
    ((index, pad),) = opened
    assert index == 2
    assert pad() is not None
    happen(viewer, screen.event.Event(screen.JOYDEVICEREMOVED, instance_id=7))
    assert pad() is None


@pytest.mark.parametrize("error", ["pygame", NotImplementedError("joystick module not available")])
def test_a_system_without_gamepads(start, press, screen, monkeypatch: pytest.MonkeyPatch, error: Any) -> None:
    """The viewer works where SDL has no joysticks, or pygame was built without them."""

    def fail() -> None:
        raise screen.error("no joysticks") if error == "pygame" else error

    monkeypatch.setattr(screen.joystick, "init", fail)
    viewer = start()
    press(viewer, "LEFT")
    assert viewer.game.info["count"] == 6
