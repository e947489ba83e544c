"""Where the runs of a study are executed: on processes of this machine, or on a Ray cluster."""

import argparse
import contextlib
import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from jepa_extractor.checks import require_integer
from jepa_extractor.study.runs import Ended, Executor, Function, Run, execute

POLL_SECONDS = 0.25
RAY_POLL_SECONDS = 1.0  # the files of all runs are looked at, perhaps over a network
TRIES = 2  # of a run whose process dies
RAY_TRIES = 5  # nodes of a cluster come and go, which is no fault of the run


def add_executor_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--workers N`` and ``--ray [ADDRESS]``, which ``chosen_executor`` understands."""
    parser.add_argument("--workers", type=int, default=4, help="runs at a time, a process each (default: 4)")
    parser.add_argument(
        "--ray",
        nargs="?",
        const="auto",
        metavar="ADDRESS",
        help="spread the runs over the Ray cluster at ADDRESS instead, by default the one that this machine "
        "belongs to; 'local' starts one here. Every node must see the output folder",
    )


def chosen_executor(arguments: argparse.Namespace) -> Executor:
    """Return the executor that the arguments of ``add_executor_arguments`` ask for."""
    return on_processes(arguments.workers) if arguments.ray is None else on_ray(arguments.ray)


def on_processes(workers: int) -> Executor:
    """Return an executor that keeps ``workers`` processes of this machine at work.

    A run whose process dies is begun again after all others; if its process dies then too, it has failed.

    Raises:
        ValueError: ``workers`` is not an integer of at least 1.
    """
    require_integer("workers", workers, least=1)

    def executor(function: Function, runs: Sequence[Run]) -> Generator[Ended, None, None]:
        watched, held = multiprocessing.Pipe(duplex=False)
        waiting = deque(runs)
        idle: list[_Process] = []
        at_work: dict[Future[str | None], tuple[_Process, Run]] = {}
        deaths: Counter[Path] = Counter()
        stillborn = 0
        try:
            idle += [_Process(function, watched) for _ in range(min(workers, len(runs)))]
            while waiting or at_work:
                while waiting and idle:
                    process, run = idle.pop(), waiting.popleft()
                    try:
                        future = process.submit(execute, function, run)
                    except BrokenProcessPool:  # it died while it had nothing to do
                        process = _Process(function, watched)
                        future = process.submit(execute, function, run)
                    at_work[future] = process, run
                done, _ = wait(at_work, POLL_SECONDS, FIRST_COMPLETED)
                for future in done:
                    process, run = at_work.pop(future)
                    try:
                        ended: Ended = run, future.result()
                    except BrokenProcessPool:
                        if process.started.exception() is None:
                            deaths[run.folder] += 1
                        else:  # before the run could begin
                            stillborn += 1
                        if stillborn > workers:
                            raise ChildProcessError(
                                "processes die before they begin a run, and have printed why: a script, for one, "
                                'must call run_study under if __name__ == "__main__":'
                            ) from None
                        process = _Process(function, watched)
                        ended = _died(run, waiting, deaths[run.folder], TRIES)
                    idle.append(process)
                    yield ended
                yield None
        except BaseException:  # whatever ends this before its time: the processes end at once
            held.close()
            raise
        finally:
            for process in [*idle, *(process for process, _ in at_work.values())]:
                process.shutdown()
            held.close()
            watched.close()

    return executor


def on_ray(address: str | None, cpus: float = 1) -> Executor:
    """Return an executor that spreads the runs over a Ray cluster.

    Every node must see the study's folder at the same path, on a file system that they share, and be able to import
    this package and the function of the study. A run whose node or process dies is begun again, after all others.

    Args:
        address: that of a running cluster; ``"auto"`` for the one that this machine belongs to, ``"local"`` for one
            that is started here and ends with the study.
        cpus: how many of a node's processors a run takes.

    Raises:
        ModuleNotFoundError: Ray is not installed.
        ConnectionError: when the study starts, no cluster is there.
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError('Ray is not installed: pip install "counting-jepa[ray]"') from error

    def executor(function: Function, runs: Sequence[Run]) -> Generator[Ended, None, None]:
        own = not ray.is_initialized()
        if own:
            try:
                ray.init(address=address, include_dashboard=False, log_to_driver=False)
            except ConnectionError as error:
                mend = "start one with ray start --head, or give 'local'"
                raise ConnectionError(f"there is no Ray cluster at {address!r}: {mend} ({error})") from error
        # Ray's own retries would try a run for ever that always takes too much memory.
        remote = ray.remote(num_cpus=cpus, max_retries=0)(execute)
        waiting = deque(runs)
        pending: dict[Any, Run] = {}
        deaths: Counter[Path] = Counter()
        try:
            while waiting or pending:
                while waiting:
                    run = waiting.popleft()
                    pending[remote.remote(function, run)] = run
                done, _ = ray.wait(list(pending), num_returns=len(pending), timeout=RAY_POLL_SECONDS)
                for reference in done:
                    run = pending.pop(reference)
                    try:
                        ended: Ended = run, ray.get(reference)
                    except ray.exceptions.RayTaskError as error:  # not of the run, which execute has caught
                        ended = run, f"it could not be begun on a node: {str(error).splitlines()[-1]}"
                    except ray.exceptions.RayError:
                        deaths[run.folder] += 1
                        ended = _died(run, waiting, deaths[run.folder], RAY_TRIES)
                    yield ended
                yield None
        finally:
            for reference in pending:  # of a study that was interrupted
                ray.cancel(reference, force=True)
            if own:
                ray.shutdown()

    return executor


def _died(run: Run, waiting: deque[Run], deaths: int, tries: int) -> Ended:
    """Let a run whose process died wait for another try, or call it failed."""
    if deaths >= tries:
        return run, f"its process died {deaths} times, perhaps for lack of memory: fewer at a time need less"
    run.forget_progress()
    waiting.append(run)
    return None


class _Process(ProcessPoolExecutor):
    """A pool of one process: if it dies, it is known at which run."""

    def __init__(self, function: Function, watched: Connection) -> None:
        context = multiprocessing.get_context("spawn")  # threads of torch and Numba do not survive a fork
        super().__init__(1, context, _initialize, (watched,))
        with _ctrl_c_held_back():
            self.started = self.submit(callable, function)  # true once all is imported that the function needs


@contextlib.contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    """Let a process that starts here never see Ctrl-C, which a terminal sends to all: the study is what it stops."""
    if not hasattr(signal, "pthread_sigmask"):  # on Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _initialize(watched: Connection) -> None:
    """Prepare a process: it dies with the study, however that ends, and leaves Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        watched.poll(None)  # the other end closes with the process that holds it
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
