"""docs/paper.md says what the committed results say."""

import json
from pathlib import Path

from paper.conditions import PAPER
from paper.summary import markdown, summarise

DOCS = Path(__file__).parents[2] / "docs"


def test_the_table_is_that_of_the_results():
    """The number in the documents is the true one: the table is made again from the results beside it."""
    facts = json.loads((DOCS / "paper.json").read_text())
    table = markdown(summarise(facts["results"]))
    page = (DOCS / "paper.md").read_text()
    assert table in page
    assert facts["command"] in page
    assert set(facts["results"]) == set(PAPER)
