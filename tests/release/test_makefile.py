"""What the Makefile installs."""

import os
import re
import shutil
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


STUB = """#!/bin/sh
# a Python whose pip finds no uv, and which has torch once it was installed
echo "$*" >> "$LOG"
case "$*" in
    "-m venv .venv") mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
    *" uv "*) exit 1 ;;
    *find_spec*torch*) grep -q " torch " "$LOG" ;;
esac
"""


@pytest.mark.skipif(os.name != "posix", reason="the stub is a shell script")
@pytest.mark.parametrize(("extra", "compiled"), [("demo", "--no-compile"), ("test", "--compile")])
def test_pip_installs_where_there_is_no_uv(extra, compiled, tmp_path):
    """A machine without uv gets the same packages, in the same versions, by pip alone."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "install.sh", tmp_path / "scripts")
    python, log = tmp_path / "python", tmp_path / "log"
    python.write_text(STUB)
    python.chmod(0o755)
    command = ["sh", "scripts/install.sh", str(python), extra]
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "LOG": str(log)}, check=True, capture_output=True)
    assert b"There is no uv for this machine: pip does it" in done.stdout
    installed = [line for line in log.read_text().splitlines() if " install " in line]
    assert len(installed) == 3  # uv in vain, torch, the rest
    assert all(line.endswith("--constraint constraints.txt") for line in installed)
    assert f"install --quiet {compiled} --editable .[{extra}] " in installed[-1]
