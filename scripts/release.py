"""Prepare a release: python scripts/release.py 0.2.0

Writes the version into pyproject.toml, version and date into CITATION.cff, and turns the changelog's "Unreleased" into
the version. Nothing is committed, tagged or uploaded.
"""

import argparse
import datetime
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def prepare(root: Path, version: str, date: str) -> None:
    """Change the three files under ``root``; none if anything is amiss.

    Args:
        root: folder of the project.
        version: three numbers, above the present version.
        date: of the release, as in 2026-11-27.

    Raises:
        ValueError: the version is no newer one, the date is none, or nothing is listed under "Unreleased".
    """
    files = {name: (root / name).read_text() for name in ("pyproject.toml", "CITATION.cff", "CHANGELOG.md")}
    present = _find(r'^version = "([^"]+)"$', files["pyproject.toml"], "pyproject.toml has no version")
    if not re.fullmatch(r"\d+\.\d+\.\d+", version) or _numbers(version) <= _numbers(present):
        raise ValueError(f"version={version!r} does not follow {present}: give three numbers, such as 0.2.0")
    datetime.date.fromisoformat(date)
    entries = _find(
        r"^## \[Unreleased\]\n(.*?)(?=^## \[|\Z)", files["CHANGELOG.md"], 'CHANGELOG.md has no "## [Unreleased]"'
    )
    if not entries.strip():
        raise ValueError('CHANGELOG.md lists nothing under "Unreleased": say what a user will notice')
    changes = {
        "pyproject.toml": [(r'^version = ".+"$', f'version = "{version}"')],
        "CITATION.cff": [(r"^version: .+$", f"version: {version}"), (r"^date-released: .+$", f"date-released: {date}")],
        "CHANGELOG.md": [(r"^## \[Unreleased\]$", f"## [Unreleased]\n\n## [{version}] - {date}")],
    }
    for name, replacements in changes.items():
        for pattern, text in replacements:
            _find(f"({pattern})", files[name], f"{name} has no line {pattern}")
            files[name] = re.sub(pattern, text, files[name], count=1, flags=re.MULTILINE)
    for name, text in files.items():
        (root / name).write_text(text)


def _find(pattern: str, text: str, complaint: str) -> str:
    found = re.search(pattern, text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError(complaint)
    return found[1]


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version", help="three numbers, such as 0.2.0")
    parser.add_argument("--date", default=datetime.date.today().isoformat(), help="of the release (default: today)")
    arguments = parser.parse_args()
    try:
        prepare(ROOT, arguments.version, arguments.date)
    except ValueError as error:
        sys.exit(str(error))
    print(f"Read the diff, then: make dist, git commit, git tag v{arguments.version}")
