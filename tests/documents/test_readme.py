"""Every Python block of the README runs."""

import re
from pathlib import Path

import pytest
from stable_baselines3 import PPO

README = Path(__file__).parents[2] / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_block_runs(number, tmp_path, monkeypatch):
    """README's Python blocks are executed by the tests; trainings are cut to their first rollout."""
    monkeypatch.chdir(tmp_path)
    learn = PPO.learn
    monkeypatch.setattr(PPO, "learn", lambda model, steps, **kwargs: learn(model, min(steps, 1024), **kwargs))
    exec(compile(BLOCKS[number], f"README.md, block {number}", "exec"), {"__name__": "__main__"})


def test_the_first_block_trains_in_twelve_lines():
    """First screen: twelve lines of Python that train."""
    lines = [line for line in BLOCKS[0].splitlines() if line.strip()]
    assert len(lines) <= 12
    assert "model.learn(" in BLOCKS[0]


def test_pictures_exist():
    """Every picture that the README shows is there."""
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README.read_text())
    assert pictures
    for picture in pictures:
        assert (README.parent / picture).is_file(), picture
