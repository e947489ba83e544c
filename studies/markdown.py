"""Tables and intervals as Markdown."""

from collections.abc import Iterable, Sequence


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    """Return a table; the columns whose numbers are in ``left`` are aligned left, the others right."""
    ruler = ["---" if column in left else "---:" for column in range(len(header))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, ruler, *rows))


def interval_text(interval: Iterable[float], form: str = ".2f") -> str:
    """Return an estimate and the ends of its interval, each in the same form: ``0.51 [0.40, 0.62]``."""
    value, low, high = (_without_minus_zero(f"{number:{form}}") for number in interval)
    return f"{value} [{low}, {high}]"


def spread_text(values: Sequence[float], middle: float, form: str = ".3f") -> str:
    """Return a middle and the range of the values: ``0.51 (0.40 to 0.62)``."""
    return f"{middle:{form}} ({min(values):{form}} to {max(values):{form}})"


def _without_minus_zero(text: str) -> str:
    return text if text.strip("-0.") else text.lstrip("-")
