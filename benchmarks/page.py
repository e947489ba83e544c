"""Write the tables of the pages of results, the README and two pages of docs from the JSON files in ``results``.

    python benchmarks/page.py

A table stands between ``<!-- results/NAME.json -->`` and ``<!-- end -->``; whatever else is there stays as it is. A
brief one is named ``<!-- results/NAME.json, in brief -->``, one that advises ``<!-- results/NAME.json, as advice -->``.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import advice
import audit
import bisimulation
import encoder
import environment
import overhead
from learning.summary import brief_table
from learning.summary import tables as learning_tables
from returns.tables import tables as returns_tables

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
RESULTS = sorted(HERE.glob("*.md"))
PAGES = (*RESULTS, HERE.parent / "README.md", DOCS / "recipes.md", DOCS / "when-to-use.md")
BLOCK = re.compile(r"(<!-- results/(\w+)\.json(, in brief|, as advice)? -->\n).*?(<!-- end -->)", re.DOTALL)
TABLES: Mapping[str, Callable[[Any], str]] = {
    "environment": lambda facts: environment.tables(facts["steps_per_second"], facts["share_in_environment"]),
    "encoder": lambda facts: encoder.tables(facts["results"]),
    "overhead": lambda facts: overhead.tables(facts["seconds_a_step"]),
    "bisimulation": lambda facts: bisimulation.tables(facts["comparison"], facts["growth"]),
    "audit": audit.tables,
    "sample_efficiency": lambda facts: learning_tables(facts["results"], facts["titles"]),
    "other_tasks": lambda facts: returns_tables(facts["summary"]),
}
BRIEF: Mapping[str, Callable[[Any], str]] = {
    "overhead": lambda facts: overhead.brief_table(facts["seconds_a_step"]),
    "sample_efficiency": lambda facts: brief_table(facts["results"], facts["titles"]),
}
ADVICE: Mapping[str, Callable[[Any], str]] = {
    "sample_efficiency": advice.steps_table,
    "other_tasks": advice.returns_table,
}
KINDS = {None: TABLES, ", in brief": BRIEF, ", as advice": ADVICE}


def filled(text: str) -> str:
    """Return a page with every table as its JSON file has it, and the command that made it."""

    def fill(match: re.Match[str]) -> str:
        opening, name, kind, closing = match.groups()
        facts = json.loads((HERE / "results" / f"{name}.json").read_text())
        machine, versions = facts["machine"], facts["versions"]
        made = (
            f"{machine['processor']}, {machine['cores']} cores; Python {versions['python']}, torch {versions['torch']}"
        )
        table = KINDS[kind][name](facts)
        return f"{opening}`{facts['command']}` ({made})\n\n{table}\n{closing}"

    return BLOCK.sub(fill, text)


def main() -> None:
    """Bring the pages up to date."""
    for page in PAGES:
        page.write_text(filled(page.read_text()))


if __name__ == "__main__":
    main()
