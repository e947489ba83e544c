"""What the benchmarks share: arguments, Markdown tables, and JSON with all that is needed to measure again."""

import argparse
import json
import os
import platform
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("automata-lib", "bispy", "gymnasium", "minigrid", "numba", "numpy", "scipy", "stable-baselines3", "torch")


def add_out(parser: argparse.ArgumentParser) -> None:
    """Add ``--out``: the JSON file, named after the script unless told otherwise."""
    default = Path("runs/benchmarks") / Path(sys.argv[0]).with_suffix(".json").name
    parser.add_argument("--out", default=default, help=f"JSON file to write (default: {default})")


def add_choices(parser: argparse.ArgumentParser, **choices: Iterable[str]) -> None:
    """Add ``--NAME`` for each keyword: some of its choices, by default all."""
    for name, of in choices.items():
        parser.add_argument(f"--{name}", nargs="+", choices=list(of), default=list(of), help="default: all of them")


def at_least(least: int) -> Callable[[str], int]:
    """Return a type of command line arguments: integers of at least ``least``."""

    def integer(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"{text} is less than {least}")
        return int(text)

    return integer


def positive(text: str) -> float:
    """Return a command line argument that is a number above 0."""
    if not float(text) > 0:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return float(text)


def environment_facts() -> dict[str, Any]:
    """Return the command, the machine and the versions."""
    versions: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return {
        "command": shlex.join(["python", *sys.argv]),
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "system": platform.platform()},
        "versions": {"python": platform.python_version(), **versions},
    }


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose first column is aligned left and whose others are aligned right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write ``content``, and print the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")
    print(f"\nwritten to {path}")


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
