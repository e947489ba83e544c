"""What importing the package does, and where it works: each in a fresh interpreter."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from gymnasium.error import DependencyNotInstalled

import counting_env


def python(code: str, **options) -> str:
    """Run ``code`` in a fresh interpreter, with warnings as errors, and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        **options,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_loads_no_heavy_package() -> None:
    """import counting_env loads neither torch, pygame, matplotlib nor Stable-Baselines3."""
    code = """
import sys
import counting_env, gymnasium
env = gymnasium.make("CountingEnv-v0", render_mode="rgb_array")
env.reset(seed=0)
env.step(1)
env.render()
heavy = {"torch", "pygame", "matplotlib", "stable_baselines3", "jepa_extractor"}
print(*sorted(heavy & set(sys.modules)))
"""
    assert python(code) == ""


def test_the_adapter_needs_stable_baselines3_alone() -> None:
    """counting_env.sb3 loads nothing that the extra "sb3" does not install, and no part of the plug-in beside it."""
    listing = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    new = set(python(f"import counting_env.sb3\n{listing}").split())
    new -= set(python(f"import counting_env, stable_baselines3\n{listing}").split())
    assert new == {"jepa_extractor"}


def test_missing_pygame_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Render mode "human" without pygame raises an error that says what to install."""
    monkeypatch.setitem(sys.modules, "pygame", None)
    env = counting_env.CountingEnv(render_mode="human")
    with pytest.raises(DependencyNotInstalled, match=r'^A window needs pygame: pip install "counting-jepa\[play\]"$'):
        env.reset(seed=0)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package in a folder of its own, without machine code."""
    folder = tmp_path / "counting_env"
    shutil.copytree(Path(counting_env.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_it_works_where_no_machine_code_can_be_cached(package: Path, tmp_path: Path) -> None:
    """A read-only installation with a read-only home and an unwritable `NUMBA_CACHE_DIR`: compiled in each process.

    Paths under a regular file can be written by nobody, not even by root.
    """
    (package / "__pycache__").touch()
    (tmp_path / "file").touch()
    nowhere = str(tmp_path / "file" / "folder")
    code = """
import counting_env
from counting_env.kernels import next_count
print(counting_env.__file__, next_count(3, 1, 0, 8, False))
"""
    places = dict.fromkeys(("NUMBA_CACHE_DIR", "HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"), nowhere)
    said = python(code, cwd=tmp_path, env={**os.environ, **places, "PYTHONPATH": str(tmp_path)})
    assert said == f"{package / '__init__.py'} 4"
    assert not list(tmp_path.rglob("*.nb?"))


@pytest.mark.slow
def test_cached_machine_code_follows_the_kernels(package: Path, tmp_path: Path) -> None:
    """Machine code is taken from the cache until kernels.py changes, then compiled again."""
    code = """
from counting_env.kernels import next_count
print(next_count(3, 1, 0, 8, False), *next_count.stats.cache_hits.values())
"""
    options = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": str(tmp_path)}}
    assert python(code, **options) == "4"
    assert python(code, **options) == "4 1"
    kernels = package / "kernels.py"
    kernels.write_text(kernels.read_text().replace("return count + 1", "return count + 5"))
    assert python(code, **options) == "8"


def test_kernels_depend_on_no_other_file() -> None:
    """kernels.py holds all compiled code and imports nothing from the package: Numba's cache knows no other file."""
    for path in Path(counting_env.__file__).parent.rglob("*.py"):
        text = path.read_text()
        if path.name == "kernels.py":
            assert "counting_env" not in text
        else:
            assert "numba" not in text
            assert "@kernel" not in text
