"""A study: one function, many configurations and seeds, run side by side; killed at any time, it goes on where it was.

Each run is a pure function of (configuration, seed) that owns one folder. What a run reports and returns goes through
that folder, so that runs may be on other processes or, with Ray, on other machines that share a file system.
"""

import contextlib
import json
import shutil
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout

from jepa_extractor.checkpoint import replace_file
from jepa_extractor.checks import require_integer
from jepa_extractor.study_display import Display, Line

LEAST_FREE = 100 * 2**20  # bytes of disk without which no study starts
REPORT_SECONDS = 0.2  # between two reports of a run

Json = dict[str, Any]
Report = Callable[[int, int, str], None]
Function = Callable[[Json, int, Path, Report], Json]


@dataclass
class Study:
    """What came of a study.

    Attributes:
        results: what the function returned, by name and seed.
        failures: why a run failed, in a sentence, by name and seed; its folder holds the whole ``error.txt``.
    """

    results: dict[str, dict[int, Json]] = field(default_factory=dict)
    failures: dict[tuple[str, int], str] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """One run: its configuration, its seed, and its folder ``out/name/seed<k>``.

    The folder holds ``run.json`` (the configuration), ``progress.json`` while it runs, and at its end either
    ``result.json`` or ``error.txt``.
    """

    name: str
    configuration: Json
    seed: int
    folder: Path

    def require_same(self) -> None:
        """Raise ``ValueError`` if the folder holds the run of another configuration, or something broken."""
        path = self.folder / "run.json"
        if not path.exists():
            return
        held = _read(path)["configuration"]
        own = json.loads(json.dumps(self.configuration))
        differing = sorted(key for key in held.keys() | own.keys() if held.get(key) != own.get(key))
        if differing:
            told = ", ".join(f"{key}={held.get(key)!r} there and {own.get(key)!r} here" for key in differing)
            raise ValueError(f"{self.folder} holds another configuration ({told}): give another out, or remove it")

    def prepare(self) -> None:
        """Make the folder, with ``run.json``, as that of a run not yet begun."""
        self.forget_progress()
        content = {"name": self.name, "configuration": self.configuration, "seed": self.seed}
        _write_json(self.folder / "run.json", content)

    def result(self) -> Json | None:
        """Return the result, or ``None`` if the run has not finished."""
        path = self.folder / "result.json"
        result: Json | None = _read(path)["result"] if path.exists() else None
        return result

    def progress(self) -> Line | None:
        """Return what the run reported last, or ``None`` if it is not running."""
        try:
            done, total, text = json.loads((self.folder / "progress.json").read_text())
        except (OSError, ValueError):  # not begun, or just finished
            return None
        return Line(f"{self.name}, seed {self.seed}: {text}", done, total)

    def was_begun(self) -> bool:
        """Return whether the run was begun, and neither finished nor failed."""
        return (self.folder / "progress.json").exists()

    def forget_progress(self) -> None:
        """Forget that the run was begun."""
        (self.folder / "progress.json").unlink(missing_ok=True)


class Executor(Protocol):
    """Executes runs: yields each when it has ended, with what went wrong, and ``None`` several times a second."""

    def __call__(self, function: Function, runs: Sequence[Run]) -> Iterator[tuple[Run, str | None] | None]:
        """Execute ``runs``."""


def run_study(
    function: Function,
    configurations: Mapping[str, Json],
    seeds: Sequence[int],
    out: Path,
    executor: Executor,
) -> Study:
    """Run ``function`` for every configuration and seed, except where a result is there already.

    A run that fails is listed, and the others go on; started again, the study tries it again. While it goes on, a
    display on the error stream shows every run at work.

    Args:
        function: called as ``function(configuration, seed, folder, report)`` in another process, so it must be
            importable there. It returns what JSON can hold, writes into ``folder`` as it likes, may go on from what
            it finds there, and may call ``report(done, total, text)``. How many threads it uses is its own affair.
        configurations: what to run, by a name that can be a folder's; JSON must be able to hold it.
        seeds: integers of at least 0.
        out: folder of the study.
        executor: ``on_processes(workers)`` or ``on_ray(address)``.

    Raises:
        ValueError: a name or seed cannot be used, or ``out`` holds another configuration, a broken file, or a study
            that is still going on; nothing has been run then.
        OSError: ``out`` cannot be written, or its disk is full.
        KeyboardInterrupt: the message says how to go on.
    """
    runs = _make_runs(configurations, seeds, out)
    require_room(out)
    with _alone(out):
        for run in runs:
            run.require_same()
        pending = [run for run in runs if run.result() is None]
        for run in pending:
            run.prepare()
        study = Study({name: {} for name in configurations})
        try:
            with Display(len(runs), len(runs) - len(pending)) as display:
                for ended in executor(function, pending):
                    if ended is not None:
                        run, error = ended
                        run.forget_progress()
                        display.ended(f"{run.name}, seed {run.seed}", error)
                        if error is not None:
                            study.failures[run.name, run.seed] = error
                    display.show([line for run in pending if (line := run.progress()) is not None])
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"interrupted: what is finished is in {out}; the same command goes on") from None
        for run in runs:
            result = run.result()
            if result is not None:
                study.results[run.name][run.seed] = result
    return study


def execute(function: Function, run: Run) -> str | None:
    """Execute one run, where it is to be executed; return what went wrong."""
    if run.result() is not None:  # an executor that lost sight of a run may ask for it again
        return None
    latest = -REPORT_SECONDS

    def report(done: int, total: int, text: str) -> None:
        nonlocal latest
        if time.monotonic() - latest >= REPORT_SECONDS:
            latest = time.monotonic()
            _write_json(run.folder / "progress.json", (done, total, text))

    start = time.perf_counter()
    try:
        report(0, 1, "starting")
        result = function(run.configuration, run.seed, run.folder, report)
        seconds = round(time.perf_counter() - start, 3)
        _write_json(run.folder / "result.json", {"result": result, "seconds": seconds})
    except Exception as error:  # whatever it is, the other runs go on
        told = f"{type(error).__name__}: {error}"
        with contextlib.suppress(OSError):  # the disk is full: the sentence must do
            _write(run.folder / "error.txt", traceback.format_exc())
        return told
    (run.folder / "error.txt").unlink(missing_ok=True)
    return None


def _make_runs(configurations: Mapping[str, Json], seeds: Sequence[int], out: Path) -> list[Run]:
    for name in configurations:
        if not name or name != Path(name).name or name.startswith("."):
            raise ValueError(f"configurations has the name {name!r}: it must be a folder's name")
    if len(set(seeds)) != len(seeds):
        raise ValueError(f"seeds={list(seeds)} has a seed twice")
    for seed in seeds:
        require_integer("seeds", seed, least=0)
    return [
        Run(name, configuration, seed, out / name / f"seed{seed}")
        for name, configuration in configurations.items()
        for seed in seeds
    ]


def require_room(out: Path) -> None:
    """Raise ``OSError`` unless ``out`` can be written and its disk has ``LEAST_FREE`` bytes left."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / ".probe").write_bytes(b"probe")
        (out / ".probe").unlink()
    except OSError as error:
        raise OSError(error.errno, f"out={out} cannot be written ({error.strerror}): give another folder") from error
    free = shutil.disk_usage(out).free
    if free < LEAST_FREE:
        raise OSError(f"out={out} has {free / 2**20:.0f} MiB left, a study needs {LEAST_FREE / 2**20:.0f}: make room")


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    lock = FileLock(out / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(f"out={out} belongs to a study that is going on: wait for it, or give another") from None
    try:
        yield
    finally:
        lock.release()


def _read(path: Path) -> Json:
    try:
        content: Json = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is broken ({error}): remove it, and the run is made again") from error
    return content


def _write_json(path: Path, content: Any) -> None:
    _write(path, json.dumps(content, indent=2) + "\n")


def _write(path: Path, text: str) -> None:
    def write(unfinished: Path) -> None:
        unfinished.write_text(text)

    replace_file(path, write)
