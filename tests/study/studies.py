"""What the studies of the tests run; worker processes import it from here."""

import json
import os
import signal
import sys
import time
from pathlib import Path

from jepa_extractor.study import run_study
from jepa_extractor.study_executors import on_processes


def square(configuration, seed, folder, report):
    """Return a number that depends on both; note each execution in the folder."""
    with (folder / "executions").open("a") as file:
        file.write("x")
    report(1, 2, "halfway")
    return {"value": configuration["number"] ** 2 + seed}


def mishap(configuration, seed, folder, report):
    """Do what the configuration says."""
    match configuration["kind"]:
        case "error":
            raise RuntimeError("this run is meant to fail")
        case "not json":
            return {"value": object()}
        case "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        case "dies once":
            if not (folder / "died").exists():
                (folder / "died").touch()
                os.kill(os.getpid(), signal.SIGKILL)
    return square({"number": 3}, seed, folder, report)


def slow_walk(configuration, seed, folder, report):
    """Count to ten, a step at a time, going on where the folder stopped."""
    path = folder / "state.json"
    state = json.loads(path.read_text()) if path.exists() else {"step": 0, "total": 0}
    while state["step"] < 10:
        time.sleep(configuration["pause"])
        state = {"step": state["step"] + 1, "total": state["total"] + seed * state["step"]}
        unfinished = folder / "state.unfinished"
        unfinished.write_text(json.dumps(state))
        os.replace(unfinished, path)
        report(state["step"], 10, "walking")
    with (folder / "executions").open("a") as file:
        file.write("x")
    return {"total": state["total"]}


WALKS = {"walk": {"pause": 0.05}}
WALK_SEEDS = range(12)


if __name__ == "__main__":  # the study that the tests kill
    run_study(slow_walk, WALKS, WALK_SEEDS, Path(sys.argv[1]), on_processes(2))
