"""Write the numbers of docs/paper.md from the JSON files beside it: python examples/paper_page.py

A number or a table stands between ``<!-- FILE: KEY -->`` and ``<!-- end -->``. FILE is a JSON file, ``paper`` or
``paper_places``. KEY is one of

- ``table measures``, ``table also``, ``table differences``;
- ``mean CONDITION MEASURE``: the mean over the seeds and its interval, as in the tables;
- ``difference CONDITION MEASURE``: ``joint`` minus the condition, as in the tables;
- ``range CONDITION MEASURE``: the least and the largest of the seeds, as measured;
- ``command``, ``seeds`` (how many), ``machine``, ``minutes`` (of one processor, all runs).
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paper.summary import ALSO, MEASURES, cell, differences, summarise, tables

DOCS = Path(__file__).parents[1] / "docs"
STUDIES = ("paper", "paper_places")
BLOCK = re.compile(r"(<!-- (paper\w*): ([^>]*) -->).*?(<!-- end -->)", re.DOTALL)


def filled(text: str, studies: Mapping[str, Any]) -> str:
    """Return ``text`` with every number and table as the facts of ``studies`` have it."""
    values = {name: _values(facts) for name, facts in studies.items()}

    def fill(match: re.Match[str]) -> str:
        opening, name, key, closing = match.groups()
        if key not in values[name]:
            raise ValueError(f"<!-- {name}: {key} --> is no number: see the top of {Path(__file__).name}")
        return opening + values[name][key] + closing

    return BLOCK.sub(fill, text)


def read_studies() -> dict[str, Any]:
    """Return the facts of each study."""
    return {name: json.loads((DOCS / f"{name}.json").read_text()) for name in STUDIES}


def _values(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return every number and table of a study by its key."""
    results, machine = facts["results"], facts["machine"]
    seconds = sum(run["processor_seconds"] for by_seed in results.values() for run in by_seed.values())
    values = {
        "command": f"`{facts['command']}`",
        "seeds": str(len(results["joint"])),
        "machine": f"{machine['processor']}, {machine['cores']} cores; torch {facts['versions']['torch']}",
        "minutes": f"{seconds / 60:.0f}",
    }
    values |= {f"table {name}": f"\n{table}" for name, table in tables(results).items()}
    for kind, intervals in (("mean", summarise(results)), ("difference", differences(results))):
        for condition, of_condition in intervals.items():
            for measure, interval in of_condition.items():
                values[f"{kind} {condition} {measure}"] = cell(interval, (MEASURES | ALSO)[measure][1])
    for condition, by_seed in results.items():
        for measure, (_, decimals) in (MEASURES | ALSO).items():
            of_seeds = [run[measure] for run in by_seed.values()]
            values[f"range {condition} {measure}"] = f"{min(of_seeds):.{decimals}f} to {max(of_seeds):.{decimals}f}"
    return values


def main() -> None:
    """Bring the page up to date."""
    page = DOCS / "paper.md"
    page.write_text(filled(page.read_text(), read_studies()))


if __name__ == "__main__":
    main()
