"""The runner of studies: idempotent, resumable, and robust against whatever dies."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from studies import WALK_SEEDS, WALKS, mishap, slow_walk, square

from jepa_extractor import study as study_module
from jepa_extractor.study import execute, run_study
from jepa_extractor.study_executors import on_processes

CONFIGURATIONS = {"two": {"number": 2}, "five": {"number": 5}}


def in_process(function, runs):
    """Execute runs right here, for what does not depend on where they are executed."""
    for run in runs:
        yield run, execute(function, run)
        yield None


def executions(out):
    return {str(path.parent.relative_to(out)): path.read_text() for path in sorted(out.rglob("executions"))}


def test_results_equal_a_plain_loop(tmp_path, capsys):
    """Every run is a function of (configuration, seed): processes give what a loop would, each run made once."""
    study = run_study(square, CONFIGURATIONS, [0, 3], tmp_path, on_processes(2))
    assert study.results == {"two": {0: {"value": 4}, 3: {"value": 7}}, "five": {0: {"value": 25}, 3: {"value": 28}}}
    assert study.failures == {}
    assert set(executions(tmp_path).values()) == {"x"}
    assert json.loads((tmp_path / "two" / "seed3" / "run.json").read_text())["configuration"] == {"number": 2}
    assert "five, seed 3: finished" in capsys.readouterr().err


def test_finished_runs_are_skipped(tmp_path):
    """A run is "skipped if finished", and new seeds and configurations are added to what is there."""
    run_study(square, {"two": {"number": 2}}, [0], tmp_path, in_process)
    study = run_study(square, CONFIGURATIONS, [0, 1], tmp_path, in_process)
    assert study.results["two"] == {0: {"value": 4}, 1: {"value": 5}}
    assert len(executions(tmp_path)) == 4
    assert set(executions(tmp_path).values()) == {"x"}


def test_another_configuration_is_refused_before_anything_runs(tmp_path):
    """A folder that holds another configuration: a clear sentence, finished results untouched."""
    run_study(square, CONFIGURATIONS, [0], tmp_path, in_process)
    before = (tmp_path / "five" / "seed0" / "result.json").read_bytes()
    with pytest.raises(ValueError, match=r"five/seed0 holds another configuration \(number=5 there and 6 here\)"):
        run_study(square, {"new": {"number": 1}, "five": {"number": 6}}, [0], tmp_path, in_process)
    assert not (tmp_path / "new").exists()
    assert (tmp_path / "five" / "seed0" / "result.json").read_bytes() == before


@pytest.mark.parametrize("name", ["run.json", "result.json"])
def test_a_broken_file_is_named(tmp_path, name):
    """A broken file of a run: a clear sentence with the mend, before anything runs."""
    run_study(square, CONFIGURATIONS, [0], tmp_path, in_process)
    path = tmp_path / "two" / "seed0" / name
    path.write_text('{"configurat')
    with pytest.raises(ValueError, match=rf"seed0/{name} is broken .* remove it"):
        run_study(square, CONFIGURATIONS, [0], tmp_path, in_process)
    path.unlink()
    assert run_study(square, CONFIGURATIONS, [0], tmp_path, in_process).results["two"][0] == {"value": 4}


def test_a_failed_run_is_listed_and_tried_again(tmp_path):
    """The issue asks: "A failed run is listed with its error and does not stop the others". The next start tries it
    again."""
    kinds = {"bad": {"kind": "error"}, "odd": {"kind": "not json"}, "good": {"kind": "none"}}
    study = run_study(mishap, kinds, [0], tmp_path, in_process)
    assert study.failures["bad", 0] == "RuntimeError: this run is meant to fail"
    assert "not JSON serializable" in study.failures["odd", 0]
    assert study.results == {"bad": {}, "odd": {}, "good": {0: {"value": 9}}}
    assert "meant to fail" in (tmp_path / "bad" / "seed0" / "error.txt").read_text()
    study = run_study(square, {"bad": {"kind": "error", "number": 1}}, [1], tmp_path, in_process)
    (tmp_path / "bad" / "seed0" / "run.json").write_text(json.dumps({"configuration": {"number": 1}}))
    study = run_study(square, {"bad": {"number": 1}}, [0], tmp_path, in_process)
    assert study.results["bad"][0] == {"value": 1}
    assert not (tmp_path / "bad" / "seed0" / "error.txt").exists()


def test_a_full_disk_fails_the_run_alone(tmp_path, monkeypatch):
    """A full disk at the end of a run: the run is listed, its folder can be resumed, and the others go on."""
    write_json = study_module._write_json

    def full(path, content):
        if path.name == "result.json" and path.parent.name == "seed0":
            raise OSError(28, "No space left on device")
        write_json(path, content)

    monkeypatch.setattr(study_module, "_write_json", full)
    study = run_study(square, {"two": {"number": 2}}, [0, 1], tmp_path, in_process)
    assert "No space left on device" in study.failures["two", 0]
    assert study.results["two"] == {1: {"value": 5}}
    monkeypatch.undo()
    assert run_study(square, {"two": {"number": 2}}, [0, 1], tmp_path, in_process).results["two"][0] == {"value": 4}


def test_a_folder_without_room_is_refused_first(tmp_path, monkeypatch):
    """The issue asks: "A full disk or a read-only folder is a clear error before hours are lost"."""
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(OSError, match=r"out=.*file.* cannot be written"):
        run_study(square, CONFIGURATIONS, [0], blocked / "out", in_process)
    monkeypatch.setattr(study_module, "LEAST_FREE", 2**62)
    with pytest.raises(OSError, match="make room"):
        run_study(square, CONFIGURATIONS, [0], tmp_path, in_process)


@pytest.mark.parametrize(
    ("configurations", "seeds", "message"),
    [
        ({"a/b": {}}, [0], "name 'a/b'"),
        ({"..": {}}, [0], "name '..'"),
        ({"": {}}, [0], "name ''"),
        ({"a": {}}, [0, 0], "has a seed twice"),
        ({"a": {}}, [-1], "seeds=-1"),
    ],
)
def test_bad_arguments(configurations, seeds, message, tmp_path):
    """Errors come early and name the argument and its value."""
    with pytest.raises(ValueError, match=message):
        run_study(square, configurations, seeds, tmp_path, in_process)


def test_one_study_at_a_time(tmp_path):
    """Two studies in one folder would make the same runs twice: the second is refused."""

    def another(function, runs):
        with pytest.raises(ValueError, match="a study that is going on"):
            run_study(square, CONFIGURATIONS, [0], tmp_path, in_process)
        yield from in_process(function, runs)

    assert run_study(square, CONFIGURATIONS, [0], tmp_path, another).results["two"][0] == {"value": 4}


@pytest.mark.slow
def test_a_killed_worker(tmp_path):
    """A killed worker: what it was at is made again, a run that kills all its processes is listed, the rest ends."""
    kinds = {"dies": {"kind": "dies"}, "dies once": {"kind": "dies once"}, "good": {"kind": "none"}}
    study = run_study(mishap, kinds, [0, 1], tmp_path, on_processes(2))
    assert set(study.failures) == {("dies", 0), ("dies", 1)}
    assert "died twice" in study.failures["dies", 0]
    assert study.results["dies once"] == study.results["good"] == {0: {"value": 9}, 1: {"value": 10}}


@pytest.mark.slow
@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT])
def test_killed_at_random_moments_it_goes_on(tmp_path, kill):
    """The issue asks: "Killing the study at a random moment and starting it again gives the same table". No worker
    outlives it."""
    expected = {seed: {"total": seed * 45} for seed in WALK_SEEDS}
    moments = random.Random(0)
    script = str(Path(__file__).with_name("studies.py"))
    for _ in range(3):
        # a shell without job control starts its background jobs with Ctrl-C ignored; a user's terminal does not
        process = subprocess.Popen(
            [sys.executable, script, str(tmp_path)],
            stderr=subprocess.DEVNULL,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
        )
        started = time.monotonic()
        while not list(tmp_path.rglob("state.json")) and time.monotonic() - started < 60:
            time.sleep(0.05)
        time.sleep(moments.uniform(0.1, 1.0))
        process.send_signal(kill)
        assert process.wait(timeout=60) != 0
        time.sleep(0.5)
        states = {path: path.read_bytes() for path in tmp_path.rglob("state.json")}
        time.sleep(0.5)
        assert states == {path: path.read_bytes() for path in tmp_path.rglob("state.json")}, "a worker outlived it"
    study = run_study(slow_walk, WALKS, WALK_SEEDS, tmp_path, on_processes(4))
    assert study.results["walk"] == expected
    assert set(executions(tmp_path).values()) == {"x"}
