"""What importing the package does, and where it works: each in a fresh interpreter."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

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
    """DESIGN.md: "`import counting_env` never loads torch, pygame or matplotlib"; nor Stable-Baselines3."""
    code = """
import sys
import counting_env, gymnasium
env = gymnasium.make("CountingEnv-v0", render_mode="rgb_array")
env.reset(seed=0)
env.step(1)
env.render()
print(*sorted({"torch", "pygame", "matplotlib", "stable_baselines3", "jepa_extractor"} & set(sys.modules)))
"""
    assert python(code) == ""


def test_missing_pygame_is_named_with_its_cure() -> None:
    """DESIGN.md: "errors that name the mend": render mode "human" without pygame."""
    code = """
import sys
sys.modules["pygame"] = None
import counting_env, gymnasium
env = counting_env.CountingEnv(render_mode="human")
try:
    env.reset(seed=0)
except gymnasium.error.DependencyNotInstalled as error:
    print(error)
"""
    assert python(code) == 'render_mode="human" needs pygame: pip install "counting-jepa[play]"'


def test_it_works_where_no_machine_code_can_be_cached(tmp_path: Path) -> None:
    """A read-only installation with a read-only home and an unwritable `NUMBA_CACHE_DIR`: compiled in each process.

    Paths under a regular file can be written by nobody, not even by root.
    """
    package = tmp_path / "counting_env"
    shutil.copytree(Path(counting_env.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "__pycache__").touch()
    (tmp_path / "file").touch()
    nowhere = str(tmp_path / "file" / "folder")
    code = """
import counting_env
from counting_env.dynamics import next_count
print(counting_env.__file__, next_count(3, 1, 8), type(next_count._cache).__name__)
"""
    places = dict.fromkeys(("NUMBA_CACHE_DIR", "HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"), nowhere)
    said = python(code, cwd=tmp_path, env={**os.environ, **places, "PYTHONPATH": str(tmp_path)})
    assert said == f"{package / '__init__.py'} 4 NullCache"


def test_cached_machine_code_follows_every_file_of_the_package(tmp_path: Path) -> None:
    """A kernel holds the kernels that it takes from other files: a change there reaches it in the next process."""
    package = tmp_path / "counting_env"
    shutil.copytree(Path(counting_env.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    inner = "from counting_env.kernels import kernel\n@kernel\ndef inner():\n    return {}\n"
    outer = "from counting_env.kernels import kernel\nfrom counting_env.inner import inner\n"
    (package / "inner.py").write_text(inner.format(1))
    (package / "outer.py").write_text(outer + "@kernel\ndef outer():\n    return inner()\n")
    code = "from counting_env.outer import outer; print(outer(), *outer.stats.cache_hits.values())"
    options = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": str(tmp_path)}}
    assert python(code, **options) == "1"
    assert python(code, **options) == "1 1"  # taken from the cache
    (package / "inner.py").write_text(inner.format(22))
    assert python(code, **options) == "22"
