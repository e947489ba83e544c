"""The audit of latents whose collapse is known."""

import json
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import spearmanr

import jepa_extractor
from jepa_extractor import collapse_audit

RNG_SEED = 0
CLASSES = np.repeat(np.arange(9), 40)


def latents_at(places, spread=0.1, dim=5):
    """Latents around one point of a curve for each class."""
    rng = np.random.default_rng(RNG_SEED)
    means = np.zeros((len(places), dim))
    means[:, 0], means[:, 1] = places, np.square(places) / 10
    return means[CLASSES] + rng.normal(scale=spread, size=(len(CLASSES), dim))


def test_all_kept():
    """An encoder that keeps nine classes apart: 9 of 9, no pair collapsed, perfect measures."""
    report = collapse_audit(latents_at(np.arange(9)), CLASSES)
    assert (report.classes_kept, report.classes_required) == (9, 9)
    assert report.collapsed_pairs == []
    assert report.nearest_centroid_accuracy == report.adjusted_rand_index == 1.0
    assert report.rank_correlation is None
    assert report.smallest_margin == report.margins[report.closest_pair] == report.margins.min()


def test_margin_by_hand():
    """The margin is the distance of the means over the sum of the spreads along the line between them."""
    report = collapse_audit([[-1.0, 7], [1, 7], [9, 7], [13, 7]], [0, 0, 1, 1])
    assert report.smallest_margin == pytest.approx(11 / (1 + 2))
    assert report.closest_pair == (0, 1)


@pytest.mark.parametrize("noise", [0.0, 1e-9, 1e-4])
def test_all_collapsed(noise):
    """An encoder that maps everything to one point, up to the noise of floats or of a last trace: 1 of 9."""
    latents = np.ones((len(CLASSES), 5)) + noise * latents_at(np.arange(9))
    report = collapse_audit(latents, CLASSES)
    assert report.classes_kept == 1
    assert len(report.collapsed_pairs) == 36


def test_what_was_merged_is_named():
    """Of an encoder that merges 6, 7 and 8, exactly these pairs are named."""
    report = collapse_audit(latents_at([0, 1, 2, 3, 4, 5, 6, 6, 6]), CLASSES)
    assert report.collapsed_pairs == [(6, 7), (6, 8), (7, 8)]
    assert report.classes_kept == 7
    assert set(report.closest_pair) < {6, 7, 8}
    assert report.nearest_centroid_accuracy < 0.9


def test_what_an_encoder_may_keep_does_not_count():
    """Bisimilar observations may stay apart: spread across the line between classes is no collapse."""
    latents = latents_at(np.arange(9))
    latents[:, 4] = np.random.default_rng(1).normal(size=len(latents))  # ten times the spread along the line
    assert collapse_audit(latents, CLASSES).classes_kept == 9


def test_the_measures_have_no_unit():
    """Scaling and turning the latents changes no measure."""
    latents = latents_at([0, 1, 2, 3, 4, 5, 6, 6, 6])
    turn, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(5, 5)))
    distances = np.abs(np.subtract.outer(np.arange(9), np.arange(9)))
    one, other = collapse_audit(latents, CLASSES, distances), collapse_audit(1e3 * latents @ turn, CLASSES, distances)
    assert one.collapsed_pairs == other.collapsed_pairs
    assert one.numbers() == pytest.approx(other.numbers())


def test_rank_correlation():
    """Spearman's correlation of the distances of class means with the distances given, over all pairs."""
    places = np.array([0, 1, 2, 4, 8, 9, 20, 21, 40.0])
    means = np.stack([places, np.square(places) / 10], axis=1)
    between = np.linalg.norm(means[:, None] - means, axis=-1)
    upper = np.triu_indices(9, 1)
    assert collapse_audit(latents_at(places, spread=1e-9), CLASSES, between**3).rank_correlation == pytest.approx(1.0)
    other = np.random.default_rng(3).random((9, 9))
    report = collapse_audit(latents_at(places, spread=1e-9), CLASSES, other)
    assert report.rank_correlation == pytest.approx(spearmanr(between[upper], other[upper]).statistic)
    assert np.isnan(collapse_audit(np.ones((len(CLASSES), 3)), CLASSES, other).rank_correlation)


def test_names_of_classes_are_kept():
    """Classes may be any labels; pairs name them."""
    names = np.array(["ash", "beech", "cedar"])[np.repeat(np.arange(3), 10)]
    rng = np.random.default_rng(0)
    latents = np.repeat([[0.0, 0], [5, 5], [5, 5]], 10, axis=0) + rng.normal(scale=0.1, size=(30, 2))
    report = collapse_audit(latents, names)
    assert report.collapsed_pairs == [("beech", "cedar")]


def test_names_that_are_objects():
    """Classes may be an array of objects, such as the vector environment's ``info["shape"]``."""
    report = collapse_audit(np.repeat([[0.0], [5.0]], 3, axis=0), np.repeat(np.array(["a", "b"], object), 3))
    assert report.closest_pair == ("a", "b")


def test_without_spread():
    """Latents without spread are infinitely far apart; JSON has null for what is no number."""
    report = collapse_audit(np.repeat(np.eye(3), 4, axis=0), np.repeat([0, 1, 2], 4))
    assert report.closest_pair == (0, 1)
    assert np.isinf(report.smallest_margin)
    assert json.loads(report.to_json())["smallest_margin"] is None


def test_json_and_table():
    """The report is printed as a table and as JSON, with the same numbers."""
    report = collapse_audit(latents_at([0, 1, 2, 3, 4, 5, 6, 6, 6]), CLASSES)
    content = json.loads(report.to_json())
    assert content["collapsed_pairs"] == [[6, 7], [6, 8], [7, 8]]
    assert content["classes_kept"] == 7
    assert content["margins"][0][0] is None
    assert content["margins"][0][1] == pytest.approx(report.margins[0, 1])
    console = Console(record=True, width=100)
    console.print(report.table())
    printed = console.export_text()
    assert "7 of 9 classes kept" in printed
    assert "6 and 7, 6 and 8, 7 and 8" in printed


def test_picture(tmp_path):
    """The picture is written, also where the latents have one dimension or all lie in one point."""
    from jepa_extractor.audit.picture import plot_audit

    for number, latents in enumerate((latents_at(np.arange(9)), np.ones((len(CLASSES), 1)))):
        path = tmp_path / f"{number}.png"
        plot_audit(collapse_audit(latents, CLASSES), path)
        assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("latents", "classes", "distances", "message"),
    [
        (np.full((4, 2), np.nan), [0, 0, 1, 1], None, r"latents is not finite in 4 rows \(0, 1, 2, 3\)"),
        ([[0.0], [np.inf], [1], [2]], [0, 0, 1, 1], None, r"not finite in 1 rows \(1\)"),
        (np.zeros((4, 2)), [0, 0, 1], None, r"shape \(4, 2\) and classes \(3,\)"),
        (np.zeros(4), [0, 0, 1, 1], None, r"latents has shape \(4,\)"),
        (np.zeros((4, 0)), [0, 0, 1, 1], None, r"latents has shape \(4, 0\)"),
        (np.zeros((4, 2)), [0, 0, 1, np.nan], None, "classes is NaN in 1 rows"),
        (np.zeros((4, 2)), [3, 3, 3, 3], None, "classes holds 1 class"),
        (np.zeros((3, 2)), [0, 0, 7], None, "classes holds 7 only once"),
        (np.zeros((4, 2)), [0, 0, 1, 1], np.zeros((3, 3)), r"distances has shape \(3, 3\)"),
    ],
)
def test_bad_input(latents, classes, distances, message):
    """Every error names the argument; latents that are not finite are named by their rows."""
    with pytest.raises(ValueError, match=message):
        collapse_audit(latents, classes, distances)


def test_importing_the_audit_loads_nothing_heavy():
    """A new process holds none of the packages of the audit until a name of it is used.

    A bare package stands for ``jepa_extractor``, so that its own imports do not count.
    """
    heavy = ("sklearn", "scipy", "rich", "matplotlib", "numba", "torch")
    code = f"""
import sys, types
sys.modules["jepa_extractor"] = package = types.ModuleType("jepa_extractor")
package.__path__ = {list(jepa_extractor.__path__)}
import jepa_extractor.audit
print(*(name for name in {heavy} if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
