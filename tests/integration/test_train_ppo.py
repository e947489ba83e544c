"""The main job, as a person runs it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from stable_baselines3 import PPO

ROOT = Path(__file__).parents[2]


def command(out, *arguments):
    return [sys.executable, "-W", "error", "examples/train_ppo.py", "--out", str(out), "--threads", "1", *arguments]


@pytest.mark.parametrize("arguments", [[], pytest.param(["--no-jepa"], marks=pytest.mark.slow)])
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
def test_interrupt_saves_the_model_so_far(tmp_path):
    """Ctrl-C saves the model so far and says where."""
    out = tmp_path / "out"
    process = subprocess.Popen(
        command(out, "--steps", "1000000"),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # a shell starts its background jobs deaf to Ctrl-C, and these tests may be one
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    try:
        for _ in range(600):  # last_good.zip appears when training begins
            if (out / "last_good.zip").exists() or process.poll() is not None:
                break
            time.sleep(0.1)
        time.sleep(2)
        os.kill(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 1
    assert str(out / "model.zip") in errors
    assert PPO.load(out / "model.zip", device="cpu").num_timesteps > 0


def test_bad_arguments(tmp_path):
    """A wrong argument is one clear sentence and exit status 2."""
    run = subprocess.run(
        command(tmp_path / "out", "--steps", "0"), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert "--steps" in run.stderr
