"""What was measured, and where: the machine, the versions, and the files in ``docs/results``."""

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[1] / "docs"
PACKAGES = ("gymnasium", "numba", "numpy", "scikit-learn", "scipy", "stable-baselines3", "torch")
OTHERS = ("automata-lib", "bispy", "minigrid", "minatar")  # that some studies compare with, where they are installed

Facts = dict[str, Any]
Results = dict[str, dict[str, dict[str, Any]]]  # by configuration, seed and measure


def measured_on(command: str) -> Facts:
    """Return the command, the machine and the versions; ``None`` for a package that is not installed."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for package in (*PACKAGES, *OTHERS):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    machine = {"processor": _processor(), "cores": os.cpu_count(), "system": platform.platform()}
    return {"command": command, "machine": machine, "versions": versions}


def read(study: str) -> Facts:
    """Return what a study found, with the command that made it, as ``docs/results`` has it."""
    facts: Facts = json.loads((DOCS / "results" / f"{study}.json").read_text())
    return facts


def of_one_run(results: Results) -> Facts:
    """Return what the first run found, of a study that makes one."""
    return next(iter(next(iter(results.values())).values()))


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
