"""A window in which a person plays CountingEnv, or watches it."""

import contextlib
from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import DependencyNotInstalled
from numpy.typing import NDArray

from counting_env.checks import Target
from counting_env.display import enlarge
from counting_env.env import CountingEnv
from counting_env.kernels import ADD, REMOVE
from counting_env.options import Options
from counting_env.viewer.canvas import (
    BIG,
    HUGE,
    INK,
    LARGE,
    LINE,
    MEDIUM,
    MUTED,
    ORANGE,
    SIZE,
    SKY,
    SMALL,
    VERMILLION,
    Button,
    Canvas,
    Color,
)
from counting_env.viewer.controls import Controls, Intent
from counting_env.viewer.game import Game
from counting_env.viewer.recording import Recording

with contextlib.suppress(ImportError):  # open_window() says what is missing
    import pygame

ACTIONS = {Intent.REMOVE: REMOVE, Intent.ADD: ADD}

# The layout, in pixels.
MARGIN, GAP = 24, 8
TOP = 104  # height of the title and the score
SIDE = 512  # of the square for the picture; a smaller picture is centred in it
STRIP = 60  # height of the small buttons
EXAMPLE = 192  # side of a picture on the first screen

GOOD, BAD = SKY, ORANGE


class Message(NamedTuple):
    """What the window says: a sign and words beside each colour, and perhaps a button."""

    color: Color
    sign: str | None
    headline: str
    advice: str
    button: str | None = None


class Viewer:
    """A window in which a person plays one ``CountingEnv``, step by step.

    Args:
        env: a ``CountingEnv`` as ``gym.make`` gives it.
        max_episode_steps: the time limit of ``env``, shown as steps left.
        seed: seed of the first episode; ``None`` for a random one.
        canvas: what to draw on; ``None`` opens a window.

    Raises:
        gymnasium.error.DependencyNotInstalled: pygame is not installed.
        gymnasium.error.Error: there is no display.

    Attributes:
        game: the ``Game`` that the window shows.
        welcoming: whether the window shows the first screen, which explains the game.
        count_shown: whether the window shows the count at any time, and not only when the episode is over.
        kiosk: whether what a visitor should not do is left out: leave, record, change the size of the window.
        recording: what is being recorded, ``None`` if nothing is.
        running: whether the window stays open.
        picture_area: the ``pygame.Rect`` of the canvas that holds the picture.
        panel: the ``pygame.Rect`` of the canvas for the numbers, the message and the large buttons.
    """

    patience = 200  # milliseconds without an event after which the window is drawn again

    def __init__(
        self,
        env: gym.Env[Any, Any],
        max_episode_steps: int,
        seed: int | None = None,
        canvas: Canvas | None = None,
    ) -> None:
        self.canvas = canvas or Canvas()
        self.controls = Controls(self.canvas.touched)
        self.game = Game(env, max_episode_steps, seed)
        self.welcoming = True
        self.count_shown = False  # who has not counted yet should
        self.kiosk = False
        self.recording: Recording | None = None
        self.running = True
        self._news = ""
        self.picture_area = pygame.Rect(0, 0, *enlarge(self.game.observation, SIDE).shape[:2])
        self.picture_area.center = (MARGIN + SIDE // 2, TOP + SIDE // 2)
        self.panel = pygame.Rect(SIDE + 2 * MARGIN, TOP, SIZE[0] - SIDE - 3 * MARGIN, SIDE)

    def run(self) -> None:
        """Show the window and do what the player wants until the player leaves."""
        self.draw()
        while self.running:
            # The timeout lets Python see Ctrl-C in the terminal.
            for event in (pygame.event.wait(self.patience), *pygame.event.get()):
                self.handle(event)
            self.tick()
            self.draw()

    def tick(self) -> None:
        """Do what is due without an event: here nothing."""

    def handle(self, event: "pygame.event.Event") -> None:
        """Do what one pygame event asks for; ignore it if it asks for nothing."""
        intent = self.controls.intent(event)
        if intent is not None:
            self.want(intent)

    def want(self, intent: Intent) -> None:
        """Do what the player wants."""
        if intent is Intent.LEAVE:
            self.running = False
        elif intent is Intent.COUNT:
            self.count_shown = not self.count_shown
        elif intent is Intent.FULL_SCREEN:
            self.canvas.toggle_full_screen()
        elif intent is Intent.RECORD:
            self._start_recording() if self.recording is None else self._save_recording()
        else:
            self._play(intent)

    def close(self) -> None:
        """Write what was being recorded; close the window and the environment."""
        if self.recording is not None:
            self._save_recording()
            print(self._news)
        self.game.env.close()
        pygame.quit()

    def _play(self, intent: Intent) -> None:
        if self.welcoming:
            self.welcoming = False
        elif intent is Intent.NEW_EPISODE or (intent is Intent.GO_ON and self.game.ended):
            self.begin()
        elif intent in ACTIONS and not self.game.ended:
            self.step(ACTIONS[intent])

    def begin(self) -> None:
        """Begin the next episode."""
        self.game.begin()

    def step(self, action: int) -> None:
        """Make the player's step: ``REMOVE`` or ``ADD``."""
        numbers = isinstance(self.game.env.action_space, spaces.Box)
        self.game.step(np.array([2.0 * action - 1.0], np.float32) if numbers else action)

    def _start_recording(self) -> None:
        try:
            self.recording = Recording()
        except DependencyNotInstalled as error:
            self._news = str(error)

    def _save_recording(self) -> None:
        assert self.recording is not None
        try:
            self._news = f"Saved {self.recording.save()}"
        except OSError as error:
            self._news = f"The recording is lost: {error.strerror or error}"
        self.recording = None

    def draw(self) -> None:
        """Draw the whole window and show it."""
        self.canvas.clear()
        if self.welcoming:
            self._draw_welcome()
        else:
            self._draw_game()
        if self.recording is not None:
            self.recording.see(self.canvas.surface)  # before the sign that it is on
            if self.recording.full:
                self._save_recording()
        self._draw_news()
        self.canvas.show()

    def _draw_welcome(self) -> None:
        middle = SIZE[0] // 2
        some_steps = "1 step" if self.game.max_episode_steps == 1 else f"{self.game.max_episode_steps} steps"
        self.canvas.write(self._title(), middle, 96, HUGE, align="center", width=SIZE[0] - 2 * MARGIN)
        advice = f"Count the objects. Remove or add one at a time. You have {some_steps}."
        self.canvas.write(advice, middle, 176, LARGE, color=MUTED, align="center")
        self._draw_example()
        left = pygame.Rect(SIZE[0] - MARGIN - 2 * 256 - GAP, 278, 256, 212)
        for question, area, button in zip(
            ("Too many?", "Too few?"), (left, left.move(256 + GAP, 0)), self._large_buttons(), strict=True
        ):
            self.canvas.write(question, area.centerx, 246, LARGE, align="center")
            self.canvas.large_button(area, button)
        start = pygame.Rect(middle - 170, 524, 340, 72)
        self.canvas.button(start, "Start", "Space", Intent.GO_ON)
        self.canvas.write(self._hint(), middle, 614, SMALL, color=MUTED, align="center")
        self._draw_strip()
        self.canvas.add_button(pygame.Rect(0, 0, *SIZE), Intent.GO_ON)

    def _draw_example(self) -> None:
        """Draw how a picture becomes one with as many objects as it takes."""
        action, images = _way_to_target(self.game.options)
        step = EXAMPLE + 56
        area = pygame.Rect(0, 288, EXAMPLE, EXAMPLE)
        area.left = (2 * MARGIN + 3 * step - 56 - (len(images) - 1) * step - EXAMPLE) // 2
        for number, image in enumerate(images):
            last = number == len(images) - 1
            self.canvas.picture(image, area, GOOD if last else LINE)
            if not last:
                self.canvas.sign("minus" if action == REMOVE else "plus", (area.right + 28, area.centery), 36)
                area = area.move(step, 0)
        self.canvas.sign("tick", (area.centerx, area.bottom + 24), 28, GOOD)

    def _draw_game(self) -> None:
        self.canvas.write(self._title(), MARGIN, 40, BIG, width=SIDE)
        self.canvas.write("Starting there does not count.", MARGIN, 80, SMALL, color=MUTED)
        self._draw_score()
        self._draw_picture()
        numbers, message, buttons = self.panel.copy(), self.panel.copy(), self.panel.copy()
        numbers.height, message.height = 192, 104
        message.top = numbers.bottom + GAP
        buttons.top = message.bottom + GAP
        buttons.height = self.panel.bottom - buttons.top
        self._draw_numbers(numbers)
        self._draw_message(message)
        choices = self._large_buttons()
        buttons.width = (buttons.width + GAP) // len(choices) - GAP
        for button in choices:
            self.canvas.large_button(buttons, button)
            buttons = buttons.move(buttons.width + GAP, 0)
        self._draw_strip()

    def _title(self) -> str:
        return f"Make it {_in_words(self.game.options.target)}"

    def _hint(self) -> str:
        return "Or click, touch, or take a gamepad."

    def _draw_news(self) -> None:
        """Write above the panel what became of a recording, or the sign that there is one."""
        left, middle = self.panel.left, 40
        if self.recording is not None:
            pygame.draw.circle(self.canvas.surface, VERMILLION, (left + 14, middle), 14)
            self.canvas.write("Recording. G ends it.", left + 40, middle, MEDIUM)
            return
        for line, text in enumerate(wrap(self._news, 31, break_on_hyphens=False)):
            self.canvas.write(text, left, 26 + 28 * line, SMALL)

    def _draw_score(self) -> None:
        right = SIZE[0] - MARGIN
        successes, episodes = self.game.score
        for label, value, middle in (
            ("score", f"{successes} of {episodes}", right - 220),
            ("in a row", f"{self.game.streak}", right - 50),
        ):
            self.canvas.write(value, middle, 40, BIG, align="center")
            self.canvas.write(label, middle, 80, SMALL, color=MUTED, align="center")

    def _draw_picture(self) -> None:
        self.canvas.picture(self.game.observation, self.picture_area, self._message().color)
        if self.game.info["count"] == 0:  # an empty picture looks as if something were broken
            note = pygame.Rect(0, 0, 300, 56)
            note.midbottom = self.picture_area.centerx, self.picture_area.bottom - 24
            self.canvas.card(note)
            self.canvas.write("No objects: that is 0", note.centerx, note.centery, MEDIUM, align="center")

    def _draw_numbers(self, card: "pygame.Rect") -> None:
        self.canvas.card(card)
        left, right = card.left + 18, card.right - 18
        count = str(self.game.info["count"]) if self.count_shown or self.game.ended else "?"
        self.canvas.write("Objects", left, card.top + 58, LARGE, color=MUTED)
        self.canvas.write(count, right, card.top + 58, HUGE, align="right")
        pygame.draw.line(self.canvas.surface, LINE, (left, card.top + 108), (right, card.top + 108))
        rows = {
            "Steps left": f"{self.game.max_episode_steps - self.game.steps} of {self.game.max_episode_steps}",
            "Last reward": "none yet" if self.game.reward is None else f"{self.game.reward:.2f}",
        }
        for line, (label, value) in enumerate(rows.items()):
            middle = card.top + 132 + 36 * line
            self.canvas.write(label, left, middle, MEDIUM, color=MUTED)
            self.canvas.write(value, right, middle, MEDIUM, align="right")

    def _message(self) -> Message:
        if self.game.ended:
            if self.game.succeeded:
                return Message(GOOD, "tick", "Success!", "One more?", "Next")
            return Message(BAD, "cross", "Out of steps", "Try again!", "Next")
        if self.game.succeeded:
            return Message(GOOD, "tick", "Arrived!", "The episode goes on")
        return Message(LINE, None, "Your move", "Remove or add an object")

    def _draw_message(self, card: "pygame.Rect") -> None:
        color, sign, headline, advice, button = self._message()
        self.canvas.card(card, edge=color)
        left = card.left + 18
        if sign:
            self.canvas.sign(sign, (left + 28, card.centery), 56, color)
            left += 76
        self.canvas.write(headline, left, card.top + 36, LARGE, color=color if sign else INK)
        width = card.right - left - (250 + 3 * GAP if button else GAP)
        self.canvas.write(advice, left, card.top + 74, MEDIUM, color=MUTED, width=width)
        if button:
            area = card.inflate(-2 * GAP, -2 * GAP)
            area.left, area.width = area.right - 250, 250
            self.canvas.button(area, button, "Space", Intent.GO_ON)

    def _large_buttons(self) -> list[Button]:
        works = not self.game.ended
        return [
            Button("minus", "remove", ("left", "down", "minus"), Intent.REMOVE, works),
            Button("plus", "add", ("right", "up", "plus"), Intent.ADD, works),
        ]

    def _draw_strip(self) -> None:
        buttons = {
            Intent.NEW_EPISODE: ("R", "new episode"),
            Intent.COUNT: ("H", f"{'hide' if self.count_shown else 'show'} the count"),
            Intent.RECORD: ("G", "record a GIF"),
            Intent.FULL_SCREEN: ("F11", "full screen"),
            Intent.LEAVE: ("Q", "leave"),
        }
        if self.welcoming:
            del buttons[Intent.NEW_EPISODE], buttons[Intent.COUNT]
        if self.kiosk:
            del buttons[Intent.RECORD], buttons[Intent.FULL_SCREEN], buttons[Intent.LEAVE]
        width = (SIZE[0] - 2 * MARGIN + GAP) // 5 - GAP
        area = pygame.Rect(0, SIZE[1] - MARGIN - STRIP, width, STRIP)
        area.left = (SIZE[0] - (width + GAP) * len(buttons) + GAP) // 2
        for intent, (key, effect) in buttons.items():
            self.canvas.small_button(area, key, effect, intent)
            area = area.move(width + GAP, 0)


def _way_to_target(options: Options) -> tuple[int, list[NDArray[np.uint8]]]:
    """Return an action, and the pictures of at most three counts by which it leads to a target."""
    env = CountingEnv(**vars(options) | {"placement": "persist", "slip": 0.0, "terminate_on_target": False})
    start: dict[str, Any] = {"shape": "circle", "color": SKY} if options.appearance == "episode" else {}
    counts: Any = options.target
    if isinstance(counts, Mapping):
        start["shape"], counts = next(iter(counts.items()))
    target = counts[0] if isinstance(counts, Sequence) else counts
    action = REMOVE if target < options.max_count else ADD
    most = min(target + 2, options.max_count) if action == REMOVE else max(target - 2, options.least_count)
    steps = abs(most - target)
    given = np.array([2.0 * action - 1.0], np.float32) if options.continuous else action
    images = [env.reset(seed=0, options=start | {"count": most})[0]]
    images += [env.step(given)[0] for _ in range(steps)]
    return action, images


def _in_words(target: Target) -> str:
    """Return what the player has to arrive at, such as "2 or 6" or "4 circles, 1 square"."""
    if isinstance(target, Mapping):
        return ", ".join(f"{_numbers(counts)} {shape}{'' if counts == 1 else 's'}" for shape, counts in target.items())
    return _numbers(target)


def _numbers(counts: int | Sequence[int]) -> str:
    return " or ".join(map(str, counts if isinstance(counts, Sequence) else (counts,)))
