"""A pygame window in which a person plays CountingEnv, or watches it."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym

from counting_env.dynamics import Target
from counting_env.kernels import ADD, REMOVE
from counting_env.options import Options
from counting_env.window import enlarge, open_window

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # no greeting in the player's terminal
with contextlib.suppress(ImportError):  # open_window() says what is missing
    import pygame

# Names as pygame.key.name() gives them; brackets are the keypad.
ACTION_KEYS = {"left": REMOVE, "down": REMOVE, "-": REMOVE, "[-]": REMOVE}
ACTION_KEYS |= {"right": ADD, "up": ADD, "+": ADD, "=": ADD, "[+]": ADD}

# The layout, in pixels.
MARGIN = 24
TITLE_HEIGHT = 84
SIDE = 512  # of the square for the picture; a smaller picture is centred in it
PANEL = 332  # width of the column beside the picture
SIZE = (SIDE + PANEL + 3 * MARGIN, TITLE_HEIGHT + SIDE + MARGIN)

PAGE = (17, 19, 25)
CARD = (31, 34, 44)
LINE = (62, 68, 84)
INK = (238, 240, 245)
MUTED = (154, 161, 178)
GOOD = (112, 214, 142)
BAD = (243, 139, 112)

Color = tuple[int, int, int]


class Viewer:
    """A window in which a person plays one ``CountingEnv``, key by key.

    Args:
        env: a ``CountingEnv`` as ``gym.make`` gives it, with discrete actions.
        max_episode_steps: the time limit of ``env``, shown as steps left.
        seed: seed of the first episode; ``None`` for a random one.

    Raises:
        gymnasium.error.DependencyNotInstalled: pygame is not installed.
        gymnasium.error.Error: there is no display.

    Attributes:
        observation: what the environment returned last, uint8 (H, W, 3).
        info: the info that came with it.
        steps: number of steps in this episode.
        reward: the last reward of this episode, ``None`` before its first step.
        ended: whether the episode is over; the player can then only start a new one.
        succeeded: whether this episode has arrived at the target.
        successes: episodes so far that arrived at the target.
        episodes: episodes begun so far, this one included.
        count_shown: whether the window shows the count.
        running: whether the window stays open.
        picture_area: the ``pygame.Rect`` of the window that holds the picture.
        size: of the window, (width, height) in pixels.
    """

    size = SIZE

    def __init__(self, env: gym.Env[Any, Any], max_episode_steps: int, seed: int | None = None) -> None:
        self.env = env
        self.max_episode_steps = max_episode_steps
        self.options: Options = env.get_wrapper_attr("options")
        self.successes = 0
        self.episodes = 0
        self.count_shown = True
        self.running = True
        self.window = open_window(self.size)
        pygame.font.init()
        self._fonts: dict[int, pygame.font.Font] = {}
        self._begin(seed)
        self.picture_area = pygame.Rect(0, 0, *enlarge(self.observation, SIDE).shape[:2])
        self.picture_area.center = (MARGIN + SIDE // 2, TITLE_HEIGHT + SIDE // 2)

    def run(self) -> None:
        """Show the window and handle key presses until the player leaves."""
        self.draw()
        while self.running:
            # The timeout lets Python see Ctrl-C in the terminal.
            for event in (pygame.event.wait(200), *pygame.event.get()):
                self.handle(event)
            self.draw()

    def handle(self, event: "pygame.event.Event") -> None:
        """Handle one pygame event: a key press or the closing of the window; ignore all others."""
        if event.type == pygame.QUIT:
            self.running = False
        if event.type != pygame.KEYDOWN:
            return
        key = pygame.key.name(event.key)
        if key in ("q", "escape"):
            self.running = False
        elif key == "r":
            self._begin()
        elif key == "h":
            self.count_shown = not self.count_shown
        else:
            self._on_key(key)

    def close(self) -> None:
        """Close the window and the environment."""
        self.env.close()
        pygame.quit()

    def _on_key(self, key: str) -> None:
        if key in ACTION_KEYS and not self.ended:
            self._step(ACTION_KEYS[key])

    def _begin(self, seed: int | None = None) -> None:
        self.observation, self.info = self.env.reset(seed=seed)
        self.steps = 0
        self.reward: float | None = None
        self.ended = False
        self.succeeded = False
        self.episodes += 1

    def _step(self, action: Any) -> None:
        self.observation, reward, terminated, truncated, self.info = self.env.step(action)
        self.steps += 1
        self.reward = float(reward)
        self.ended = terminated or truncated
        if self.info["is_success"] and not self.succeeded:
            self.succeeded = True
            self.successes += 1

    def draw(self) -> None:
        """Draw the whole window and show it."""
        self.window.fill(PAGE)
        self._write(f"Arrive at {_in_words(self.options.target)}", MARGIN, 36, 42)
        self._write("Starting there does not count.", MARGIN, 66, 22, color=MUTED)
        self._draw_picture()
        self._draw_cards()
        pygame.display.flip()

    def _draw_cards(self) -> None:
        left = SIDE + 2 * MARGIN
        self._draw_numbers(pygame.Rect(left, TITLE_HEIGHT, PANEL, 218))
        self._draw_message(pygame.Rect(left, TITLE_HEIGHT + 230, PANEL, 72))
        self._draw_keys(pygame.Rect(left, TITLE_HEIGHT + 314, PANEL, SIDE - 314))

    def _draw_picture(self) -> None:
        picture = pygame.surfarray.make_surface(enlarge(self.observation, SIDE).swapaxes(0, 1))
        pygame.draw.rect(self.window, LINE, self.picture_area.inflate(2, 2), width=1)
        self.window.blit(picture, self.picture_area)

    def _draw_numbers(self, card: "pygame.Rect") -> None:
        pygame.draw.rect(self.window, CARD, card, border_radius=10)
        left, right = card.left + 18, card.right - 18
        count = str(self.info["count"]) if self.count_shown else "?"
        self._write("Objects", left, card.top + 40, 26, color=MUTED)
        self._write(count, right, card.top + 40, 64, align="right")
        pygame.draw.line(self.window, LINE, (left, card.top + 76), (right, card.top + 76))
        rows = {
            "Steps left": f"{self.max_episode_steps - self.steps} of {self.max_episode_steps}",
            "Last reward": "none yet" if self.reward is None else f"{self.reward:.2f}",
            "Successes": str(self.successes),
            "Episode": str(self.episodes),
        }
        for line, (label, value) in enumerate(rows.items()):
            middle = card.top + 98 + 32 * line
            self._write(label, left, middle, 26, color=MUTED)
            self._write(value, right, middle, 26, align="right")

    def _message(self) -> tuple[Color, str, str]:
        """Return the colour, the headline and the advice of the message."""
        if self.ended:
            color, headline = (GOOD, "Success!") if self.succeeded else (BAD, "Out of steps")
            return color, headline, "Press R for a new episode"
        if self.succeeded:
            return GOOD, "Arrived!", "The episode goes on"
        return LINE, "Your move", "Remove or add an object"

    def _draw_message(self, card: "pygame.Rect") -> None:
        color, headline, advice = self._message()
        pygame.draw.rect(self.window, CARD, card, border_radius=10)
        pygame.draw.rect(self.window, color, card, width=2, border_radius=10)
        self._write(headline, card.left + 18, card.top + 25, 32, color=INK if color == LINE else color)
        self._write(advice, card.left + 18, card.top + 51, 24, color=MUTED)

    def _keys(self) -> dict[str, tuple[str, ...]]:
        """Return the keys for each effect."""
        return {
            "remove": ("Left", "Down", "-"),
            "add": ("Right", "Up", "+"),
            "new episode": ("R",),
            f"{'hide' if self.count_shown else 'show'} the count": ("H",),
            "leave": ("Q", "Esc"),
        }

    def _draw_keys(self, card: "pygame.Rect") -> None:
        pygame.draw.rect(self.window, CARD, card, border_radius=10)
        for line, (effect, keys) in enumerate(self._keys().items()):
            left, middle = card.left + 18, card.top + 27 + 36 * line
            for key in keys:
                left = self._draw_key(key, left, middle) + 6
            self._write(effect, card.right - 18, middle, 24, color=MUTED, align="right")

    def _draw_key(self, key: str, left: int, middle: int) -> int:
        """Draw the key cap of ``key`` and return its right edge."""
        cap = pygame.Rect(left, middle - 13, max(28, self._font(22).size(key)[0] + 16), 26)
        pygame.draw.rect(self.window, LINE, cap, border_radius=6)
        self._write(key, cap.centerx, middle, 22, align="center")
        return cap.right

    def _write(self, text: str, x: int, middle: int, size: int, *, color: Color = INK, align: str = "left") -> None:
        """Write one line of text; ``middle`` is its vertical centre, ``x`` its left edge, centre or right edge."""
        line = self._font(size).render(text, True, color)
        area = line.get_rect(centery=middle)
        setattr(area, {"left": "left", "center": "centerx", "right": "right"}[align], x)
        self.window.blit(line, area)

    def _font(self, size: int) -> "pygame.font.Font":
        if size not in self._fonts:
            self._fonts[size] = pygame.font.Font(None, size)
        return self._fonts[size]


def _in_words(target: Target) -> str:
    """Return what the player has to arrive at, such as "2 or 6 objects" or "4 circles, 1 square"."""
    if isinstance(target, Mapping):
        return ", ".join(_some(counts, shape) for shape, counts in target.items())
    return _some(target, "object")


def _some(counts: int | Sequence[int], noun: str) -> str:
    numbers = counts if isinstance(counts, Sequence) else (counts,)
    return f"{' or '.join(map(str, numbers))} {noun}{'' if tuple(numbers) == (1,) else 's'}"
