"""What an object looks like: four 7x7 sprites, and the range of their colours."""

import numpy as np
from numpy.typing import NDArray

SHAPES = ("circle", "square", "triangle", "stroke")
RADIUS = 3  # pixels from a sprite's centre to the edge of its box
SIZE = 2 * RADIUS + 1  # pixels along one side of a sprite's box
PITCH = SIZE + 1  # least distance of two centres along some axis, so that 1 pixel stays free between boxes
DARKEST, BRIGHTEST = 30, 225  # range of each drawn colour channel, both ends included


def _draw_sprites() -> NDArray[np.bool_]:
    """Return the masks of ``SHAPES``, bool of shape (4, 7, 7)."""
    row, column = np.mgrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1]
    circle = row**2 + column**2 <= RADIUS**2 + 1
    square = np.ones((SIZE, SIZE), dtype=np.bool_)
    triangle = 2 * np.abs(column) <= row + RADIUS + 1
    stroke = (column - row == 0) | (column - row == 1)
    return np.stack([circle, square, triangle, stroke])


SPRITES = _draw_sprites()
