"""What the studies of the tests run; worker processes import it from here, and as a script it is a study to kill."""

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path

from jepa_extractor.study import add_executor_arguments, chosen_executor, execute, run_study


def in_process(function, runs):
    """Execute runs right here, for what does not depend on where they are executed."""
    for run in runs:
        yield run, execute(function, run)
        yield None


def note(path, text):
    """Append a line to a file, in one write."""
    with path.open("a") as file:
        file.write(f"{text}\n")


def notes(out, name):
    """Return the lines of every file of this name, by the folder they are in."""
    return {str(path.parent.relative_to(out)): path.read_text().split() for path in sorted(out.rglob(name))}


def square(configuration, seed, folder, report):
    """Return a number that depends on both; note each execution in the folder."""
    note(folder / "executions", "x")
    report(1, 2, "halfway")
    return {"value": configuration["number"] ** 2 + seed}


def mishap(configuration, seed, folder, report):
    """Do what the configuration says."""
    match configuration["kind"]:
        case "error":
            raise RuntimeError("this run is meant to fail")
        case "exit":
            sys.exit("this run leaves")
        case "not json":
            return {"value": object()}
        case "not a dict":
            return None
        case "full disk":
            (folder / ".result.unfinished.json").symlink_to("/dev/full")
        case "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        case "dies once":
            if not (folder / "died").exists():
                (folder / "died").touch()
                os.kill(os.getpid(), signal.SIGKILL)
    return square({"number": 3}, seed, folder, report)


def slow_walk(configuration, seed, folder, report):
    """Count to ten, a step at a time, going on where the folder stopped; note each process that began it."""
    note(folder / "processes", f"{os.getppid()}/{os.getpid()}")
    if (folder / "result.json").exists():
        note(folder / "again", "x")
    path = folder / "state.json"
    state = json.loads(path.read_text()) if path.exists() else {"step": 0, "total": 0}
    while state["step"] < 10:
        time.sleep(configuration["pause"])
        state = {"step": state["step"] + 1, "total": state["total"] + seed * state["step"]}
        unfinished = folder / "state.unfinished"
        unfinished.write_text(json.dumps(state))
        os.replace(unfinished, path)
        report(state["step"], 10, "walking")
    return {"total": state["total"]}


def walks(seeds):
    """Return the results of ``slow_walk``."""
    return {"walk": {seed: {"total": seed * 45} for seed in seeds}}


def main():
    """Walk: the study that the tests kill."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores Ctrl-C for its background jobs
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("seeds", type=int)
    add_executor_arguments(parser)
    arguments = parser.parse_args()
    try:
        study = run_study(
            slow_walk, {"walk": {"pause": 0.05}}, range(arguments.seeds), arguments.out, chosen_executor(arguments)
        )
    except KeyboardInterrupt as interrupt:
        sys.exit(str(interrupt))
    assert study.results == walks(range(arguments.seeds)), study


if __name__ == "__main__":
    main()
