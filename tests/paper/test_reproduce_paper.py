"""The command that reproduces the paper."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import reproduce_paper
from paper.conditions import CONDITIONS, PAPER

SCRIPT = reproduce_paper.__file__
TINY = ["--updates", "6", "--seeds", "0", "1", "--workers", "2"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--conditions", "jont"], "--conditions jont is unknown"),
        (["--encoder", "resnet18"], "invalid choice: 'resnet18'"),
        (["--updates", "0"], "--updates"),
        (["--target", "9"], "--target 9 cannot be reached"),
    ],
)
def test_bad_arguments_are_one_sentence(arguments, message, capsys, monkeypatch):
    """A wrong argument is one sentence that names it, and exit status 2."""
    monkeypatch.setattr(sys, "argv", ["reproduce_paper.py", *arguments])
    with pytest.raises(SystemExit) as exit_status:
        reproduce_paper.main()
    assert exit_status.value.code == 2
    assert message in capsys.readouterr().err


def test_the_conditions_of_the_paper_and_more():
    """The paper's four conditions, an untrained encoder and the decoder's control are the default."""
    assert list(PAPER) == ["joint", "random", "reward_only", "dynamics_only", "untrained", "cells"]


def start(out, *arguments):
    command = [sys.executable, "-W", "error", SCRIPT, *TINY, "--out", str(out)]
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
    conditions = ("--conditions", "joint", "random", "--seeds", "0")
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
    tables = (tmp_path / "straight" / "tables.md").read_text()
    assert tables in printed
    assert (killed / "tables.md").read_text() == tables
    one, other = (measured(json.loads((out / "results.json").read_text())) for out in (killed, tmp_path / "straight"))
    assert one == other
    assert (killed / "figure.png").stat().st_size > 10_000
    refused = start(killed, *conditions, "--latent-dim", "32")
    _, errors = refused.communicate()
    assert refused.returncode == 1
    assert "holds another configuration (latent_dim=64 there and 32 here)" in errors


@pytest.mark.slow
def test_every_condition_runs(tmp_path):
    """Every condition can be trained and measured, and a broken checkpoint is a clear sentence that stops no other."""
    broken = tmp_path / "ema" / "seed0"
    broken.mkdir(parents=True)
    (broken / "encoder.pt").write_bytes(b"broken")
    process = start(tmp_path, "--conditions", "all", "--seeds", "0", "--updates", "2")
    _, errors = process.communicate()
    assert process.returncode == 1
    assert "encoder.pt is broken" in errors
    assert "Traceback" not in errors
    results = json.loads((tmp_path / "results.json").read_text())["results"]
    assert set(results) == set(CONDITIONS) - {"ema"}
