"""Write the numbers and tables of the documents from the JSON files in docs/results: python examples/pages.py

They stand between ``<!-- STUDY: KEY -->`` and ``<!-- end -->``; whatever else is there stays as it is. STUDY is the
name of a JSON file. Its keys are those of the study's ``values``, in ``paper.summary``, ``goals.summary``,
``experiments`` or ``audits``.
"""

import json
import re
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import audits
import experiments
from goals.summary import values as goals_values
from paper.summary import values as paper_values

DOCS = Path(__file__).parents[1] / "docs"
PAGES = (DOCS / "paper.md", DOCS / "experiments.md", DOCS / "new-goal.md", DOCS / "audit.md")
BLOCK = re.compile(r"(<!-- (\w+): ([^>]*) -->).*?(<!-- end -->)", re.DOTALL)
STUDIES: Mapping[str, Callable[[Mapping[str, Any]], Mapping[str, str]]] = {
    "paper": paper_values,
    "paper_places": paper_values,
    "new_goal": goals_values,
    "audits": audits.values,
    **{name: partial(experiments.values, name) for name in experiments.NAMES},
}


def read(study: str) -> dict[str, Any]:
    """Return what a study found, with the command that made it."""
    facts: dict[str, Any] = json.loads((DOCS / "results" / f"{study}.json").read_text())
    return facts


def filled(text: str, facts: Callable[[str], Mapping[str, Any]] = read) -> str:
    """Return ``text`` with every number and table as ``facts`` of its study has it."""
    known: dict[str, Mapping[str, str]] = {}

    def fill(match: re.Match[str]) -> str:
        opening, study, key, closing = match.groups()
        if study not in STUDIES:
            raise ValueError(f"<!-- {study}: {key} --> names no study: give one of {', '.join(STUDIES)}")
        values = known[study] if study in known else known.setdefault(study, STUDIES[study](facts(study)))
        if key not in values:
            raise ValueError(f"<!-- {study}: {key} --> is no number: give one of {', '.join(values)}")
        return opening + values[key] + closing

    return BLOCK.sub(fill, text)


def publish(study: str, out: Path) -> None:
    """Copy the results and the figure of a study in the folder ``out``, and bring the pages up to date."""
    (DOCS / "results").mkdir(exist_ok=True)
    shutil.copyfile(out / "results.json", DOCS / "results" / f"{study}.json")
    shutil.copyfile(out / "figure.png", DOCS / "images" / f"{study}.png")
    main()


def main() -> None:
    """Bring the pages up to date."""
    for page in PAGES:
        page.write_text(filled(page.read_text()))


if __name__ == "__main__":
    main()
