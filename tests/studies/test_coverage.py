"""Which observations collapse when little is seen of each?"""

import json

import numpy as np
import pytest

from jepa_extractor import Episode
from studies import coverage


def test_what_short_data_tells_apart():
    """Arrivals with different rewards differ; a first observation differs only by what follows the same action."""
    walk = Episode(np.zeros((3, 1), np.float32), np.array([1, 0]), np.array([0, 1], np.float32), False, {})
    other = Episode(np.zeros((2, 1), np.float32), np.array([1]), np.array([1], np.float32), False, {})
    told = coverage._tells_apart([walk, other])  # observations 0, 1, 2 and 3, 4
    pairs = {(i, j) for i in range(5) for j in range(i) if told.distinguishable(i, j)}
    assert pairs == {(2, 1), (4, 1), (3, 0)}


@pytest.mark.parametrize("name", ["table-2", "network-4"])
@pytest.mark.slow
def test_a_run(name, tmp_path, monkeypatch):
    """A short run is the same if made again, and JSON can hold it; the kinds of pairs are all pairs but the equal."""
    for constant, value in {"TRANSITIONS": 200, "PAIRS": 500, "UPDATES": 3}.items():
        monkeypatch.setattr(coverage, constant, value)
    first, again = (coverage.run(coverage.CONFIGURATIONS[name], 0, tmp_path / part) for part in "ab")
    assert json.loads(json.dumps(first)) == again
    assert 0.9 < sum(first[kind] for kind in coverage.KINDS) <= 1


def test_the_table_and_the_figure(tmp_path):
    """A row holds means over seeds and the lowest R²."""
    measures = {f"{kind}{suffix}": 0.5 for kind in coverage.KINDS for suffix in ("", "_collapsed")}
    runs = {str(seed): {**measures, "reward_r2": 0.9 + seed / 100, "dynamics_r2": 1.0} for seed in (0, 1)}
    facts = {"results": {"table-2": runs}}
    text = coverage.table(facts)
    assert "| table | 2 | 0.500 | 0.500 | 0.500 | 0.500 | 0.900, 1.000 |" in text
    coverage.draw(facts, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000
