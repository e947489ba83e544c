"""Studies on processes: whatever dies, and whenever, the same results in the end."""

import argparse
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from studies import mishap, notes, slow_walk, square, walks

from jepa_extractor.study import Run, add_executor_arguments, chosen_executor, on_processes, run_study

SCRIPT = str(Path(__file__).with_name("studies.py"))
SEEDS = range(12)


def start(out, *options):
    """Start the script's study as a terminal would, in a group of processes of its own."""
    return subprocess.Popen(
        [sys.executable, SCRIPT, str(out), str(len(SEEDS)), *options],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(condition):
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def assert_same_in_the_end(out):
    study = run_study(slow_walk, {"walk": {"pause": 0.05}}, SEEDS, out, on_processes(4))
    assert study.results == walks(SEEDS)
    assert notes(out, "again") == {}


def test_results_equal_a_plain_loop(tmp_path, capsys):
    """ "On the standard library's process pool by default": processes give what a loop would, each run made once."""
    configurations = {"two": {"number": 2}, "five": {"number": 5}}
    study = run_study(square, configurations, [0, 3], tmp_path, on_processes(2))
    assert study.results == {"two": {0: {"value": 4}, 3: {"value": 7}}, "five": {0: {"value": 25}, 3: {"value": 28}}}
    assert study.failures == {}
    assert list(notes(tmp_path, "executions").values()) == [["x"]] * 4
    assert sorted(line[:15] for line in capsys.readouterr().err.splitlines()) == [
        "five, seed 0: f",
        "five, seed 3: f",
        "two, seed 0: fi",
        "two, seed 3: fi",
    ]


def test_the_command_line_chooses():
    """On processes by default "and on Ray with `--ray [address]`"."""
    parser = argparse.ArgumentParser()
    add_executor_arguments(parser)
    assert vars(parser.parse_args([])) == {"workers": 4, "ray": None}
    assert parser.parse_args(["--ray"]).ray == "auto"
    assert parser.parse_args(["--ray", "10.0.0.1:6379"]).ray == "10.0.0.1:6379"
    with pytest.raises(ValueError, match="workers=0 is not an integer of at least 1"):
        chosen_executor(parser.parse_args(["--workers", "0"]))


@pytest.mark.slow
def test_a_killed_worker(tmp_path):
    """ "A killed worker": its run is made again, one that kills every process is listed, and the others go on."""
    kinds = {"dies": {"kind": "dies"}, "dies once": {"kind": "dies once"}, "good": {"kind": "none"}}
    study = run_study(mishap, kinds, [0, 1], tmp_path, on_processes(2))
    assert set(study.failures) == {("dies", 0), ("dies", 1)}
    assert "its process died 2 times, perhaps for lack of memory" in study.failures["dies", 0]
    assert study.results["dies once"] == study.results["good"] == {0: {"value": 9}, 1: {"value": 10}}
    assert list(notes(tmp_path, "executions").values()) == [["x"]] * 4


@pytest.mark.slow
def test_a_worker_killed_between_two_runs(tmp_path):
    """ "A killed worker", which had nothing to do: the next run gets another."""
    runs = [Run("walk", {"pause": 0}, seed, tmp_path / str(seed)) for seed in range(2)]
    for run in runs:
        run.prepare()
    executing = on_processes(1)(slow_walk, runs)
    ended = [next(event for event in executing if event is not None)]
    os.kill(int(notes(tmp_path, "processes")["0"][0].split("/")[1]), signal.SIGKILL)
    wait_for(lambda: multiprocessing.active_children() == [])
    ended += [event for event in executing if event is not None]
    assert ended == [(run, None) for run in runs]
    assert runs[1].result() == {"total": 45}


@pytest.mark.slow
def test_processes_end_with_a_study_that_is_left(tmp_path):
    """A study that is interrupted in a notebook, whose own process goes on, leaves no process behind."""
    run = Run("walk", {"pause": 20}, 0, tmp_path)
    executing = on_processes(1)(slow_walk, [run])
    wait_for(lambda: next(executing) is None and (tmp_path / "processes").exists())
    executing.close()
    assert multiprocessing.active_children() == []
    assert run.result() is None, "its process was waited for"


@pytest.mark.slow
def test_a_script_without_a_guard(tmp_path):
    """A common mistake with processes ends at once, and the message names the mend."""
    script = tmp_path / "unguarded.py"
    script.write_text(Path(SCRIPT).read_text().replace('if __name__ == "__main__":\n    main()', "main()"))
    command = [sys.executable, str(script), str(tmp_path / "out"), "3", "--workers", "1"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode != 0
    assert ended.stderr.splitlines()[-1].startswith("ChildProcessError: processes die before they begin a run")
    assert 'if __name__ == "__main__":' in ended.stderr.splitlines()[-1]


@pytest.mark.slow
def test_ctrl_c_while_processes_start(tmp_path):
    """Ctrl-C, which a terminal sends to every process, prints how to go on and nothing else."""
    process = start(tmp_path)
    wait_for((tmp_path / "walk" / "seed11" / "run.json").exists)
    time.sleep(1.0)  # while they import
    os.killpg(process.pid, signal.SIGINT)
    _, printed = process.communicate(timeout=300)
    assert process.returncode == 1
    assert printed == f"interrupted: what is finished is in {tmp_path}; the same command goes on\n"
    assert_same_in_the_end(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT])
def test_killed_at_random_moments_it_goes_on(tmp_path, kill):
    """ "Killing the study at a random moment and starting it again gives the same table"; no process outlives it."""
    moments = random.Random(int(kill))

    def begun():
        return sum(map(len, notes(tmp_path, "processes").values()))

    for _ in range(3):
        before = begun()
        process = start(tmp_path, "--workers", "2")
        wait_for(lambda before=before: begun() > before)
        time.sleep(moments.uniform(0, 0.8))
        process.send_signal(kill)
        process.communicate(timeout=300)  # ends when the last process that could print has ended
        assert process.returncode != 0
    assert_same_in_the_end(tmp_path)
