"""The example of planning on toy-text environments, as a person runs it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*arguments):
    command = [sys.executable, "examples/plan_tables.py", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def successes(*arguments):
    """Return the success at the goal of the training and at the second."""
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    return [float(number) for number in re.findall(r": ([\d.]+) ", done.stdout)]


@pytest.mark.slow
@pytest.mark.parametrize("world", ["lake", "cliff"])
def test_it_runs_on_both_worlds(world):
    """Hardly trained, and with one step to look ahead, it still says how many starts reach each goal."""
    short = ("--updates", 1, "--transition-updates", 1, "--horizon", 1)
    shares = successes("--world", world, "--second", 5, *short)
    assert len(shares) == 2
    assert all(0 <= share <= 1 for share in shares)


@pytest.mark.slow
def test_a_hole_is_no_second_goal():
    """State 19 of the lake is a hole: the error names the option, its value and the mend."""
    done = run("--second", 19)
    assert done.returncode == 2
    assert "--second 19 is not a state that can be passed: give one of 0 to 62" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("world", "second"), [("lake", 28), ("cliff", 5)])
def test_both_goals_are_reached_from_nearly_every_start(world, second):
    """At least 95% of the starts reach the goal of the training, and one that only its picture tells."""
    assert min(successes("--world", world, "--second", second)) >= 0.95
