"""The numbers in the pages are those of the results beside them."""

import json
import re

import page
import pytest

LONG = {"when-to-use.md"}  # intervals by rliable


@pytest.mark.parametrize(
    "path", [pytest.param(path, id=path.name, marks=[pytest.mark.slow] * (path.name in LONG)) for path in page.PAGES]
)
def test_tables_equal_the_json(path):
    """Every table, and the command that makes it again, is as the JSON file beside the page says."""
    text = path.read_text()
    assert page.BLOCK.search(text)
    assert page.filled(text) == text


def test_a_changed_number_is_seen():
    """The comparison above fails when a number in the page is not the measured one."""
    text = (page.HERE / "LEARNING.md").read_text()
    changed = re.sub(r"(\| joint, reward \| [^|]+\| )\d", r"\g<1>99", text)
    assert changed != text
    assert page.filled(changed) == text


@pytest.mark.parametrize("name", page.TABLES)
def test_results_say_how_to_make_them_again(name):
    """Each JSON file names its machine, versions and command, and the page shows the command."""
    facts = json.loads((page.HERE / "results" / f"{name}.json").read_text())
    assert facts["command"].startswith(f"python benchmarks/{name}.py")
    assert facts["machine"]["cores"] >= 1
    assert facts["versions"]["torch"]
    assert any(facts["command"] in path.read_text() for path in page.RESULTS)
