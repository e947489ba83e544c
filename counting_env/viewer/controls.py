"""What the player wants: keys, mouse, touch and gamepads become intents."""

import contextlib
from collections.abc import Callable
from enum import Enum, auto
from typing import Any

with contextlib.suppress(ImportError):  # open_window() says what is missing
    import pygame

TILTED, CENTRED = 0.6, 0.3  # how far a stick is from its middle, of 1


class Intent(Enum):
    """One thing that a player can want of the viewer."""

    REMOVE = auto()
    ADD = auto()
    GO_ON = auto()  # begin; then the next episode; of an agent, pause and go on
    NEW_EPISODE = auto()
    COUNT = auto()  # hide or show it
    RECORD = auto()  # begin, or end and write the file
    FULL_SCREEN = auto()
    LEAVE = auto()


# Names as pygame.key.name() gives them; brackets are the keypad.
KEYS = {
    **dict.fromkeys(("left", "down", "-", "[-]"), Intent.REMOVE),
    **dict.fromkeys(("right", "up", "+", "=", "[+]"), Intent.ADD),
    **dict.fromkeys(("space", "return", "enter"), Intent.GO_ON),
    **dict.fromkeys(("q", "escape"), Intent.LEAVE),
    "r": Intent.NEW_EPISODE,
    "h": Intent.COUNT,
    "g": Intent.RECORD,
    "f11": Intent.FULL_SCREEN,
}

# Makers number their start buttons differently, so that every other button goes on. Of the four at the right thumb the
# right one is 1 and the left one 2; pads whose cross is no hat have it on 11 to 14: up, down, left, right.
PAD_BUTTONS = {
    **dict.fromkeys((2, 12, 13), Intent.REMOVE),
    **dict.fromkeys((1, 11, 14), Intent.ADD),
}


class Controls:
    """Translate pygame's events, with the gamepads that are plugged in meanwhile.

    Args:
        touched: returns the intent of the button at a point (x, y) of the window, ``None`` where there is none.
    """

    def __init__(self, touched: Callable[[tuple[int, int]], Intent | None]) -> None:
        self._touched = touched
        self._pads: dict[int, pygame.joystick.JoystickType] = {}  # pygame forgets a pad that nobody holds
        self._sticks: dict[int, list[float]] = {}  # right and up, of each pad
        self._tilted: set[Any] = set()
        with contextlib.suppress(pygame.error, NotImplementedError):  # a system without gamepads
            pygame.joystick.init()

    def intent(self, event: "pygame.event.Event") -> Intent | None:
        """Return what ``event`` asks for; ``None`` if it asks for nothing."""
        if event.type == pygame.QUIT:
            return Intent.LEAVE
        if event.type == pygame.KEYDOWN:
            return KEYS.get(pygame.key.name(event.key))
        # SDL makes a mouse event of each touch, so that FINGERDOWN would make two steps of one.
        if event.type == pygame.MOUSEBUTTONDOWN and event.button == 1:
            return self._touched(event.pos)
        return self._gamepad(event)

    def _gamepad(self, event: "pygame.event.Event") -> Intent | None:
        if event.type == pygame.JOYBUTTONDOWN:
            return PAD_BUTTONS.get(event.button, Intent.GO_ON)
        if event.type == pygame.JOYHATMOTION:
            return self._tilt((event.instance_id, event.hat), *event.value)
        if event.type == pygame.JOYAXISMOTION and event.axis < 2:  # the others are the right stick and the triggers
            stick = self._sticks.setdefault(event.instance_id, [0.0, 0.0])
            stick[event.axis] = -event.value if event.axis else event.value
            return self._tilt(event.instance_id, *stick)
        if event.type == pygame.JOYDEVICEADDED:
            pad = pygame.joystick.Joystick(event.device_index)
            self._pads[pad.get_instance_id()] = pad
        elif event.type == pygame.JOYDEVICEREMOVED:
            self._pads.pop(event.instance_id, None)
        return None

    def _tilt(self, stick: Any, right: float, up: float) -> Intent | None:
        """Return what a stick or cross asks for: something once, when it leaves its middle."""
        tilt = right if abs(right) >= abs(up) else up
        if abs(tilt) < CENTRED:
            self._tilted.discard(stick)
        elif abs(tilt) > TILTED and stick not in self._tilted:
            self._tilted.add(stick)
            return Intent.ADD if tilt > 0 else Intent.REMOVE
        return None
