"""Does squared error keep apart what differs only in what may follow?"""

import pytest
import torch

from studies import randomness
from studies.randomness import energy_score


def test_the_energy_score_by_hand():
    """Mean distance to what arrived, minus half the mean distance between two predictions."""
    predicted = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    score = energy_score(predicted, torch.tensor([0.0, 0.0]))
    assert score.item() == pytest.approx((0 + 5) / 2 - 5 / 2, abs=1e-4)
    one = energy_score(torch.tensor([[1.0, 2.0]]), torch.tensor([0.0, 0.0]))
    assert one.item() == pytest.approx(2.5), "of a single prediction, the squared error"


def test_the_energy_score_is_lowest_for_the_true_distribution():
    """Predictions on both outcomes score better than any single place, which is what squared error would give."""
    outcomes = torch.tensor([[0.0], [1.0]])

    def expected(*places):
        predicted = torch.tensor(places)[:, None]
        return sum(energy_score(predicted, outcome) for outcome in outcomes).item() / 2

    assert expected(0.0, 1.0) < expected(0.5, 0.5) - 0.2
    assert expected(0.0, 1.0) < expected(0.2, 0.9)


@pytest.mark.parametrize("name", ["squared", "slip0.25"])
@pytest.mark.slow
def test_a_run(name, tmp_path, monkeypatch):
    """A short run is the same if made again."""
    for constant, value in {"TRANSITIONS": 300, "EACH": 4, "UPDATES": 3}.items():
        monkeypatch.setattr(randomness, constant, value)
    first, again = (randomness.run(randomness.CONFIGURATIONS[name], 0, tmp_path / part) for part in "ab")
    assert first == again


def test_the_tables_and_the_figure(tmp_path):
    """Merged runs are counted, and the highest error of a slip is shown."""
    results = {
        "squared": {"0": {"distance": 0.1}, "1": {"distance": 0.3}},
        "slip0.25": {"0": {"worst_error": 0.0}, "1": {"worst_error": 0.02}},
    }
    text = randomness.table({"results": results})
    assert "| squared error | 2 | 0.200 (0.100 to 0.300) | 1 |" in text
    assert "| 0.25 | 2 | 0.0200 |" in text
    randomness.draw({"results": results}, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 5_000
