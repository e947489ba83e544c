"""The command that runs a study, here the one that reproduces the paper."""

import json
import signal
import subprocess
import sys
import time
from importlib import import_module

import numpy as np
import pytest

from studies import NAMES, paper
from studies.command import chosen, main
from studies.paper import CONDITIONS, CONFIGURATIONS, DEFAULT

TINY = ["--workers", "2", "--set", "updates=6"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["papr"], "invalid choice: 'papr'"),
        (["paper", "--only", "jont"], "--only jont fits no configuration: give some of joint, random"),
        (["paper", "--set", "encoder=resnet18"], "encoder='resnet18' has no learning rate here: give one of pooled"),
        (["paper", "--set", "updates=0"], "updates=0 is too small: give at least 1"),
        (["paper", "--set", "updates=many"], "--set updates=many is not like 300, its default"),
        (
            ["paper", "--set", "update=3"],
            "--set update=3 is no setting: give KEY=VALUE with a key of condition",
        ),
        (["paper", "--set", "target=9"], "target=9 cannot be reached: give one in 0..8"),
        (["paper", "--seeds", "x"], "invalid int value: 'x'"),
        (["plan_tables", "--set", "second=19"], "second=19"),
    ],
)
def test_bad_arguments_are_one_sentence(arguments, message, capsys, monkeypatch):
    """A wrong argument is one sentence that names it, and exit status 2."""
    monkeypatch.setattr(sys, "argv", ["studies", *arguments])
    with pytest.raises(SystemExit) as exit_status:
        main()
    assert exit_status.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("out", ["out", "out/deep"])
def test_a_folder_that_cannot_be_written(out, tmp_path, monkeypatch):
    """A folder that cannot be written is one sentence, before anything is run."""
    (tmp_path / "out").write_text("a file")
    monkeypatch.setattr(sys, "argv", ["studies", "paper", "--out", str(tmp_path / out)])
    with pytest.raises(SystemExit, match="cannot be written"):
        main()


def test_settings_change_all_chosen_configurations():
    """Patterns choose, settings change what they name, whole numbers may stand for others."""
    everything = {"a-1": {"x": 1.5, "y": "b"}, "a-2": {"x": 2.5}, "c": {"x": 0.5}}
    assert chosen(everything, ["a-*"], ["x=3", "y=d"]) == {"a-1": {"x": 3, "y": "d"}, "a-2": {"x": 3}}
    assert everything["a-1"] == {"x": 1.5, "y": "b"}


@pytest.mark.parametrize("name", NAMES)
def test_the_plan_is_printed(name, capsys, monkeypatch):
    """What was decided before the runs: the docstring, and the plan's page where there is one."""
    monkeypatch.setattr(sys, "argv", ["studies", name, "--plan"])
    main()
    printed = capsys.readouterr().out
    assert printed.startswith(import_module(f"studies.{name}").__doc__)
    assert ("decided before it ran" in printed) == (name in ("encoder", "new_goal", "other_tasks", "sample_efficiency"))


def test_the_conditions_of_the_paper_and_more():
    """The paper's four conditions, an untrained encoder and the decoder's control are the default."""
    assert list(DEFAULT) == ["joint", "random", "reward_only", "dynamics_only", "untrained", "cells"]
    assert list(CONFIGURATIONS) == list(CONDITIONS)
    assert list(paper.SEEDS) == list(range(700, 710))


def start(out, *arguments):
    command = [sys.executable, "-W", "error", "-m", "studies", "paper", "--out", str(out), *TINY]
    return subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def measured(facts):
    """Return all results but the time that they took."""
    return {
        (name, seed, measure): value
        for name, by_seed in facts["results"].items()
        for seed, result in by_seed.items()
        for measure, value in result.items()
        if measure != "processor_seconds"
    }


@pytest.mark.slow
def test_the_study_killed_and_started_again(tmp_path):
    """A study that is killed at a random moment and started again ends with the same tables as one that was not.

    Tables, results and figure are written, and a folder that holds another configuration is refused.
    """
    conditions = ("--only", "joint", "random", "--seeds", "0")
    straight = start(tmp_path / "straight", *conditions)
    killed = tmp_path / "killed"
    process = start(killed, *conditions)
    begun = time.monotonic()
    while not list(killed.rglob("encoder.pt")) and time.monotonic() - begun < 120:
        time.sleep(0.1)
    time.sleep(np.random.default_rng(0).uniform(0, 3))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    printed, errors = straight.communicate()
    assert straight.returncode == 0, errors
    again = start(killed, *conditions)
    _, errors = again.communicate()
    assert again.returncode == 0, errors
    tables = (tmp_path / "straight" / "table.md").read_text()
    assert tables in printed
    assert (killed / "table.md").read_text() == tables
    one, other = (measured(json.loads((out / "results.json").read_text())) for out in (killed, tmp_path / "straight"))
    assert one == other
    assert (killed / "figure.png").stat().st_size > 10_000
    refused = start(killed, *conditions, "--set", "updates=6", "latent_dim=32")
    _, errors = refused.communicate()
    assert refused.returncode == 1
    assert "holds another configuration (latent_dim=64 there and 32 here)" in errors


@pytest.mark.slow
def test_every_condition_runs(tmp_path):
    """Every condition can be trained and measured, and a broken checkpoint is a clear sentence that stops no other."""
    broken = tmp_path / "ema" / "seed0"
    broken.mkdir(parents=True)
    (broken / "encoder.pt").write_bytes(b"broken")
    process = start(tmp_path, "--only", "*", "--seeds", "0", "--set", "updates=2")
    _, errors = process.communicate()
    assert process.returncode == 1
    assert "encoder.pt is broken" in errors
    assert "Traceback" not in errors
    results = json.loads((tmp_path / "results.json").read_text())["results"]
    assert set(results) == set(CONDITIONS) - {"ema"}
