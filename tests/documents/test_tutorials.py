"""Each tutorial runs as it stands, and shows what its text says."""

import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

TUTORIALS = Path(__file__).parents[2] / "docs" / "tutorials"

pytestmark = pytest.mark.slow


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A function that runs the cells of a tutorial, and returns the names that they leave."""
    monkeypatch.chdir(tmp_path)
    plt.switch_backend("Agg")

    def run_cells(name):
        text = (TUTORIALS / f"{name}.md").read_text()
        names = {"__name__": "__main__"}
        for number, cell in enumerate(re.findall(r"^```\{code-cell\}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)):
            exec(compile(cell, f"{name}, cell {number}", "exec"), names)
        return names

    yield run_cells
    plt.close("all")
