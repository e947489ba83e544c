"""The matrix of class distances: which classes lie how far apart."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from bokeh.palettes import Viridis256

from jepa_extractor.audit.collapse import MOST_MARGIN
from jepa_extractor.audit.page.facts import plain
from jepa_extractor.audit.page.pictures import rgb

if TYPE_CHECKING:
    from jepa_extractor.audit.collapse import CollapseReport

MOST_CLASSES = 30


class Cell(NamedTuple):
    """A pair of classes.

    Attributes:
        left: index of the row's class among all classes.
        right: index of the column's class.
        margin: as a number with one digit after the point.
        collapsed: whether the pair collapsed.
        colour: of the cell.
        ink: of the text, black or white, whichever can be read on ``colour``.
        text: the pair in words.
    """

    left: int
    right: int
    margin: str
    collapsed: bool
    colour: str
    ink: str
    text: str


class Matrix(NamedTuple):
    """Rows and columns are the same classes; the diagonal is empty."""

    names: list[str]
    rows: list[list[Cell | None]]
    left_out: int


def matrix_of(report: "CollapseReport") -> Matrix:
    """Return the margins of all pairs of classes, or of the 30 classes with the smallest margins."""
    smallest = np.argsort(report.margins.min(axis=1), kind="stable")[:MOST_CLASSES]
    shown = np.sort(smallest).tolist()
    names = [plain(name) for name in report.classes.tolist()]
    collapsed = {frozenset(pair) for pair in report.collapsed_pairs}

    def cell(i: int, j: int) -> Cell | None:
        if i == j:
            return None
        margin = float(report.margins[i, j])
        lost = frozenset((report.classes[i].item(), report.classes[j].item())) in collapsed
        colour = Viridis256[int(255 * min(margin / MOST_MARGIN, 1.0))]
        number = f"{margin:.1f}" if margin < 1_000 else "∞"
        text = f"{names[i]} and {names[j]}: margin {number}{', collapsed' if lost else ''}"
        return Cell(i, j, number, lost, colour, _ink(colour), text)

    return Matrix([names[i] for i in shown], [[cell(i, j) for j in shown] for i in shown], len(names) - len(shown))


def _ink(colour: str) -> str:
    """Return black or white, whichever contrasts more with ``colour`` (relative luminance of WCAG 2)."""
    channels = np.array(rgb(colour)) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return "#000" if linear @ [0.2126, 0.7152, 0.0722] > 0.179 else "#fff"
