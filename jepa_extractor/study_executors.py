"""Where the runs of a study are executed: on processes of this machine, or on a Ray cluster."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection

from jepa_extractor.checks import require_integer
from jepa_extractor.study import Executor, Function, Run, execute

POLL_SECONDS = 0.25
Ended = tuple[Run, str | None] | None


def on_processes(workers: int) -> Executor:
    """Return an executor that keeps ``workers`` processes of this machine at work.

    When a process dies, all that was at work is begun anew, each run alone; one that dies alone too has failed.
    """
    require_integer("workers", workers, least=1)

    def executor(function: Function, runs: Sequence[Run]) -> Iterator[Ended]:
        suspects: list[Run] = []
        waiting = list(runs)
        while waiting:
            left: list[Run] = []
            yield from _pool(function, waiting, workers, left)
            begun = [run for run in left if run.was_begun()] or left  # if none was, processes die before they begin
            suspects += begun
            waiting = [run for run in left if run not in begun]
        for run in suspects:
            run.forget_progress()
            left = []
            yield from _pool(function, [run], 1, left)
            if left:
                yield run, "the process died twice, perhaps for lack of memory: fewer workers need less"

    return executor


def on_ray(address: str | None) -> Executor:
    """Return an executor that spreads the runs over a Ray cluster, one processor each.

    Every node must see the study's folder, and be able to import its function. A run whose node dies is begun anew
    on another.

    Args:
        address: that of a running cluster, or ``"auto"`` for the one of this machine; ``None`` starts one here.
    """

    def executor(function: Function, runs: Sequence[Run]) -> Iterator[Ended]:
        import ray

        own = not ray.is_initialized()
        if own:
            ray.init(address=address, include_dashboard=False, log_to_driver=False)
        try:
            remote = ray.remote(num_cpus=1, max_retries=5)(execute)
            pending = {remote.remote(function, run): run for run in runs}
            while pending:
                done, _ = ray.wait(list(pending), timeout=POLL_SECONDS)
                for reference in done:
                    run = pending.pop(reference)
                    try:
                        yield run, ray.get(reference)
                    except ray.exceptions.RayError as error:
                        yield run, f"{type(error).__name__}: its node or process died again and again"
                yield None
        finally:
            if own:
                ray.shutdown()

    return executor


def _pool(function: Function, runs: Sequence[Run], workers: int, left: list[Run]) -> Iterator[Ended]:
    """Execute ``runs`` on one pool; if it breaks, ``left`` is what had not ended."""
    context = multiprocessing.get_context("spawn")  # threads of torch and Numba do not survive a fork
    watched, held = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(min(workers, len(runs)), context, _initialize, (watched,))
    try:
        pending: dict[Future[str | None], Run] = {pool.submit(execute, function, run): run for run in runs}
        while pending:
            done, _ = wait(pending, POLL_SECONDS, FIRST_COMPLETED)
            for future in done:
                run = pending.pop(future)
                try:
                    yield run, future.result()
                except BrokenProcessPool:
                    left.append(run)
            yield None
    except BaseException:  # also where the study is interrupted between two of its steps
        held.close()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        held.close()
        watched.close()


def _initialize(watched: Connection) -> None:
    """Prepare a process: it dies with the study, however that ends, and leaves Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        watched.poll(None)  # the other end closes with the process that holds it
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
