"""A study: one function, many configurations and seeds, side by side; once killed, it goes on where it stopped.

    study = run_study(train, {"small": {"width": 8}, "large": {"width": 64}}, seeds=range(5), out="runs/widths")
    study.results["small"][0]

Each run is a pure function of (configuration, seed) that owns one folder, ``out/name/seed<k>``. The folder holds
``run.json`` (configuration and seed), ``begun`` (a byte for each start), and at the end ``result.json`` or
``error.txt``.
"""

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
import time
import traceback
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from joblib import Parallel, delayed
from joblib.parallel import ParallelBackendBase
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from jepa_extractor.checkpoint import replace_file

TRIES = 3  # of a run whose process dies

Json = dict[str, Any]
Function = Callable[[Json, int, Path], Json]


@dataclass
class Study:
    """What came of a study.

    Attributes:
        results: what the function returned, by name and seed, as JSON gives it back.
        failures: why a run failed, in a sentence, by name and seed; ``error.txt`` in its folder has the traceback.
    """

    results: dict[str, dict[int, Json]]
    failures: dict[tuple[str, int], str] = field(default_factory=dict)

    def exit_if_failed(self) -> None:
        """End the program, with a line for each run that failed, if there is one."""
        if self.failures:
            lines = [f"{name}, seed {seed} failed: {error}" for (name, seed), error in self.failures.items()]
            raise SystemExit("\n".join([*lines, "some runs failed: the same command tries them again"]))


@dataclass(frozen=True)
class Run:
    """One run: its configuration, its seed and its folder."""

    name: str
    configuration: Json
    seed: int
    folder: Path

    def __str__(self) -> str:
        return f"{self.name}, seed {self.seed}"

    def require_same(self) -> None:
        """Raise ``ValueError`` if the folder holds a run of another configuration."""
        path = self.folder / "run.json"
        there, here = _read(path, "configuration") if path.exists() else self.configuration, self.configuration
        differing = ", ".join(
            f"{key}={_shown(there, key)} there and {_shown(here, key)} here"
            for key in sorted(there.keys() | here.keys())
            if _shown(there, key) != _shown(here, key)
        )
        if differing:
            raise ValueError(f"{self.folder} holds another configuration ({differing}): give another out, or remove it")

    def prepare(self) -> None:
        """Make the folder, as that of a run that has not begun."""
        for name in ("begun", "error.txt"):
            (self.folder / name).unlink(missing_ok=True)
        content = {"name": self.name, "configuration": self.configuration, "seed": self.seed}
        _replace(self.folder / "run.json", json.dumps(content, indent=2))

    def begun(self) -> int:
        """Return how many times this study has begun the run."""
        path = self.folder / "begun"
        return path.stat().st_size if path.exists() else 0

    def result(self) -> Json | None:
        """Return the result, or ``None`` if the run has not finished."""
        path = self.folder / "result.json"
        return _read(path, "result") if path.exists() else None


def add_study_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--workers N`` and ``--ray [ADDRESS]``, the last arguments of ``run_study``."""
    parser.add_argument("--workers", type=int, default=4, help="runs at a time, a process each (default: 4)")
    parser.add_argument(
        "--ray",
        nargs="?",
        const="auto",
        metavar="ADDRESS",
        help="spread the runs over the Ray cluster at ADDRESS instead, by default the one that this machine belongs "
        "to; 'local' starts one here. Every node must see the output folder and these files at the same paths",
    )


def run_study(
    function: Function,
    configurations: Mapping[str, Json],
    seeds: Sequence[int],
    out: str | Path,
    workers: int = 4,
    ray: str | None = None,
) -> Study:
    """Run ``function`` for every configuration and seed, except where a result is there already.

    A run that fails, or whose process dies at each of three starts, is in ``failures``, and the others go on. The next
    study tries it again.

    Args:
        function: called as ``function(configuration, seed, folder)``. It returns a dict that JSON can hold, writes into
            ``folder`` as it likes, and may go on from what it finds there. It has one thread of torch and NumPy.
        configurations: what to run, by a name that can be a folder's; JSON must be able to hold it.
        seeds: integers of at least 0.
        out: folder of the study.
        workers: runs at a time, each in a process. One worker is this process, where a debugger works.
        ray: address of a Ray cluster that runs them instead, one on each processor: ``"auto"`` for the cluster that
            this machine belongs to, ``"local"`` for one that ends with the study. Every node must see ``out``, and the
            modules of ``function``, at the same paths.

    Raises:
        ValueError: an argument cannot be used, or ``out`` holds another configuration, a broken file, or a study that
            is still going on; nothing has been run then.
        OSError: ``out`` cannot be written.
        ConnectionError: there is no Ray cluster at the address.
        ModuleNotFoundError: Ray is not installed.
        KeyboardInterrupt: the message says how to go on.
    """
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise ValueError(f"workers={workers!r} is not an integer of at least 1")
    out = Path(out).absolute()  # other processes may have another working directory
    runs = _make_runs(configurations, seeds, out)
    study = Study({name: {} for name in configurations})
    try:
        with _locked(out):
            for run in runs:
                run.require_same()
            pending = [run for run in runs if run.result() is None]
            for run in pending:
                run.prepare()
            with (
                tqdm(total=len(runs), initial=len(runs) - len(pending), unit="run") as bar,
                contextlib.closing(_executed(function, pending, workers, ray)) as ended,
            ):
                for run, error in ended:
                    if error is not None:
                        study.failures[run.name, run.seed] = error
                        bar.write(f"{run} failed: {error}", file=sys.stderr)
                    bar.set_postfix_str(str(run), refresh=False)
                    bar.update()
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted: what is finished is in {out}; the same command goes on") from None
    for run in runs:
        result = run.result()
        if result is not None:
            study.results[run.name][run.seed] = result
    return study


def finished_runs(out: Path) -> dict[str, dict[str, Json]]:
    """Return every result in the folder of a study, by name and seed: those of earlier studies too."""
    found: dict[str, dict[int, Json]] = {}
    for path in out.glob("*/seed*/result.json"):
        seed = int(path.parent.name.removeprefix("seed"))
        found.setdefault(path.parents[1].name, {})[seed] = _read(path, "result")
    return {name: {str(seed): by_seed[seed] for seed in sorted(by_seed)} for name, by_seed in found.items()}


def _executed(
    function: Function, runs: list[Run], workers: int, ray: str | None
) -> Generator[tuple[Run, str | None], None, None]:
    """Execute the runs; yield each when it has ended, with what went wrong."""
    together = [runs] if runs else []
    with contextlib.nullcontext("loky") if ray is None else _ray_tasks(ray) as backend:
        parallel = Parallel(
            workers,
            backend=backend,
            return_as="generator_unordered",
            batch_size=1,
            pre_dispatch="all",
            initializer=_end_with,
            initargs=(os.getpid(),),
        )
        while together:
            left = {run.folder: run for run in together.pop(0)}
            try:
                with _ctrl_c_ignored():  # here the processes start
                    ended = parallel([delayed(_execute)(function, run) for run in left.values()])
                for run, error in ended:
                    del left[run.folder]
                    yield run, error
            except BrokenProcessPool:
                # When one process of loky dies, it ends all, and does not say which run did it. So those that had begun
                # are tried again one by one: one that kills its process, or takes too much memory, harms no other.
                begun = [run for run in left.values() if run.begun()]
                if not begun:
                    raise
                rest = [run for run in left.values() if not run.begun()]
                together += [batch for batch in (rest, *([run] for run in begun)) if batch]


def _execute(function: Function, run: Run) -> tuple[Run, str | None]:
    """Execute one run, in whatever process; return it with what went wrong."""
    # Each run has one thread: two runs share two cores, and no digit of a result depends on the number of threads.
    torch.set_num_threads(1)
    threadpool_limits(1)
    try:
        # If this run still goes on somewhere, for a study that was killed or on a node that was lost, wait for its end.
        with FileLock(run.folder / ".lock"):
            if run.result() is not None:
                return run, None
            if run.begun() == TRIES:
                return run, f"its process died {TRIES} times, perhaps for lack of memory: fewer workers need less"
            with (run.folder / "begun").open("a") as file:
                file.write("x")
            start = time.perf_counter()
            result = function(run.configuration, run.seed, run.folder)
            if not isinstance(result, dict):
                raise TypeError(f"the function returned {result!r}, which is not a dict")
            content = {"result": result, "seconds": round(time.perf_counter() - start, 3)}
            plain = json.loads(json.dumps(content, default=_plain))
            plain["checksum"] = _checksum(plain["result"])
            _replace(run.folder / "result.json", json.dumps(plain, indent=2))
    except (Exception, SystemExit) as error:  # whatever it is, the other runs go on
        with contextlib.suppress(OSError):  # the disk is full: the sentence must do
            _replace(run.folder / "error.txt", traceback.format_exc())
        return run, f"{type(error).__name__}: {error}"
    return run, None


@contextlib.contextmanager
def _ray_tasks(address: str) -> Iterator[ParallelBackendBase]:
    """Connect to a Ray cluster, and give a backend for joblib that makes a Ray task of each run.

    Ray's own backend, ``ray.util.joblib``, deals the runs out to a fixed set of actors, so that long runs wait for each
    other (50 s instead of 17, measured with Ray 2.60), and ends the study when a node dies. A task starts wherever a
    processor is free, and again when its node dies.
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError('Ray is not installed: pip install "counting-jepa[ray]"') from error

    class RayTasks(ParallelBackendBase):  # type: ignore[misc]  # joblib has no types
        supports_retrieve_callback = True

        def effective_n_jobs(self, n_jobs: int) -> int:  # noqa: ARG002
            return 2  # with 1, joblib would run all here; Ray decides how many run at a time

        def submit(self, func: Callable[[], Any], callback: Callable[[Any], None]) -> Any:
            future = task.remote(func).future()
            future.add_done_callback(callback)
            return future

        def retrieve_result_callback(self, future: Any) -> Any:
            return future.result()

    # Ray begins a task again whenever its process or node dies; _execute gives up after TRIES.
    task: Any = ray.remote(num_cpus=1, max_retries=-1)(lambda func: func())
    environment = {"env_vars": {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}}
    try:
        context = ray.init(address, include_dashboard=False, log_to_driver=False, runtime_env=environment)
    except ConnectionError as error:
        mend = "start one with ray start --head, or give 'local'"
        raise ConnectionError(f"there is no Ray cluster at {address!r}: {mend} ({error})") from error
    with context:
        yield RayTasks()


def _end_with(study: int) -> None:
    """Let a process of loky end as soon as the study's process does, even if that is killed: no run goes on alone."""

    def watch() -> None:
        while os.getppid() == study:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def _ctrl_c_ignored() -> Iterator[None]:
    """Let processes that start here ignore Ctrl-C, which a terminal sends to all: the study stops them itself.

    Blocking the signal would not do: the resource tracker of ``multiprocessing``, which starts first, unblocks it.
    """
    if threading.current_thread() is not threading.main_thread():  # where Python allows no change
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _locked(out: Path) -> contextlib.AbstractContextManager[Any]:
    """Make the folder, and let no other study use it."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        return FileLock(out / ".lock").acquire(timeout=0)  # it ends with this process, however that ends
    except Timeout:
        raise ValueError(f"out={out} belongs to a study that is going on: wait for it, or give another") from None
    except OSError as error:
        raise OSError(error.errno, f"out={out} cannot be written ({error.strerror}): give another") from error


def _make_runs(configurations: Mapping[str, Json], seeds: Sequence[int], out: Path) -> list[Run]:
    for name in configurations:
        if not name or name != Path(name).name or name.startswith("."):
            raise ValueError(f"configurations has the name {name!r}: it must be a folder's name")
    for seed in seeds:
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
            raise ValueError(f"seeds={seed!r} is not an integer of at least 0")
    if len(set(seeds)) != len(seeds):
        raise ValueError(f"seeds={list(seeds)} has a seed twice")
    return [
        Run(name, _as_json(name, configuration), int(seed), out / name / f"seed{seed}")
        for name, configuration in configurations.items()
        for seed in seeds
    ]


def _as_json(name: str, configuration: Json) -> Json:
    """Return the configuration as ``run.json`` gives it back: what is run is what the folder says."""
    if not isinstance(configuration, dict):
        raise ValueError(f"configurations[{name!r}]={configuration!r} is not a dict")
    try:
        read: Json = json.loads(json.dumps(configuration, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(f"configurations[{name!r}] cannot be held by JSON ({error})") from error
    return read


def _shown(configuration: Json, key: str) -> str:
    return repr(configuration[key]) if key in configuration else "nothing"


def _plain(value: object) -> object:
    """Return what JSON can hold in place of a NumPy number."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} is not JSON serializable")


def _read(path: Path, key: str) -> Json:
    try:
        saved = json.loads(path.read_text())
        content: Json = saved[key]
        content.keys()
        if "checksum" in saved and saved["checksum"] != _checksum(content):
            raise ValueError("its checksum is another")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is broken ({error}): remove it, and the run is made again") from error
    return content


def _checksum(content: Json) -> int:
    return zlib.crc32(json.dumps(content).encode())


def _replace(path: Path, text: str) -> None:
    replace_file(path, lambda unfinished: unfinished.write_text(text))
