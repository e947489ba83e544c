"""What the Makefile installs."""

import re
import subprocess
from pathlib import Path

import pytest

tomllib = pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML")
ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def needs(extra):
    """Return the packages that an extra names, those of the extras in it too."""
    names = set()
    for requirement in EXTRAS[extra]:
        own = re.match(r"counting-jepa\[(.+)\]", requirement)
        if own:
            names |= set().union(*(needs(part) for part in own[1].split(",")))
        else:
            names.add(re.match(r"[\w.-]+", requirement)[0])
    return names


def test_every_target_installs_an_extra_that_there_is():
    """``.venv/with-X`` stands for the extra X of ``pyproject.toml``."""
    asked = set(re.findall(r"\.venv/with-(\w+)", (ROOT / "Makefile").read_text()))
    assert asked
    assert asked <= set(EXTRAS)


def test_a_target_installs_what_it_needs_and_no_more():
    """Neither the demonstration nor the tests need Ray, Sphinx, mypy or what builds archives."""
    heavy = {"ray", "sphinx", "mypy", "ruff", "build", "twine", "selenium"}
    assert not needs("test") & heavy
    assert not needs("demo") & (heavy | {"pytest", "tensorboard", "matplotlib"})
    assert "stable-baselines3" not in needs("jepa")
    assert heavy <= needs("dev")


@pytest.mark.parametrize("script", ["scripts/install.sh"])
def test_the_shell_understands_the_script(script):
    """``sh -n`` reads it without complaint."""
    done = subprocess.run(["sh", "-n", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
