"""The main job, as a person runs it."""

import json
import runpy
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image
from stable_baselines3 import PPO

ROOT = Path(__file__).parents[2]


def command(out, *arguments, options=()):
    script = ["examples/train.py", "--out", str(out), *arguments]
    return [sys.executable, "-W", "error", *options, *script]


@contextmanager
def running(command):
    """Start the command as a terminal does, and leave no process behind."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # a shell starts its background jobs deaf to Ctrl-C, and these tests may be one
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [[], ["--no-jepa"]])
def test_a_short_training_leaves_everything(tmp_path, arguments):
    """The output folder holds model.zip, latent.png, result.json and TensorBoard logs; a table is printed."""
    run = subprocess.run(
        command(tmp_path / "out", "--steps", "1024", *arguments), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "success rate" in run.stdout
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["episodes"] == 1000
    assert 0.1 < result["success_rate"] <= 1
    assert result["steps"] == 1024
    assert result["encoder"] == ("NatureCNN" if arguments else "JEPAExtractor")
    assert PPO.load(tmp_path / "out" / "model.zip", device="cpu").num_timesteps == 1024
    with Image.open(tmp_path / "out" / "latent.png") as picture:
        assert picture.size == (1210, 550)
    assert list((tmp_path / "out").glob("PPO_1/events*"))


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["dqn", "sac"])
def test_the_other_algorithms(algorithm, tmp_path):
    """DQN and SAC train, are tested and leave the same files."""
    run = subprocess.run(
        command(tmp_path, "--algorithm", algorithm, "--steps", "1040"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert 0 <= json.loads((tmp_path / "result.json").read_text())["success_rate"] <= 1
    assert (tmp_path / "model.zip").exists()
    assert (tmp_path / "latent.png").exists()


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_stopped_training_saves_the_model_so_far(tmp_path, stop):
    """Ctrl-C and SIGTERM save the model so far; the last line says where, and no traceback is printed."""
    out = tmp_path / "out"
    with running(command(out, "--steps", "1000000")) as process:
        for _ in range(600):  # the logs appear when training begins
            if list(out.glob("PPO_1/events*")) or process.poll() is not None:
                break
            time.sleep(0.1)
        time.sleep(2)
        process.send_signal(stop)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1, errors
    assert "Traceback" not in errors
    steps = PPO.load(out / "model.zip", device="cpu").num_timesteps
    assert steps > 0
    assert errors.splitlines()[-1] == f"Interrupted after {steps} steps: the model so far is in {out / 'model.zip'}"


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_stopped_during_imports(tmp_path, stop):
    """Ctrl-C and SIGTERM while modules are still imported end in one line."""
    with running(command(tmp_path, options=("-X", "importtime"))) as process:
        for line in process.stderr:
            if line.split()[-1] == "numpy":  # imported; torch and others, which take seconds, follow
                break
        process.send_signal(stop)
        lines = process.communicate(timeout=60)[1].splitlines()
    assert process.returncode == -signal.SIGINT, "a shell that sees this ends its loop, too"
    assert [line for line in lines if not line.startswith("import time:")] == ["Interrupted"]


def test_bad_arguments(tmp_path, capsys, monkeypatch):
    """A wrong argument is one clear sentence and exit status 2."""
    monkeypatch.setattr(sys, "argv", command(tmp_path / "out", "--steps", "0")[3:])
    monkeypatch.syspath_prepend(ROOT / "examples")
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # the script sets both for its process
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as exit_status:
        runpy.run_path(str(ROOT / "examples" / "train.py"), run_name="__main__")
    assert exit_status.value.code == 2
    assert "--steps" in capsys.readouterr().err
