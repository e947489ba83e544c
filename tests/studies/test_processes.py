"""Studies on processes: whatever dies, and whenever, the same results in the end."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from studies.runner import run_study
from tests.studies.walks import mishap, notes, slow_walk, square, walks

SCRIPT = str(Path(__file__).with_name("walks.py"))
SEEDS = range(12)


def threads_of_a_run(configuration, seed, folder):
    return {"torch": torch.get_num_threads(), "pools": sorted({pool["num_threads"] for pool in threadpool_info()})}


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
    study = run_study(slow_walk, {"walk": {"pause": 0.05}}, SEEDS, out, workers=4)
    assert study.results == walks(SEEDS)
    assert notes(out, "again") == {}


@pytest.mark.slow
def test_results_equal_a_plain_loop(tmp_path):
    """Processes give what a loop would, and each run is made once."""
    configurations = {"two": {"number": 2}, "five": {"number": 5}}
    study = run_study(square, configurations, [0, 3], tmp_path, workers=2)
    assert study.results == {"two": {0: {"value": 4}, 3: {"value": 7}}, "five": {0: {"value": 25}, 3: {"value": 28}}}
    assert study.failures == {}
    assert list(notes(tmp_path, "executions").values()) == [["x"]] * 4


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_run_has_one_thread(tmp_path, monkeypatch, workers):
    """Two runs share two cores, and results do not depend on how many threads a machine would take."""
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(variable, "2")  # other processes begin with two
    torch.set_num_threads(2)
    with threadpool_limits(2):
        study = run_study(threads_of_a_run, {"run": {}}, [0], tmp_path, workers)
    assert study.results["run"][0] == {"torch": 1, "pools": [1]}


@pytest.mark.slow
def test_a_function_of_a_script_or_a_notebook(tmp_path):
    """A function that no process could import is sent as it is."""
    number = 3
    study = run_study(lambda *_: {"value": number}, {"run": {}}, [0, 1], tmp_path, workers=2)
    assert study.results == {"run": {0: {"value": 3}, 1: {"value": 3}}}


@pytest.mark.slow
def test_a_killed_worker(tmp_path):
    """A run whose process was killed is made again, one that always kills it is listed, and the others go on."""
    kinds = {"dies": {"kind": "dies"}, "dies once": {"kind": "dies once"}, "good": {"kind": "none"}}
    study = run_study(mishap, kinds, [0, 1], tmp_path, workers=2)
    assert set(study.failures) == {("dies", 0), ("dies", 1)}
    assert "its process died 3 times, perhaps for lack of memory" in study.failures["dies", 0]
    assert study.results["dies once"] == study.results["good"] == {0: {"value": 9}, 1: {"value": 10}}
    assert list(notes(tmp_path, "executions").values()) == [["x"]] * 4


@pytest.mark.slow
def test_a_long_run_beside_one_that_dies(tmp_path):
    """A run that was ended because another killed its process is made again by itself, and finishes."""
    walk = {"pause": 0.4}
    kinds = {"walk": walk, "dies": {"kind": "dies"}}
    study = run_study(walk_or_mishap, kinds, [0], tmp_path, workers=2)
    assert set(study.failures) == {("dies", 0)}
    assert study.results["walk"] == {0: {"total": 0}}
    assert 1 <= len(notes(tmp_path, "processes")["walk/seed0"]) <= 2


def walk_or_mishap(configuration, seed, folder):
    return (mishap if "kind" in configuration else slow_walk)(configuration, seed, folder)


@pytest.mark.slow
def test_ctrl_c_while_processes_start(tmp_path):
    """Ctrl-C, which a terminal sends to every process, prints how to go on and nothing of the processes."""
    process = start(tmp_path)
    wait_for((tmp_path / "walk" / "seed11" / "run.json").exists)
    time.sleep(1.0)  # while they import
    os.killpg(process.pid, signal.SIGINT)
    _, printed = process.communicate(timeout=300)
    assert process.returncode == 1
    lines = [line for line in printed.splitlines() if line and "run" not in line]
    assert lines == [f"interrupted: what is finished is in {tmp_path}; the same command goes on"]
    assert_same_in_the_end(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_at_random_moments_it_goes_on(tmp_path, kill):
    """A study that is killed, and started again, gives the same results; no process outlives it."""
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


@pytest.mark.slow
def test_processes_end_with_a_study_that_is_interrupted(tmp_path):
    """Ctrl-C in a notebook, whose own process goes on, ends the runs at work."""

    def interrupt():
        wait_for(lambda: notes(tmp_path, "processes"))
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt, match="the same command goes on"):
        run_study(slow_walk, {"walk": {"pause": 60}}, [0, 1], tmp_path, workers=2)
    process = int(next(iter(notes(tmp_path, "processes").values()))[0].split("/")[1])
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


@pytest.mark.slow
def test_processes_end_at_once_with_a_study_that_is_killed(tmp_path):
    """No process finishes its run, which may take hours, after the study was killed."""
    script = tmp_path / "long.py"
    script.write_text(
        Path(SCRIPT)
        .read_text()
        .replace('{"pause": 0.05}', '{"pause": 60}')
        .replace("Path(__file__).parents[2]", f"Path({str(Path(__file__).parents[2])!r})")
    )
    process = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "out"), "2", "--workers", "2"], stderr=subprocess.PIPE
    )
    wait_for(lambda: notes(tmp_path, "processes"))
    process.kill()
    process.communicate(timeout=30)
