"""What ``make demo`` runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from stable_baselines3 import PPO

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_demonstration_ends_with_a_report(tmp_path):
    """It says at once what it does, warns of nothing, and ends with three sentences, the last with the page's path."""
    command = [sys.executable, "-W", "error", "examples/demo.py", "--steps", "1024", "--no-browser", "--out", tmp_path]
    done = subprocess.run([*map(str, command)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Loading ")
    *_, policy, encoder, page = done.stdout.strip().splitlines()
    assert re.search(r"in \d+% of 200 games", policy)
    assert "by the audit: " in encoder
    assert page.endswith(str(tmp_path / "report.html"))
    assert "<html" in (tmp_path / "report.html").read_text()
    assert PPO.load(tmp_path / "model.zip", device="cpu").num_timesteps == 1024
