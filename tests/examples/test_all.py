"""What holds for every example, and the short ones as a person runs them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# what a planner says of a goal when a training was cut short
HARDLY_TRAINED = ("-W", "ignore:what arrives at the highest", "-W", "ignore:no action leads from a labelled")
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def run(*arguments):
    """Run an example, in a process of its own, and return what it printed."""
    command = [sys.executable, "-W", "error", *HARDLY_TRAINED, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_can_be_read_at_once(example):
    """At most 80 lines, and the first says what it shows; the demonstration is run rather than copied."""
    text = example.read_text()
    assert len(text.splitlines()) <= (90 if example.stem == "demo" else 80)
    assert text.startswith('"""')


@pytest.mark.slow
def test_a_new_goal():
    """Hardly trained, the planner is tested at each of nine goals."""
    output = run("examples/new_goal.py", "--transitions", 500, "--updates", 2)
    assert re.findall(r"goal (\d): success [01]\.\d{3}", output) == list("012345678")


@pytest.mark.slow
def test_an_audit(tmp_path):
    """Two encoders are compared on a page."""
    output = run("examples/audit.py", "--updates", 2, "--out", tmp_path / "page.html")
    assert len(re.findall(r"collapse index 0\.\d{3}", output)) == 2
    assert "JEPA" in (tmp_path / "page.html").read_text()


@pytest.mark.slow
def test_a_bandit():
    """Each way of training has its row."""
    assert len(run("examples/bandit.py", "--steps", 20, "--seeds", 0, 1).splitlines()) == 7
