"""Where the viewer draws: a canvas of one size, which its window shows as large as it can."""

import contextlib
import os
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from counting_env.display import open_window
from counting_env.viewer.controls import Intent

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # no greeting in the player's terminal
with contextlib.suppress(ImportError):  # open_window() says what is missing
    import pygame

SIZE = (1280, 720)

Color = tuple[int, int, int]

PAGE: Color = (17, 19, 25)
CARD: Color = (31, 34, 44)
LINE: Color = (62, 68, 84)
INK: Color = (238, 240, 245)
MUTED: Color = (170, 177, 193)
# From the palette of Okabe and Ito, whose colours the colour-blind tell apart.
BLUE: Color = (0, 114, 178)
SKY: Color = (86, 180, 233)
ORANGE: Color = (230, 159, 0)
VERMILLION: Color = (213, 94, 0)

# Heights of the letters, in pixels.
HUGE, BIG, LARGE, MEDIUM, SMALL, TINY = 128, 72, 44, 30, 24, 14

# Signs as strokes between points (x, y) in -5..5, with y downwards.
SIGNS: dict[str, list[list[tuple[float, float]]]] = {
    "minus": [[(-5, 0), (5, 0)]],
    "plus": [[(-5, 0), (5, 0)], [(0, -5), (0, 5)]],
    "cross": [[(-4, -4), (4, 4)], [(-4, 4), (4, -4)]],
    "tick": [[(-5, 0), (-1.5, 4), (5, -4)]],
    "left": [[(5, 0), (-5, 0)], [(-1, -4), (-5, 0), (-1, 4)]],
    "right": [[(-5, 0), (5, 0)], [(1, -4), (5, 0), (1, 4)]],
    "up": [[(0, 5), (0, -5)], [(-4, -1), (0, -5), (4, -1)]],
    "down": [[(0, -5), (0, 5)], [(-4, 1), (0, 5), (4, 1)]],
    "pause": [[(-2.5, -4), (-2.5, 4)], [(2.5, -4), (2.5, 4)]],
    "go on": [[(-3, -4), (4, 0), (-3, 4), (-3, -4)]],
    "step": [[(-4, -4), (2, 0), (-4, 4), (-4, -4)], [(5, -4), (5, 4)]],
}
FINER = 4  # how much larger a sign is drawn, before it is made smooth


class Button(NamedTuple):
    """A large button: a sign, a word, the keys that do the same, what it means, and whether it has an effect now."""

    sign: str
    word: str
    keys: tuple[str, ...]
    intent: Intent
    works: bool = True


class Canvas:
    """A surface in a window, the pens for it, and the buttons that are drawn on it.

    Raises:
        gymnasium.error.DependencyNotInstalled: pygame is not installed.
        gymnasium.error.Error: there is no display.

    Attributes:
        surface: what is drawn on, of ``SIZE`` pixels.
    """

    def __init__(self) -> None:
        open_window(SIZE, resizable=True)
        pygame.font.init()
        self.surface = pygame.Surface(SIZE, depth=32)
        self._fonts: dict[int, pygame.font.Font] = {}
        self._buttons: list[tuple[pygame.Rect, Intent]] = []

    def clear(self) -> None:
        """Begin a new drawing."""
        self.surface.fill(PAGE)
        self._buttons.clear()

    def show(self) -> None:
        """Show the drawing in the window."""
        window, area = self._window()
        if area.size == SIZE:
            window.blit(self.surface, area)
        else:
            window.fill(PAGE)
            window.blit(pygame.transform.smoothscale(self.surface, area.size), area)
        pygame.display.flip()

    def touched(self, point: tuple[int, int]) -> Intent | None:
        """Return the intent of the first button that was drawn at a point (x, y) of the window."""
        _, area = self._window()
        x = (point[0] - area.left) * SIZE[0] // area.width
        y = (point[1] - area.top) * SIZE[1] // area.height
        return next((intent for button, intent in self._buttons if button.collidepoint(x, y)), None)

    def toggle_full_screen(self) -> None:
        """Fill the screen with the window, or return to its first size."""
        if pygame.display.is_fullscreen():
            pygame.display.set_mode(SIZE, pygame.RESIZABLE)
        else:
            pygame.display.set_mode((0, 0), pygame.FULLSCREEN)

    def _window(self) -> tuple["pygame.Surface", "pygame.Rect"]:
        """Return the window, and the part of it that shows the canvas."""
        window = pygame.display.get_surface()
        assert window is not None
        return window, pygame.Rect(0, 0, *SIZE).fit(window.get_rect())

    def add_button(self, area: "pygame.Rect", intent: Intent) -> None:
        """Let a click or a touch in ``area`` mean ``intent``, unless an earlier button lies there."""
        self._buttons.append((area, intent))

    def write(
        self,
        text: str,
        x: int,
        middle: int,
        size: int,
        *,
        color: Color = INK,
        align: str = "left",
        width: int = SIZE[0],
    ) -> None:
        """Write one line of text.

        ``middle`` is its vertical centre; ``x`` its left edge, centre or right edge, as ``align`` says. A text that is
        wider than ``width`` is written in smaller letters, but not in tiny ones.
        """
        while self._font(size).size(text)[0] > width and size > TINY:
            size -= 2
        line = self._font(size).render(text, True, color)
        area = line.get_rect(centery=middle)
        setattr(area, {"left": "left", "center": "centerx", "right": "right"}[align], x)
        self.surface.blit(line, area)

    def picture(self, image: NDArray[np.uint8], area: "pygame.Rect", color: Color) -> None:
        """Draw ``image`` (H, W, 3) without blur, as large as ``area``, in a frame that is thick unless it is a line."""
        edge = 2 if color == LINE else 6
        pygame.draw.rect(self.surface, color, area.inflate(2 * edge, 2 * edge), width=edge)
        pixels = pygame.surfarray.make_surface(image.swapaxes(0, 1))
        self.surface.blit(pygame.transform.scale(pixels, area.size), area)

    def dots(self, number: int, area: "pygame.Rect", color: Color) -> None:
        """Draw ``number`` dots in rows, as large as they fit into ``area``; there is room for two rows at least."""
        if number == 0:
            return
        unit, columns = max(
            (min(area.width // columns, area.height // max(2, -(-number // columns))), columns)
            for columns in range(1, number + 1)
        )
        rows = -(-number // columns)
        top = area.centery - rows * unit // 2
        for dot in range(number):
            row, column = divmod(dot, columns)
            in_row = min(columns, number - row * columns)
            x = area.centerx - in_row * unit // 2 + column * unit + unit // 2
            pygame.draw.circle(self.surface, color, (x, top + row * unit + unit // 2), unit * 2 // 5)

    def card(self, area: "pygame.Rect", color: Color = CARD, edge: Color | None = None) -> None:
        """Draw the ground of something, with round corners."""
        pygame.draw.rect(self.surface, color, area, border_radius=12)
        if edge is not None:
            pygame.draw.rect(self.surface, edge, area, width=3, border_radius=12)

    def keys(self, keys: Sequence[str], middle: tuple[int, int], size: int = MEDIUM) -> None:
        """Draw the caps of ``keys`` in a row around ``middle``; a name of ``SIGNS`` becomes the sign."""
        height, gap = size + 12, 8
        widths = [height if key in SIGNS else max(height, self._font(size).size(key)[0] + 20) for key in keys]
        left = middle[0] - (sum(widths) + gap * (len(keys) - 1)) // 2
        for key, width in zip(keys, widths, strict=True):
            cap = pygame.Rect(left, middle[1] - height // 2, width, height)
            pygame.draw.rect(self.surface, LINE, cap, border_radius=7)
            pygame.draw.rect(self.surface, MUTED, cap, width=2, border_radius=7)
            if key in SIGNS:
                self.sign(key, cap.center, size * 4 // 5)
            else:
                self.write(key, cap.centerx, cap.centery, size, align="center")
            left += width + gap

    def large_button(self, area: "pygame.Rect", button: Button) -> None:
        """Draw a large button; one without effect is pale."""
        self.card(area, BLUE if button.works else CARD)
        color = INK if button.works else MUTED
        self.sign(button.sign, (area.centerx, area.top + 54), 72, color)
        self.write(button.word, area.centerx, area.top + 116, LARGE, color=color, align="center", width=area.width - 20)
        self.keys(button.keys, (area.centerx, area.bottom - 36))
        if button.works:
            self.add_button(area, button.intent)

    def button(self, area: "pygame.Rect", word: str, key: str, intent: Intent) -> None:
        """Draw a button with a word and, to the right of it, the key that does the same."""
        self.card(area, SKY)
        self.write(word, area.left + area.width // 3, area.centery, LARGE, color=PAGE, align="center")
        self.keys((key,), (area.left + area.width * 3 // 4, area.centery))
        self.add_button(area, intent)

    def small_button(self, area: "pygame.Rect", key: str, effect: str, intent: Intent) -> None:
        """Draw a button with a key and its effect."""
        self.card(area)
        self.keys((key,), (area.left + 36, area.centery), SMALL)
        self.write(effect, area.left + 72, area.centery, SMALL, color=MUTED)
        self.add_button(area, intent)

    def sign(self, name: str, middle: tuple[int, int], size: int, color: Color = INK) -> None:
        """Draw one of ``SIGNS``, ``size`` pixels wide, with smooth edges."""
        unit = size * FINER / 12
        sheet = pygame.Surface((size * FINER, size * FINER), pygame.SRCALPHA)
        sheet.fill((*color, 0))
        for stroke in SIGNS[name]:
            points = [pygame.Vector2(point[0] + 6, point[1] + 6) * unit for point in stroke]
            for start, end in pairwise(points):
                across = (end - start).normalize().rotate(90) * unit
                pygame.draw.polygon(sheet, color, [start + across, end + across, end - across, start - across])
            for point in points:
                pygame.draw.circle(sheet, color, point, unit)
        smooth = pygame.transform.smoothscale(sheet, (size, size))
        self.surface.blit(smooth, smooth.get_rect(center=middle))

    def _font(self, size: int) -> "pygame.font.Font":
        if size not in self._fonts:
            self._fonts[size] = pygame.font.Font(None, size)
        return self._fonts[size]
