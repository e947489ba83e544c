"""What a release needs: one version in all places, a script that prepares the next, archives that install."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import counting_env
import jepa_extractor
from scripts.release import prepare

ROOT = Path(__file__).parents[2]
FILES = ("pyproject.toml", "CITATION.cff", "CHANGELOG.md")


@pytest.fixture
def project(tmp_path):
    """A copy of the files that name the version, with one entry in the changelog."""
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path)
    changelog = tmp_path / "CHANGELOG.md"
    text = re.sub(
        r"(## \[Unreleased\]\n).*?(?=## \[)", r"\1\n### Added\n\n- A thing.\n\n", changelog.read_text(), flags=re.S
    )
    changelog.write_text(text)
    return tmp_path


def versions(folder):
    """Return the newest version that each file names."""
    return (
        re.search(r'^version = "(.+)"$', (folder / "pyproject.toml").read_text(), re.M)[1],
        re.search(r"^version: (.+)$", (folder / "CITATION.cff").read_text(), re.M)[1],
        re.search(r"^## \[(\d.+)\] - \d{4}-\d\d-\d\d$", (folder / "CHANGELOG.md").read_text(), re.M)[1],
    )


def test_all_files_name_one_version():
    """pyproject.toml, CITATION.cff, the changelog and the packages agree."""
    assert set(versions(ROOT)) == {counting_env.__version__} == {jepa_extractor.__version__}


def test_the_script_prepares_the_next_version(project):
    """Version and date are written; the entries move under them, and "Unreleased" is empty again."""
    before = (project / "CHANGELOG.md").read_text()
    prepare(project, "7.0.1", "2030-01-02")
    assert set(versions(project)) == {"7.0.1"}
    assert "\ndate-released: 2030-01-02\n" in (project / "CITATION.cff").read_text()
    after = (project / "CHANGELOG.md").read_text()
    assert after == before.replace("## [Unreleased]\n", "## [Unreleased]\n\n## [7.0.1] - 2030-01-02\n")


@pytest.mark.parametrize(
    ("version", "date", "message"),
    [
        ("0.0.9", "2030-01-02", "version='0.0.9' does not follow"),
        ("0.1", "2030-01-02", "version='0.1' does not follow"),
        ("7.0.1", "2.1.2030", "2.1.2030"),
    ],
)
def test_what_is_amiss_changes_nothing(project, version, date, message):
    before = [(project / name).read_text() for name in FILES]
    with pytest.raises(ValueError, match=message):
        prepare(project, version, date)
    assert [(project / name).read_text() for name in FILES] == before


def test_a_version_without_news_is_refused(project):
    prepare(project, "7.0.1", "2030-01-02")
    with pytest.raises(ValueError, match='lists nothing under "Unreleased"'):
        prepare(project, "7.0.2", "2030-01-02")


def run(*command, cwd=ROOT):
    """Run a command without ``PYTHONPATH``, which could show it another copy of the package."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_wheel_works_in_a_new_environment(tmp_path):
    """Both archives pass their check; the wheel, in an environment of dependencies alone, runs README's first block.

    The dependencies are those of the running environment, whose folder a .pth file names. Editable installs are
    .pth files themselves, which Python does not follow from there: the package can only come from the wheel.
    """
    pytest.importorskip("build")
    pytest.importorskip("twine")
    dist, venv = tmp_path / "dist", tmp_path / "venv"
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", dist, ROOT)
    run(sys.executable, "-m", "twine", "check", "--strict", *dist.iterdir())
    run(sys.executable, "-m", "venv", "--without-pip", venv)
    paths = {"base": str(venv), "platbase": str(venv)}
    python = Path(sysconfig.get_path("scripts", "venv", paths)) / (
        "python.exe" if sys.platform == "win32" else "python"
    )
    site_packages = Path(sysconfig.get_path("purelib", "venv", paths))
    install = ("install", "--no-deps", "--no-index", *dist.glob("*.whl"))
    run(sys.executable, "-m", "pip", "--python", python, *install)
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    block = re.search(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)[1]
    assert "model.learn(8_192," in block
    code = block.replace("model.learn(8_192,", "model.learn(1_024,")
    code += "\nimport counting_env, jepa_extractor\nprint(counting_env.__file__, jepa_extractor.__version__)\n"
    said = run(python, "-c", code, cwd=tmp_path)
    assert str(site_packages) in said
    assert said.split()[-1] == jepa_extractor.__version__
    assert (tmp_path / "report.html").exists()
