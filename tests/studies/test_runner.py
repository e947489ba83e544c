"""The runner of studies: idempotent, resumable, and clear about whatever is wrong."""

import argparse
import json
import math
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from studies.runner import TRIES, Run, _execute, add_study_arguments, run_study
from tests.studies.walks import mishap, note, notes, square

CONFIGURATIONS = {"two": {"number": 2}, "five": {"number": 5}}


def study_here(function, configurations, seeds, out):
    """Execute runs in this process, for what does not depend on where they are executed."""
    return run_study(function, configurations, seeds, out, workers=1)


def test_finished_runs_are_skipped(tmp_path, capsys):
    """A finished run is skipped, and new seeds and configurations are added to what is there."""
    study_here(square, {"two": {"number": 2}}, [0], tmp_path)
    study = study_here(square, CONFIGURATIONS, [0, 1], tmp_path)
    assert study.results == {"two": {0: {"value": 4}, 1: {"value": 5}}, "five": {0: {"value": 25}, 1: {"value": 26}}}
    assert list(notes(tmp_path, "executions").values()) == [["x"]] * 4
    shown = capsys.readouterr().err
    assert "1/4" in shown, "what had finished before counts"
    assert "4/4" in shown
    assert study_here(square, CONFIGURATIONS, [0, 1], tmp_path).results == study.results, "nothing is left to run"


@pytest.mark.parametrize("kind", [str, Path])
def test_each_run_owns_a_folder_that_says_what_it_is(tmp_path, monkeypatch, kind):
    """A run gets its configuration as JSON gives it back, its seed and its own folder, under a relative path too."""
    monkeypatch.chdir(tmp_path)
    calls = []

    def noting(configuration, seed, folder):
        calls.append((configuration, seed, folder))
        return square(configuration, seed, folder)

    study_here(noting, {"two": {"number": 2, "pair": (1, 2)}}, [7], kind("out"))
    folder = tmp_path / "out" / "two" / "seed7"
    assert calls == [({"number": 2, "pair": [1, 2]}, 7, folder)]
    expected = {"name": "two", "configuration": {"number": 2, "pair": [1, 2]}, "seed": 7}
    assert json.loads((folder / "run.json").read_text()) == expected
    assert json.loads((folder / "result.json").read_text())["result"] == {"value": 11}


@pytest.mark.parametrize(
    ("configuration", "told"),
    [
        ({"number": 6}, "number=5 there and 6 here"),
        ({"number": 5, "depth": 3}, "depth=nothing there and 3 here"),
        ({"depth": None, "number": 5}, "depth=nothing there and None here"),
        ({"width": 1}, "number=5 there and nothing here, width=nothing there and 1 here"),
    ],
)
def test_another_configuration_is_refused_before_anything_runs(tmp_path, configuration, told):
    """A folder that holds another configuration: the sentence names what differs, and finished results stay."""
    study_here(square, CONFIGURATIONS, [0], tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    with pytest.raises(ValueError, match=rf"five/seed0 holds another configuration \({told}\)"):
        study_here(square, {"new": {"number": 1}, "five": configuration}, [0], tmp_path)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("content", [b'{"configurat', b"", b"[]", b'{"configuration": 1, "result": 1}', b"\xff"])
@pytest.mark.parametrize("name", ["run.json", "result.json"])
def test_a_broken_file_is_named(tmp_path, name, content):
    """A broken file of a run: a clear sentence with the mend, before anything runs."""
    study_here(square, {"two": {"number": 2}}, [0], tmp_path)
    path = tmp_path / "two" / "seed0" / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"seed0/{name} is broken .* remove"):
        study_here(square, CONFIGURATIONS, [0], tmp_path)
    assert not (tmp_path / "five").exists()
    path.unlink()
    assert study_here(square, {"two": {"number": 2}}, [0], tmp_path).results["two"][0] == {"value": 4}


def test_a_failed_run_is_listed_and_tried_again(tmp_path, capsys):
    """A run that fails is listed with its error and stops no other, and the next study tries it again."""
    kinds = {name: {"kind": name} for name in ("error", "exit", "not json", "not a dict", "good")}
    study = study_here(mishap, kinds, [0], tmp_path)
    assert study.failures["error", 0] == "RuntimeError: this run is meant to fail"
    assert study.failures["exit", 0] == "SystemExit: this run leaves"
    assert "not JSON serializable" in study.failures["not json", 0]
    assert "returned None, which is not a dict" in study.failures["not a dict", 0]
    assert study.results == {"error": {}, "exit": {}, "not json": {}, "not a dict": {}, "good": {0: {"value": 9}}}
    assert "error, seed 0 failed: RuntimeError: this run is meant to fail" in capsys.readouterr().err
    with pytest.raises(SystemExit, match=r"(?s)exit, seed 0 failed: SystemExit: this run leaves.*tries them again"):
        study.exit_if_failed()
    assert "raise RuntimeError" in (tmp_path / "error" / "seed0" / "error.txt").read_text()
    again = []

    def mended(configuration, seed, folder):
        again.append(configuration["kind"])
        return {"value": configuration["kind"]}

    for _ in range(TRIES):  # each study counts the deaths of a process anew
        study = study_here(mended, kinds, [0], tmp_path)
    assert again == ["error", "exit", "not json", "not a dict"]
    assert study.failures == {}
    assert study.results["error"] == {0: {"value": "error"}}
    assert study.results["good"] == {0: {"value": 9}}
    assert not list(tmp_path.rglob("error.txt"))


def test_numpy_numbers(tmp_path):
    """A run that returns NumPy's numbers has not worked in vain."""

    def measured(configuration, seed, folder):
        return {"mean": np.float32(0.5), "count": np.int64(3)}

    study = study_here(measured, {"one": {}}, [np.int64(0)], tmp_path)
    assert (study.failures, study.results) == ({}, {"one": {0: {"mean": 0.5, "count": 3}}})


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the disk that is always full is Linux's")
def test_a_full_disk_fails_the_run_alone(tmp_path):
    """A full disk at the end of a run fails that run, leaves no broken result, and stops no other."""
    kinds = {"full": {"kind": "full disk"}, "good": {"kind": "none"}}
    study = study_here(mishap, kinds, [0], tmp_path)
    assert "No space left on device" in study.failures["full", 0]
    assert study.results == {"full": {}, "good": {0: {"value": 9}}}
    assert not (tmp_path / "full" / "seed0" / "result.json").exists()


def test_a_folder_that_cannot_be_written_is_refused_first(tmp_path):
    """A folder that cannot be written is a clear error before hours are lost."""
    tmp_path.chmod(0o500)
    superuser = os.geteuid() == 0  # who may write anywhere
    try:
        if superuser:
            os.seteuid(65534)
        with pytest.raises(PermissionError, match=r"out cannot be written \(Permission denied\)"):
            study_here(square, CONFIGURATIONS, [0], tmp_path / "out")
    finally:
        if superuser:
            os.seteuid(0)
    tmp_path.chmod(0o700)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(NotADirectoryError, match="cannot be written"):
        study_here(square, CONFIGURATIONS, [0], tmp_path / "file" / "out")


@pytest.mark.parametrize(
    ("configurations", "seeds", "workers", "message"),
    [
        ({"a/b": {}}, [0], 1, "name 'a/b'"),
        ({"..": {}}, [0], 1, "name '..'"),
        ({"": {}}, [0], 1, "name ''"),
        ({"a": {"b": object()}}, [0], 1, r"configurations\['a'\] cannot be held by JSON"),
        ({"a": {"b": math.nan}}, [0], 1, r"configurations\['a'\] cannot be held by JSON"),
        ({"a": [1]}, [0], 1, r"configurations\['a'\]=\[1\] is not a dict"),
        ({"a": {}}, [0, 0], 1, "has a seed twice"),
        ({"a": {}}, [-1], 1, "seeds=-1 is not an integer of at least 0"),
        ({"a": {}}, [0.5], 1, "seeds=0.5 is not an integer of at least 0"),
        ({"a": {}}, [0], 0, "workers=0 is not an integer of at least 1"),
        ({"a": {}}, [0], "2", "workers='2' is not an integer of at least 1"),
    ],
)
def test_bad_arguments(configurations, seeds, workers, message, tmp_path):
    """Errors come early and name the argument and its value."""
    with pytest.raises(ValueError, match=message):
        run_study(square, configurations, seeds, tmp_path / "out", workers)
    assert not (tmp_path / "out").exists()


def test_one_study_at_a_time(tmp_path):
    """Two studies in one folder would make the same runs twice: the second is refused."""

    def another(configuration, seed, folder):
        with pytest.raises(ValueError, match="a study that is going on"):
            study_here(square, CONFIGURATIONS, [0], tmp_path)
        return square(configuration, seed, folder)

    assert study_here(another, CONFIGURATIONS, [0], tmp_path).results["two"][0] == {"value": 4}


def test_a_run_taken_for_dead_is_not_made_twice(tmp_path):
    """Where a run is asked for again while it still goes on somewhere, the second waits, then skips it."""

    def patient(configuration, seed, folder):
        note(folder / "executions", "x")
        deadline = time.monotonic() + 0.3
        while len(notes(tmp_path, "executions")["."]) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        return {}

    run = Run("run", {}, 0, tmp_path)
    threads = [threading.Thread(target=_execute, args=(patient, run)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert run.result() == {}
    assert notes(tmp_path, "executions") == {".": ["x"]}


def test_an_interrupted_study_says_how_to_go_on(tmp_path):
    """Ctrl-C ends a study; what is finished stays, and the message says how to go on."""

    def interrupted(configuration, seed, folder):
        if configuration["number"] == 5:
            raise KeyboardInterrupt
        return square(configuration, seed, folder)

    with pytest.raises(KeyboardInterrupt, match=rf"what is finished is in {tmp_path}; the same command goes on"):
        study_here(interrupted, CONFIGURATIONS, [0], tmp_path)
    study = study_here(square, CONFIGURATIONS, [0], tmp_path)
    assert study.results == {"two": {0: {"value": 4}}, "five": {0: {"value": 25}}}
    assert notes(tmp_path, "executions") == {"two/seed0": ["x"], "five/seed0": ["x"]}


@pytest.mark.parametrize(
    ("options", "workers", "ray"),
    [
        ([], 4, None),
        (["--workers", "2"], 2, None),
        (["--ray"], 4, "auto"),
        (["--ray", "10.0.0.1:6379"], 4, "10.0.0.1:6379"),
    ],
)
def test_the_command_line_chooses(options, workers, ray):
    """Processes of this machine by default, a Ray cluster where asked."""
    parser = argparse.ArgumentParser()
    add_study_arguments(parser)
    assert vars(parser.parse_args(options)) == {"workers": workers, "ray": ray}
