"""The matrix of classes: which are taken for which."""

from typing import NamedTuple

import numpy as np
from bokeh.palettes import Viridis256

from jepa_extractor.audit.measures import ClassPairs
from jepa_extractor.audit.pictures import rgb
from jepa_extractor.audit.words import plain

MOST_CLASSES = 30


class Cell(NamedTuple):
    """A pair of classes.

    Attributes:
        left: index of the row's class among all classes.
        right: index of the column's class.
        error: how often one is taken for the other, in percent.
        collapsed: whether the pair must be kept apart and is not.
        colour: of the cell.
        ink: of the text, black or white, whichever can be read on ``colour``.
        text: the pair in words.
    """

    left: int
    right: int
    error: str
    collapsed: bool
    colour: str
    ink: str
    text: str


class Matrix(NamedTuple):
    """Rows and columns are the same classes; the diagonal is empty."""

    names: list[str]
    rows: list[list[Cell | None]]
    left_out: int


def matrix_of(pairs: ClassPairs) -> Matrix:
    """Return the errors of all pairs of classes, or of the 30 classes with the largest errors."""
    required = np.where(pairs.required, pairs.errors, -1.0)
    order = np.lexsort((pairs.margins.min(axis=1), -required.max(axis=1)))
    shown = np.sort(order[:MOST_CLASSES]).tolist()
    names = [plain(name) for name in pairs.classes.tolist()]

    def cell(i: int, j: int) -> Cell | None:
        if i == j:
            return None
        error, margin = float(pairs.errors[i, j]), float(pairs.margins[i, j])
        lost = bool(pairs.required[i, j] and not pairs.kept[i, j])
        colour = Viridis256[int(255 * max(0.0, 1 - 2 * error))]
        spread = f"{margin:.1f}" if margin < 1_000 else "∞"
        text = f"{names[i]} and {names[j]}: error {error:.1%}, margin {spread}{', collapsed' if lost else ''}"
        return Cell(i, j, f"{100 * error:.0f}", lost, colour, _ink(colour), text)

    return Matrix([names[i] for i in shown], [[cell(i, j) for j in shown] for i in shown], len(names) - len(shown))


def _ink(colour: str) -> str:
    """Return black or white, whichever contrasts more with ``colour`` (relative luminance of WCAG 2)."""
    channels = np.array(rgb(colour)) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return "#000" if linear @ [0.2126, 0.7152, 0.0722] > 0.179 else "#fff"
