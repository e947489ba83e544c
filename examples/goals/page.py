"""The tables of docs/planning.md, as docs/new_goal.json has them."""

import json
import re
import shutil
from pathlib import Path

from goals import summary

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"(<!-- new_goal\.json, (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(text: str) -> str:
    """Return a page with every table as the JSON file has it."""
    results = json.loads((DOCS / "new_goal.json").read_text())["results"]
    return BLOCK.sub(lambda match: f"{match[1]}\n{summary.TABLES[match[2]](results)}\n{match[3]}", text)


def publish(out: Path) -> None:
    """Bring the documents up to date with the study in the folder ``out``."""
    shutil.copyfile(out / "results.json", DOCS / "new_goal.json")
    shutil.copyfile(out / "new_goal.png", DOCS / "images" / "new_goal.png")
    page = DOCS / "planning.md"
    page.write_text(filled(page.read_text()))
