"""How many states does the reward of other people's environments require, and how many does an encoder keep?"""

import pytest

from studies import tables

KNOWN = {"lake4": (16, 13), "cliff": (38, 38)}


@pytest.mark.parametrize("name", ["lake4-joint", "cliff-untrained"])
@pytest.mark.slow
def test_a_run(name, tmp_path, monkeypatch):
    """States and classes are those of the environment, and a short run is the same if made again."""
    monkeypatch.setattr(tables, "TRANSITIONS", 300)
    monkeypatch.setattr(tables, "UPDATES", 3)
    first, again = (tables.run(tables.CONFIGURATIONS[name], 0, tmp_path / part) for part in "ab")
    del first["seconds"], again["seconds"]
    assert first == again
    assert (first["states"], first["classes"]) == KNOWN[name.split("-")[0]]
    assert 0 <= first["kept"] <= first["required"]


def test_the_table_and_the_figure(tmp_path):
    """A row holds the mean share of required pairs and its range."""
    run = {"states": 16, "classes": 13, "required": 100, "mergeable": 20, "merged": 5, "groups": 12, "seconds": 60.0}
    results = {"lake4-joint": {"0": {**run, "kept": 100}, "1": {**run, "kept": 80}}}
    text = tables.table({"results": results})
    assert "| FrozenLake 4x4, 16 | 13 | joint | 2 | 0.900 (0.800 to 1.000) of 100 | 5.0 of 20 | 12.0 | 60 |" in text
    tables.draw({"results": results}, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 5_000
