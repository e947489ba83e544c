"""A study: one function, many configurations and seeds, run side by side; killed at any time, it goes on where it was.

Each run is a pure function of (configuration, seed) that owns one folder. What a run reports and returns goes through
that folder, so that runs may be on other processes or, with Ray, on other machines that share a file system.
"""

import contextlib
import errno
import json
import os
import pickle
import shutil
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from filelock import FileLock, Timeout

from jepa_extractor.checkpoint import replace_file
from jepa_extractor.checks import require_integer
from jepa_extractor.study.display import Display, Line

LEAST_FREE = 100 * 2**20  # bytes of disk without which no run starts
PROBE = 2**20  # bytes written to see whether that is possible
REPORT_SECONDS = 0.2  # between two reports of a run

Json = dict[str, Any]
Report = Callable[[int, int, str], None]
Function = Callable[[Json, int, Path, Report], Json]


@dataclass
class Study:
    """What came of a study.

    Attributes:
        results: what the function returned, by name and seed, as JSON gives it back.
        failures: why a run failed, in a sentence, by name and seed; its folder holds the whole ``error.txt``.
    """

    results: dict[str, dict[int, Json]] = field(default_factory=dict)
    failures: dict[tuple[str, int], str] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """One run: its configuration, its seed, and its folder ``out/name/seed<k>``.

    The folder holds ``run.json`` (the configuration), ``progress.json`` while it runs, and at its end either
    ``result.json`` (the result, and the seconds since the run was last begun) or ``error.txt``.
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
        held = _read(path, "configuration", mend=f"remove the folder {self.folder}")
        own = self.configuration
        differing = sorted(key for key in held.keys() | own.keys() if _shown(held, key) != _shown(own, key))
        if differing:
            told = ", ".join(f"{key}={_shown(held, key)} there and {_shown(own, key)} here" for key in differing)
            raise ValueError(f"{self.folder} holds another configuration ({told}): give another out, or remove it")

    def prepare(self) -> None:
        """Make the folder, with ``run.json``, as that of a run not yet begun."""
        self.forget_progress()
        if not (self.folder / "run.json").exists():
            content = {"name": self.name, "configuration": self.configuration, "seed": self.seed}
            _write_json(self.folder / "run.json", content)

    def result(self) -> Json | None:
        """Return the result, or ``None`` if the run has not finished."""
        path = self.folder / "result.json"
        return _read(path, "result", mend="remove it, and the run is made again") if path.exists() else None

    def progress(self) -> Line | None:
        """Return what the run reported last, or ``None`` if it is not running."""
        try:
            done, total, text = json.loads((self.folder / "progress.json").read_text())
        except (OSError, ValueError):  # not begun, or just finished
            return None
        return Line(f"{self.name}, seed {self.seed}", text, done, total)

    def forget_progress(self) -> None:
        """Forget that the run was begun."""
        (self.folder / "progress.json").unlink(missing_ok=True)


Ended = tuple[Run, str | None] | None


class Executor(Protocol):
    """Executes runs: yields each when it has ended, with what went wrong, and ``None`` several times a second."""

    def __call__(self, function: Function, runs: Sequence[Run]) -> Generator[Ended, None, None]:
        """Call ``execute(function, run)`` for each of ``runs``, wherever that may be."""


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
        function: called as ``function(configuration, seed, folder, report)`` in another process, so it must stand at
            the top of a module that can be imported there, and a script must call ``run_study`` under
            ``if __name__ == "__main__":``. It returns a dict that JSON can hold, writes into ``folder`` as it likes,
            may go on from what it finds there, and may call ``report(done, total, text)``. How many threads it uses is
            its own affair: torch takes a thread for each core unless ``torch.set_num_threads`` says otherwise.
        configurations: what to run, by a name that can be a folder's; JSON must be able to hold it.
        seeds: integers of at least 0.
        out: folder of the study.
        executor: ``on_processes(workers)`` or ``on_ray(address)``.

    Raises:
        ValueError: an argument cannot be used, or ``out`` holds another configuration, a broken file, or a study
            that is still going on; nothing has been run then.
        OSError: ``out`` cannot be written, its disk is full, or no process can be started.
        KeyboardInterrupt: the message says how to go on.
    """
    _require_importable(function)
    out = out.absolute()  # processes elsewhere have another working directory
    runs = _make_runs(configurations, seeds, out)
    require_room(out)
    study = Study({name: {} for name in configurations})
    try:
        with _alone(out):
            for run in runs:
                run.require_same()
            pending = {run.folder: run for run in runs if run.result() is None}
            for run in pending.values():
                run.prepare()
            with (
                Display(len(runs), len(runs) - len(pending)) as display,
                contextlib.closing(executor(function, list(pending.values()))) as events,
            ):
                for ended in events:
                    if ended is not None:
                        run, error = ended
                        run.forget_progress()
                        del pending[run.folder]
                        display.ended(f"{run.name}, seed {run.seed}", error)
                        if error is not None:
                            study.failures[run.name, run.seed] = error
                    if display.live:
                        display.show([line for run in pending.values() if (line := run.progress()) is not None])
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted: what is finished is in {out}; the same command goes on") from None
    for run in runs:
        result = run.result()
        if result is not None:
            study.results[run.name][run.seed] = result
    return study


def execute(function: Function, run: Run) -> str | None:
    """Execute one run, where it is to be executed; return what went wrong."""
    latest = -REPORT_SECONDS

    def report(done: int, total: int, text: str) -> None:
        nonlocal latest
        if time.monotonic() - latest >= REPORT_SECONDS:
            latest = time.monotonic()
            with contextlib.suppress(OSError):  # a run does not fail for what it reports
                _write_json(run.folder / "progress.json", (int(done), int(total), str(text)))

    try:
        # An executor that lost sight of a run asks for it again: if it still goes on somewhere, wait for its end.
        with FileLock(run.folder / ".lock"):
            if run.result() is not None:
                return None
            require_room(run.folder)
            report(0, 1, "starting")
            start = time.perf_counter()
            result = function(run.configuration, run.seed, run.folder, report)
            if not isinstance(result, dict):
                raise TypeError(f"the function returned {result!r}, which is not a dict")
            seconds = round(time.perf_counter() - start, 3)
            _write_json(run.folder / "result.json", {"result": result, "seconds": seconds})
    except (Exception, SystemExit) as error:  # whatever it is, the other runs go on
        with contextlib.suppress(OSError):  # the disk is full: the sentence must do
            _write(run.folder / "error.txt", traceback.format_exc())
        return f"{type(error).__name__}: {error}"
    (run.folder / "error.txt").unlink(missing_ok=True)
    return None


def require_room(folder: Path) -> None:
    """Raise ``OSError`` unless ``folder`` can be written and its disk has ``LEAST_FREE`` bytes left."""
    probe = folder / ".probe"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            _write_through(probe, b"\0" * PROBE)
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise OSError(
            error.errno, f"{folder} cannot be written ({error.strerror}): make room, or give another"
        ) from error
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE:
        told = f"{folder} has {free / 2**20:.0f} MiB left and a run needs {LEAST_FREE / 2**20:.0f}: make room"
        raise OSError(errno.ENOSPC, told)


def _require_importable(function: Function) -> None:
    try:
        pickle.dumps(function)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(
            f"function={function!r} cannot be sent to another process ({error}): define it at the top of a module"
        ) from error


def _make_runs(configurations: Mapping[str, Json], seeds: Sequence[int], out: Path) -> list[Run]:
    for name in configurations:
        if not name or name != Path(name).name or name.startswith("."):
            raise ValueError(f"configurations has the name {name!r}: it must be a folder's name")
    if len(set(seeds)) != len(seeds):
        raise ValueError(f"seeds={list(seeds)} has a seed twice")
    for seed in seeds:
        require_integer("seeds", seed, least=0)
    return [
        Run(name, _as_held(name, configuration), seed, out / name / f"seed{seed}")
        for name, configuration in configurations.items()
        for seed in seeds
    ]


def _as_held(name: str, configuration: Json) -> Json:
    """Return the configuration as ``run.json`` gives it back: what is run is what the folder says."""
    try:
        held = json.loads(json.dumps(configuration, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(f"configurations[{name!r}] is nothing that JSON can hold ({error})") from error
    if not isinstance(held, dict):
        raise ValueError(f"configurations[{name!r}]={configuration!r} is not a dict")
    return held


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    lock = FileLock(out / ".lock")  # it ends with this process, however that ends
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(f"out={out} belongs to a study that is going on: wait for it, or give another") from None
    try:
        yield
    finally:
        lock.release()


def _shown(configuration: Json, key: str) -> str:
    return repr(configuration[key]) if key in configuration else "nothing"


def _read(path: Path, key: str, mend: str) -> Json:
    try:
        content: Json = json.loads(path.read_text())[key]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"{path} is broken ({error}): {mend}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is broken ({key} is no dict): {mend}")
    return content


def _write_json(path: Path, content: Any) -> None:
    _write(path, json.dumps(content, indent=2, default=_plain) + "\n")


def _plain(value: object) -> object:
    """Return what JSON can hold in place of a NumPy number."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} is not JSON serializable")


def _write(path: Path, text: str) -> None:
    replace_file(path, lambda unfinished: _write_through(unfinished, text.encode()))


def _write_through(path: Path, content: bytes) -> None:
    """Write a file so that it is on the disk, not only on its way: a disk that is full says so here."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
