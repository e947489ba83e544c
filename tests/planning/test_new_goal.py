"""The example of new goals, as a person runs it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_every_goal_from_nine_pictures(tmp_path):
    """Trained for one goal, the planner reaches all nine goals from one labelled picture of each count."""
    command = [sys.executable, "-W", "error", "examples/new_goal.py", "--out", str(tmp_path), "--threads", "1"]
    run = subprocess.run(
        [*command, "--ways", "joint", "--each", "1"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "goals 0 to 8" in run.stdout
    successes = json.loads((tmp_path / "result.json").read_text())["joint"]["9"]
    assert len(successes) == 9
    assert np.mean(successes) >= 0.97
    assert min(successes) >= 0.9
    with Image.open(tmp_path / "new_goal.png") as picture:
        assert picture.size == (1100, 440)
