"""The numbers and tables of the README and of the pages in ``docs``, from the JSON files in ``docs/results``.

They stand between ``<!-- STUDY: KEY -->`` and ``<!-- end -->``, with the space around them as it is; whatever else is
there stays as it is. STUDY is the name of a study. Its keys are ``table``, those of its ``SHOWN``, and ``COMMON``.
"""

import re
import shutil
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

from studies import NAMES
from studies.facts import DOCS, Facts, read

BLOCK = re.compile(r"(<!-- (\w+): ([^>]*?) -->\s*)(.*?)(\s*<!-- end -->)", re.DOTALL)
PAGES = [page for page in (DOCS.parent / "README.md", *sorted(DOCS.glob("*.md"))) if BLOCK.search(page.read_text())]


def _machine(facts: Facts) -> str:
    machine, versions = facts["machine"], facts["versions"]
    python = f"Python {versions['python']}, " if "python" in versions else ""
    return f"{machine['processor']}, {machine['cores']} cores; {python}torch {versions['torch']}"


def _runs(facts: Facts) -> list[Mapping[str, float]]:
    return [run for by_seed in facts["results"].values() for run in by_seed.values()]


COMMON: Mapping[str, Callable[[Facts], str]] = {
    "command": lambda facts: f"`{facts['command']}`",
    "machine": _machine,
    "made": lambda facts: f"`{facts['command']}` ({_machine(facts)})",
    "runs": lambda facts: str(len(_runs(facts))),
    "hours": lambda facts: f"{sum(run['seconds'] for run in _runs(facts)) / 3600:.1f}",  # of a processor
}


def shown(study: str) -> dict[str, Callable[[Facts], str]]:
    """Return what a page may show of a study, as functions of its facts, by key."""
    module = import_module(f"studies.{study}")
    return {**COMMON, "table": module.table, **getattr(module, "SHOWN", {})}


def filled(text: str, facts: Callable[[str], Facts] = read) -> str:
    """Return ``text`` with every number and table as ``facts`` of its study has it."""

    def fill(match: re.Match[str]) -> str:
        opening, study, key, _, closing = match.groups()
        if study not in NAMES:
            raise ValueError(f"<!-- {study}: {key} --> names no study: give one of {', '.join(NAMES)}")
        values = shown(study)
        if key not in values:
            raise ValueError(f"<!-- {study}: {key} --> is no number: give one of {', '.join(values)}")
        return opening + values[key](facts(study)).strip() + closing

    return BLOCK.sub(fill, text)


def write() -> None:
    """Bring all pages up to date."""
    for page in PAGES:
        page.write_text(filled(page.read_text()))


def publish(study: str, out: Path) -> None:
    """Copy the results and the figure of a study in the folder ``out``, and bring the pages up to date."""
    shutil.copyfile(out / "results.json", DOCS / "results" / f"{study}.json")
    if (out / "figure.png").exists():
        shutil.copyfile(out / "figure.png", DOCS / "images" / f"{study}.png")
    write()
