"""The runner of studies: idempotent, resumable, and clear about whatever is wrong."""

import errno
import json
import math
import os
import threading
import time

import numpy as np
import pytest
from studies import in_process, mishap, note, notes, square

from jepa_extractor.study import Run, execute, run_study, runs

CONFIGURATIONS = {"two": {"number": 2}, "five": {"number": 5}}


def test_finished_runs_are_skipped(tmp_path, capsys):
    """A run is "skipped if finished", and new seeds and configurations are added to what is there."""
    run_study(square, {"two": {"number": 2}}, [0], tmp_path, in_process)
    study = run_study(square, CONFIGURATIONS, [0, 1], tmp_path, in_process)
    assert study.results == {"two": {0: {"value": 4}, 1: {"value": 5}}, "five": {0: {"value": 25}, 1: {"value": 26}}}
    assert list(notes(tmp_path, "executions").values()) == [["x"]] * 4
    assert "1 of 4 runs had finished before\ntwo, seed 1: finished (2 of 4)" in capsys.readouterr().err


def test_each_run_owns_a_folder_that_says_what_it_is(tmp_path, monkeypatch):
    """Every run is a pure function of (configuration, seed) "writing one folder", under a relative path too."""
    monkeypatch.chdir(tmp_path)
    folders = []

    def noting(function, runs):
        folders.extend(run.folder for run in runs)
        yield from in_process(function, runs)

    run_study(square, {"two": {"number": 2, "pair": (1, 2)}}, [7], (tmp_path / "out").relative_to(tmp_path), noting)
    folder = tmp_path / "out" / "two" / "seed7"
    assert folders == [folder]
    expected = {"name": "two", "configuration": {"number": 2, "pair": [1, 2]}, "seed": 7}
    assert json.loads((folder / "run.json").read_text()) == expected
    assert json.loads((folder / "result.json").read_text())["result"] == {"value": 11}
    assert not (folder / "progress.json").exists()


@pytest.mark.parametrize(
    ("configuration", "told"),
    [
        ({"number": 6}, "number=5 there and 6 here"),
        ({"number": 5, "depth": 3}, "depth=nothing there and 3 here"),
        ({"depth": None, "number": 5}, "depth=nothing there and None here"),
    ],
)
def test_another_configuration_is_refused_before_anything_runs(tmp_path, configuration, told):
    """A folder that holds another configuration: a clear sentence, finished results untouched."""
    run_study(square, CONFIGURATIONS, [0], tmp_path, in_process)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    with pytest.raises(ValueError, match=rf"five/seed0 holds another configuration \({told}\)"):
        run_study(square, {"new": {"number": 1}, "five": configuration}, [0], tmp_path, in_process)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("content", [b'{"configurat', b"", b"[]", b'{"configuration": 1, "result": 1}', b"\xff"])
@pytest.mark.parametrize("name", ["run.json", "result.json"])
def test_a_broken_file_is_named(tmp_path, name, content):
    """A broken file of a run: a clear sentence with the mend, before anything runs."""
    run_study(square, {"two": {"number": 2}}, [0], tmp_path, in_process)
    path = tmp_path / "two" / "seed0" / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"seed0/{name} is broken .* remove"):
        run_study(square, CONFIGURATIONS, [0], tmp_path, in_process)
    assert not (tmp_path / "five").exists()
    path.unlink()
    assert run_study(square, {"two": {"number": 2}}, [0], tmp_path, in_process).results["two"][0] == {"value": 4}


def test_a_failed_run_is_listed_and_tried_again(tmp_path, capsys):
    """ "A failed run is listed with its error and does not stop the others", and the next start tries it again."""
    kinds = {name: {"kind": name} for name in ("error", "exit", "not json", "not a dict", "good")}
    study = run_study(mishap, kinds, [0], tmp_path, in_process)
    assert study.failures["error", 0] == "RuntimeError: this run is meant to fail"
    assert study.failures["exit", 0] == "SystemExit: this run leaves"
    assert "not JSON serializable" in study.failures["not json", 0]
    assert "returned None, which is not a dict" in study.failures["not a dict", 0]
    assert study.results == {"error": {}, "exit": {}, "not json": {}, "not a dict": {}, "good": {0: {"value": 9}}}
    assert "error, seed 0: failed: RuntimeError: this run is meant to fail (1 of 5)" in capsys.readouterr().err
    assert "raise RuntimeError" in (tmp_path / "error" / "seed0" / "error.txt").read_text()

    def mended(configuration, seed, folder, report):
        return {"value": configuration["kind"]}

    def mending(function, runs):
        assert [run.name for run in runs] == ["error", "exit", "not json", "not a dict"]
        yield from in_process(mended, runs)

    study = run_study(mishap, kinds, [0], tmp_path, mending)
    assert study.failures == {}
    assert study.results["error"] == {0: {"value": "error"}}
    assert study.results["good"] == {0: {"value": 9}}
    assert not list(tmp_path.rglob("error.txt"))


def test_numpy_numbers_in_reports_and_results(tmp_path):
    """ "Nothing is lost": a run that reports and returns NumPy's numbers has not worked in vain."""

    def measured(configuration, seed, folder, report):
        report(np.int64(1), np.int64(2), "halfway")
        return {"mean": np.float32(0.5), "count": np.int64(3)}

    study = run_study(square, {"one": {}}, [np.int64(0)], tmp_path, lambda _, runs: in_process(measured, runs))
    assert (study.failures, study.results) == ({}, {"one": {0: {"mean": 0.5, "count": 3}}})


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the disk that is always full is Linux's")
def test_a_full_disk_fails_the_run_alone(tmp_path):
    """A full disk at the end of a run: "a clear sentence, finished results untouched, the rest resumable"."""
    kinds = {"full": {"kind": "full disk"}, "good": {"kind": "none"}}
    study = run_study(mishap, kinds, [0], tmp_path, in_process)
    assert "No space left on device" in study.failures["full", 0]
    assert study.results == {"full": {}, "good": {0: {"value": 9}}}
    assert not (tmp_path / "full" / "seed0" / "result.json").exists()


def test_no_run_is_begun_on_a_full_disk(tmp_path, monkeypatch):
    """ "A full disk ... is a clear error before hours are lost", also where it fills up in the midst of a study."""

    def filling(configuration, seed, folder, report):
        monkeypatch.setattr(runs, "LEAST_FREE", 2**62)
        return square(configuration, seed, folder, report)

    def executor(function, runs):
        yield from in_process(filling, runs)

    study = run_study(square, CONFIGURATIONS, [0], tmp_path, executor)
    assert study.results == {"two": {0: {"value": 4}}, "five": {}}
    assert "make room" in study.failures["five", 0]
    assert list(notes(tmp_path, "executions")) == ["two/seed0"]
    with pytest.raises(OSError, match="make room") as raised:
        run_study(square, CONFIGURATIONS, [0], tmp_path, in_process)
    assert raised.value.errno == errno.ENOSPC


def test_a_read_only_folder_is_refused_first(tmp_path):
    """ "A read-only folder is a clear error before hours are lost"."""
    tmp_path.chmod(0o500)
    superuser = os.geteuid() == 0  # who may write anywhere
    try:
        if superuser:
            os.seteuid(65534)
        with pytest.raises(PermissionError, match=r"out cannot be written \(Permission denied\)"):
            run_study(square, CONFIGURATIONS, [0], tmp_path / "out", in_process)
    finally:
        if superuser:
            os.seteuid(0)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(NotADirectoryError, match="cannot be written"):
        run_study(square, CONFIGURATIONS, [0], tmp_path / "file" / "out", in_process)


@pytest.mark.parametrize(
    ("configurations", "seeds", "message"),
    [
        ({"a/b": {}}, [0], "name 'a/b'"),
        ({"..": {}}, [0], "name '..'"),
        ({"": {}}, [0], "name ''"),
        ({"a": {"b": object()}}, [0], r"configurations\['a'\] is nothing that JSON can hold"),
        ({"a": {"b": math.nan}}, [0], r"configurations\['a'\] is nothing that JSON can hold"),
        ({"a": [1]}, [0], r"configurations\['a'\]=\[1\] is not a dict"),
        ({"a": {}}, [0, 0], "has a seed twice"),
        ({"a": {}}, [-1], "seeds=-1"),
    ],
)
def test_bad_arguments(configurations, seeds, message, tmp_path):
    """Errors come early and name the argument and its value."""
    with pytest.raises(ValueError, match=message):
        run_study(square, configurations, seeds, tmp_path / "out", in_process)
    assert not (tmp_path / "out").exists()


def test_a_function_that_no_process_could_import(tmp_path):
    """Errors come early: a lambda would fail in every process."""
    with pytest.raises(ValueError, match="define it at the top of a module"):
        run_study(lambda *_: {}, CONFIGURATIONS, [0], tmp_path, in_process)


def test_one_study_at_a_time(tmp_path):
    """Two studies in one folder would make the same runs twice: the second is refused."""

    def another(function, runs):
        with pytest.raises(ValueError, match="a study that is going on"):
            run_study(square, CONFIGURATIONS, [0], tmp_path, in_process)
        yield from in_process(function, runs)

    assert run_study(square, CONFIGURATIONS, [0], tmp_path, another).results["two"][0] == {"value": 4}


def test_a_run_taken_for_dead_is_not_made_twice(tmp_path):
    """ "None twice", where a run is asked for again while it still goes on somewhere: the second waits, then skips."""

    def patient(configuration, seed, folder, report):
        note(folder / "executions", "x")
        deadline = time.monotonic() + 0.3
        while len(notes(tmp_path, "executions")["."]) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        return {}

    run = Run("run", {}, 0, tmp_path)
    threads = [threading.Thread(target=execute, args=(patient, run)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert run.result() == {}
    assert notes(tmp_path, "executions") == {".": ["x"]}


def test_an_interrupted_study_says_how_to_go_on(tmp_path):
    """Ctrl-C ends a study; what is finished stays, and the message says how to go on."""

    def interrupted(function, runs):
        yield from in_process(function, runs[:1])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=rf"what is finished is in {tmp_path}; the same command goes on"):
        run_study(square, CONFIGURATIONS, [0], tmp_path, interrupted)
    study = run_study(square, CONFIGURATIONS, [0], tmp_path, in_process)
    assert study.results == {"two": {0: {"value": 4}}, "five": {0: {"value": 25}}}
    assert notes(tmp_path, "executions") == {"two/seed0": ["x"], "five/seed0": ["x"]}


def test_on_a_terminal_every_run_at_work_has_a_line(tmp_path, monkeypatch, capsys):
    """Several runs "with one progress display": the whole study, and each run with what it reports."""
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes this for a terminal
    monkeypatch.setattr(runs, "REPORT_SECONDS", 0)

    def executor(function, runs):
        for run in runs:
            seen = threading.Event()

            def halfway(configuration, seed, folder, report, seen=seen):
                report(1, 2, "halfway")
                seen.wait()
                return {}

            thread = threading.Thread(target=execute, args=(halfway, run))
            thread.start()
            while (line := run.progress()) is None or line.text != "halfway":
                time.sleep(0.01)
            yield None
            seen.set()
            thread.join()
            yield run, None if run.seed == 0 else "it went wrong"

    run_study(square, {"two": {"number": 2}}, [0, 1], tmp_path, executor)
    shown = capsys.readouterr().err
    assert "0 of 2 runs, 0 failed" in shown
    assert "two, seed 1: halfway" in shown
    assert "2 of 2 runs, 1 failed" in shown
    assert "two, seed 1: failed: it went wrong (2 of 2)" in shown
