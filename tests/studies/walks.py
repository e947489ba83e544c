"""What the studies of the tests run; as a script it is a study to kill."""

import argparse
import json
import os
import secrets
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # for the script

from studies.runner import add_study_arguments, run_study


def note(path, text):
    """Append a line to a file, in one write."""
    with path.open("a") as file:
        file.write(f"{text}\n")


def notes(out, name):
    """Return the lines of every file of this name, by the folder they are in."""
    read = {str(path.parent.relative_to(out)): path.read_text().split() for path in sorted(out.rglob(name))}
    return {folder: lines for folder, lines in read.items() if lines}  # a file is there before its first line


def square(configuration, seed, folder):
    """Return a number that depends on both; note each execution in the folder."""
    note(folder / "executions", "x")
    return {"value": configuration["number"] ** 2 + seed}


token_hex = secrets.token_hex


def eight(nbytes: int | None = None) -> str:
    """Stand for ``token_hex`` once."""
    secrets.token_hex = token_hex
    return "8"


def mishap(configuration, seed, folder):
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
            secrets.token_hex = eight  # names the unfinished file
            (folder / ".8.unfinished.json").symlink_to("/dev/full")
        case "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        case "dies once":
            if not (folder / "died").exists():
                (folder / "died").touch()
                os.kill(os.getpid(), signal.SIGKILL)
        case "meets":  # three others, at work at the same time
            deadline = time.monotonic() + 60
            while len(list(folder.parents[1].glob("meets*/seed0/begun"))) < 4:
                if time.monotonic() > deadline:
                    raise TimeoutError("the others are not at work")
                time.sleep(0.02)
    return square({"number": 3}, seed, folder)


def slow_walk(configuration, seed, folder):
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
    return {"total": state["total"]}


def walks(seeds):
    """Return the results of ``slow_walk``."""
    return {"walk": {seed: {"total": seed * 45} for seed in seeds}}


def main():
    """Walk: the study that the tests kill."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores Ctrl-C for its background jobs
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("seeds", type=int)
    add_study_arguments(parser)
    arguments = parser.parse_args()
    try:
        study = run_study(
            slow_walk,
            {"walk": {"pause": 0.05}},
            range(arguments.seeds),
            arguments.out,
            arguments.workers,
            arguments.ray,
        )
    except KeyboardInterrupt as interrupt:
        sys.exit(f"\n{interrupt}")
    assert study.results == walks(range(arguments.seeds)), study


if __name__ == "__main__":
    main()
