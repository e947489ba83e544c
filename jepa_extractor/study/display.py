"""What a study shows while it goes on: on a terminal a line for each run at work, elsewhere one for each that ended."""

from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

SPEED_SECONDS = 600  # time left is judged by the progress of the last ten minutes


class Line(NamedTuple):
    """A run at work: its name, what it says, and how much of it is done."""

    name: str
    text: str
    done: int
    total: int


class Display:
    """A context in which progress is shown, on the error stream.

    Args:
        total: runs of the study.
        finished: how many of them had finished before.

    Attributes:
        live: whether anyone sees what ``show`` shows.
    """

    def __init__(self, total: int, finished: int) -> None:
        self._console = Console(stderr=True)
        self.live = self._console.is_terminal
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            speed_estimate_period=SPEED_SECONDS,
            auto_refresh=False,
            disable=not self.live,
        )
        self._total = total
        self._ended = finished
        self._failed = 0
        self._study = self._progress.add_task("", total=total, completed=finished)
        self._runs: dict[str, TaskID] = {}
        if finished:
            self._console.print(f"{finished} of {total} runs had finished before", highlight=False)

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
        self._failed += error is not None
        told = "finished" if error is None else f"failed: {error}"
        line = f"{name}: {told} ({self._ended} of {self._total})"
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def show(self, lines: Sequence[Line]) -> None:
        """Show the runs at work."""
        for name in self._runs.keys() - {line.name for line in lines}:
            self._progress.remove_task(self._runs.pop(name))
        for line in lines:
            if line.name not in self._runs:
                self._runs[line.name] = self._progress.add_task("", total=line.total)
            described = f"{line.name}: {line.text}"
            self._progress.update(self._runs[line.name], description=described, completed=line.done, total=line.total)
        at_work = sum(min(line.done / line.total, 1) for line in lines if line.total > 0)
        described = f"{self._ended} of {self._total} runs, {self._failed} failed"
        self._progress.update(self._study, description=described, completed=self._ended + at_work)
        self._progress.refresh()
