"""What a study shows while it goes on: on a terminal a line for each run at work, elsewhere one for each that ended."""

from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class Line(NamedTuple):
    """What a run at work is shown as."""

    text: str
    done: int
    total: int


class Display:
    """A context in which progress is shown, on the error stream.

    Args:
        total: runs of the study.
        finished: how many of them had finished before.
    """

    def __init__(self, total: int, finished: int) -> None:
        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f} of {task.total:.0f}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._total = total
        self._ended = finished
        self._study = self._progress.add_task("study", total=total, completed=finished)
        self._lines: list[TaskID] = []
        if finished:
            self._console.print(f"{finished} of {total} runs had finished before")

    def __enter__(self) -> "Display":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def ended(self, name: str, error: str | None) -> None:
        """Show that a run has ended, and what went wrong with it."""
        self._ended += 1
        told = "finished" if error is None else f"failed: {error}"
        self._console.print(f"{name}: {told} ({self._ended} of {self._total})", markup=False, highlight=False)
        self._progress.update(self._study, completed=self._ended)

    def show(self, lines: Sequence[Line]) -> None:
        """Show the runs at work."""
        while len(self._lines) < len(lines):
            self._lines.append(self._progress.add_task("", total=None))
        for number, task in enumerate(self._lines):
            if number < len(lines):
                line = lines[number]
                self._progress.update(task, description=line.text, completed=line.done, total=line.total, visible=True)
            else:
                self._progress.update(task, visible=False)
