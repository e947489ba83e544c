"""The audit of pairs of classes: every error equals one counted by hand, and what is merged is found."""

import itertools
import json

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import spearmanr

from jepa_extractor.audit import compare_classes, measures

CLASSES = np.repeat(np.arange(9), 60)


def latents_at(places, spread=0.01, dim=5):
    """Latents around one point of a curve for each class."""
    means = np.zeros((len(places), dim))
    means[:, 0], means[:, 1] = places, np.square(places) / 10
    return means[CLASSES] + np.random.default_rng(0).normal(scale=spread, size=(len(CLASSES), dim))


def halves(latents, classes, name):
    """The two halves of a class: every second latent, in the order given."""
    own = latents[classes == name]
    return [own[0::2], own[1::2]]


def mistake(to_own, to_other):
    """A whole one if the other is nearer, half a one in a tie."""
    return 1.0 if to_other < to_own else 0.5 if to_other == to_own else 0.0


def errors_by_hand(latents, classes):
    """Both errors of every pair, by loops over members, and over all thresholds."""
    latents = np.asarray(latents, float)
    names = np.unique(classes)
    least = 0.01 * np.sqrt((latents**2).sum(1).mean())
    neighbour, threshold = np.full((2, len(names), len(names)), 0.5)
    for (i, one), (j, other) in itertools.permutations(enumerate(names), 2):
        by_neighbour = by_threshold = 0.0
        for name, opposite in ((one, other), (other, one)):
            own, else_ = halves(latents, classes, name), halves(latents, classes, opposite)
            wrong: dict[str, list] = {"neighbour": [], "threshold": []}
            for fit in (0, 1):
                line = else_[fit].mean(0) - own[fit].mean(0)
                candidates = np.unique(np.concatenate([own[fit] @ line, else_[fit] @ line]))
                cuts = (candidates[1:] + candidates[:-1]) / 2
                losses = [np.mean(own[fit] @ line > cut) + np.mean(else_[fit] @ line < cut) for cut in cuts]
                for point in own[1 - fit]:
                    near = [max(least, np.linalg.norm(half - point, axis=1).min()) for half in (own[fit], else_[fit])]
                    wrong["neighbour"].append(mistake(*near))
                    if np.linalg.norm(line) <= least:
                        wrong["threshold"].append(0.5)
                    else:
                        best = [k for k in range(len(cuts)) if losses[k] <= min(losses) + 1e-9]
                        cut = cuts[max(best, key=lambda k: candidates[k + 1] - candidates[k])]
                        wrong["threshold"].append(mistake(point @ line, cut))
            by_neighbour += np.mean(wrong["neighbour"]) / 2
            by_threshold += np.mean(wrong["threshold"]) / 2  # a place above the cut is nearer to the other class
        neighbour[i, j], threshold[i, j] = by_neighbour, by_threshold
    return neighbour, threshold


@pytest.mark.parametrize("seed", range(5))
def test_errors_by_hand(seed, monkeypatch):
    """Both errors of overlapping classes of unequal sizes equal those counted member by member, whatever the chunks."""
    rng = np.random.default_rng(seed)
    classes = rng.permutation(np.repeat([0, 1, 2, 3], [2, 7, 12, 21]))
    latents = rng.normal(size=(4, 3))[classes] + rng.normal(size=(len(classes), 3))
    neighbour, threshold = errors_by_hand(latents, classes)
    for distances in (30, 2**22):
        monkeypatch.setattr(measures, "DISTANCES", distances)
        report = compare_classes(latents, classes)
        np.testing.assert_allclose(report.nearest_neighbour, neighbour, atol=1e-12)
        np.testing.assert_allclose(report.threshold, threshold, atol=1e-12)
        np.testing.assert_array_equal(report.errors, np.minimum(report.nearest_neighbour, report.threshold))
    assert report.counts.tolist() == [2, 7, 12, 21]


@pytest.mark.parametrize("sign", [1, -1])
def test_by_hand_in_one_dimension(sign):
    """Two classes on a line, of which one member lies among the others; the same in the mirror."""
    latents = sign * np.array([[0.0], [1], [2], [9], [10], [11], [12], [13]])
    report = compare_classes(latents, sign * np.array([0, 0, 0, 0, 1, 1, 1, 1]))
    # from 0, 2, 10, 12 the nearest to 9 is 10: a mistake; from 1, 9, 11, 13 the nearest to 10 are 9 and 11: half a one
    assert report.nearest_neighbour[0, 1] == (1 / 4 + 0.5 / 4) / 2
    # the first cut is 6, in the gap from 2 to 10: 9 is above; the second is 10, between 9 and 11: 10 lies on it
    assert report.threshold[0, 1] == (1 / 4 + 0.5 / 4) / 2
    assert report.numbers()["resolution"] == 1 / 8


def test_of_the_best_thresholds_the_one_in_the_widest_gap():
    """Of 0 and 10 against 4 and 20, thresholds from 0 to 4 and from 10 to 20 make one mistake: 15 is taken."""
    report = compare_classes([[0.0], [6], [10], [7], [4], [14], [20], [30]], [0, 0, 0, 0, 1, 1, 1, 1])
    # 6 and 7 are below 15, and of 14 and 30 one is not above; of the others, 4 is not above 10.5, between 7 and 14
    assert report.threshold[0, 1] == (0 + 2 / 4) / 2


def test_all_kept():
    """Classes far apart: every pair is kept without a mistake."""
    report = compare_classes(latents_at(np.arange(9)), CLASSES)
    assert not report.errors[~np.eye(9, dtype=bool)].any()
    assert (report.errors.diagonal() == 0.5).all()
    assert report.numbers() == {
        "required_pairs": 36,
        "required_pairs_kept": 36,
        "worst_required_error": 0.0,
        "other_pairs": 0,
        "other_pairs_merged": 0,
        "groups": 9,
        "resolution": 1 / 120,
    }
    assert report.merged_pairs() == []


def test_what_was_merged_is_found():
    """Of an encoder that merges 6, 7 and 8, exactly these pairs are not kept; they come first among the worst."""
    report = compare_classes(latents_at([0, 1, 2, 3, 4, 5, 6, 6, 6], spread=0.05), CLASSES)
    assert np.argwhere(np.triu(~report.kept, 1)).tolist() == [[6, 7], [6, 8], [7, 8]]
    assert {(i, j) for i, j, _ in report.worst_pairs(3)} == {(6, 7), (6, 8), (7, 8)}
    assert all(0.3 < error <= 0.7 for *_, error in report.worst_pairs(3))
    assert report.numbers()["required_pairs_kept"] == 33
    assert report.numbers()["groups"] == 7


@pytest.mark.parametrize("noise", [0.0, 1e-9, 1e-4])
def test_constant_latents(noise):
    """Latents that are one point, up to rounding or a last trace, tell nothing apart: every error is a half."""
    report = compare_classes(np.ones((len(CLASSES), 5)) + noise * latents_at(np.arange(9)), CLASSES)
    assert (report.errors == 0.5).all()
    assert report.numbers()["groups"] == 1
    assert (compare_classes(np.zeros((4, 2)), [0, 0, 1, 1]).errors == 0.5).all()


def test_pairs_that_may_merge():
    """States of one class may merge: those that do are listed, and only the others count as required."""
    states = np.repeat(np.arange(4), 10)
    latents = np.repeat(np.eye(3)[[0, 0, 1, 2]], 10, axis=0)
    report = compare_classes(latents, states, np.not_equal.outer([0, 0, 1, 1], [0, 0, 1, 1]))
    assert report.merged_pairs() == [(0, 1, 0.5)]
    numbers = report.numbers()
    assert (numbers["required_pairs"], numbers["required_pairs_kept"], numbers["worst_required_error"]) == (4, 4, 0)
    assert (numbers["other_pairs"], numbers["other_pairs_merged"], numbers["groups"]) == (2, 1, 3)
    nothing = compare_classes(latents, states, np.zeros((4, 4), bool))
    assert nothing.worst_pairs() == []
    assert nothing.numbers()["worst_required_error"] == 0


def test_members_count_not_means():
    """A class that lies around another is kept apart from it, though their means are equal."""
    angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    latents = np.concatenate([ring, 0.01 * ring])
    classes = np.repeat([0, 1], 200)
    report = compare_classes(latents, classes)
    assert report.nearest_neighbour[0, 1] == 0
    assert report.threshold[0, 1] == 0.5
    assert report.kept[0, 1]
    assert report.margins[0, 1] < 0.1


def test_one_way_suffices():
    """Where noise across the line hides the neighbours, the threshold still keeps a pair apart."""
    rng = np.random.default_rng(0)
    classes = np.repeat([0, 1], 200)
    latents = np.concatenate([classes[:, None] * 2.0, rng.normal(size=(400, 60))], axis=1)
    latents[:, 0] += rng.normal(scale=0.01, size=400)
    report = compare_classes(latents, classes)
    assert report.nearest_neighbour[0, 1] > 0.05
    assert report.errors[0, 1] == report.threshold[0, 1]


def test_the_errors_have_no_unit():
    """Scaling and turning the latents changes no error, no margin, and not how distances agree with given ones."""
    latents = latents_at([0, 1, 2, 3, 4, 5, 6, 6, 6], spread=0.3)
    turn, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(5, 5)))
    given = np.abs(np.subtract.outer(np.arange(9), np.arange(9)))
    one, other = (compare_classes(seen, CLASSES, distances=given) for seen in (latents, 1e3 * latents @ turn))
    np.testing.assert_allclose(one.errors, other.errors, atol=1e-12)
    np.testing.assert_allclose(one.margins, other.margins, rtol=1e-9)
    assert one.rank_correlation == pytest.approx(other.rank_correlation)


def test_a_random_split_of_one_class_is_not_kept():
    """Two names for one cloud have an error of about a half: what is held out is not what was fitted."""
    rng = np.random.default_rng(3)
    report = compare_classes(rng.normal(size=(2_000, 16)), np.arange(2_000) // 1_000)
    for errors in (report.nearest_neighbour, report.threshold):
        assert errors[0, 1] == pytest.approx(0.5, abs=0.05)


def test_names_are_kept():
    """Classes may be any labels; pairs name them, in ascending order."""
    names = np.array(["cedar", "ash", "beech"], object)[np.arange(30) % 3]
    latents = np.repeat([[5.0, 5], [0, 0], [5, 5]], 10, axis=0).reshape(3, 10, 2).swapaxes(0, 1).reshape(30, 2)
    report = compare_classes(latents, names)
    assert report.classes.tolist() == ["ash", "beech", "cedar"]
    assert report.worst_pairs(1) == [("beech", "cedar", 0.5)]


def test_json_and_table():
    """The report is printed as a table and as JSON, with the same numbers."""
    report = compare_classes(latents_at([0, 1, 2, 3, 4, 5, 6, 6, 6]), CLASSES)
    content = json.loads(report.to_json())
    assert {name: content[name] for name in report.numbers()} == report.numbers()
    assert content["worst_pairs"] == [list(pair) for pair in report.worst_pairs()]
    np.testing.assert_array_equal(content["threshold"], report.threshold)
    console = Console(record=True, width=160)
    console.print(report.table())
    printed = console.export_text()
    assert "33 of 36 required pairs kept" in printed
    assert "6 and 7 (" in printed
    console.print(compare_classes(latents_at([0] * 9), CLASSES, np.zeros((9, 9), bool)).table())  # 36 may merge, and do
    assert console.export_text().count("(0.") == 10


@pytest.mark.parametrize(
    ("latents", "classes", "required", "message"),
    [
        (np.full((4, 2), np.nan), [0, 0, 1, 1], None, r"latents is not finite in 4 rows \(0, 1, 2, 3\)"),
        (np.zeros((3, 2)), [0, 0, 7], None, "classes holds 7 only once"),
        (np.zeros((4, 2)), [3, 3, 3, 3], None, "classes holds 1 class"),
        (np.zeros((4, 2)), [0, 0, 1], None, r"shape \(4, 2\) and classes \(3,\)"),
        (np.zeros((4, 2)), [0, 0, 1, 1], np.ones((3, 3), bool), r"required has shape \(3, 3\)"),
        (np.zeros((4, 2)), [0, 0, 1, 1], np.eye(2), "dtype float64: give booleans"),
        (np.zeros((4, 2)), [0, 0, 1, 1], np.eye(2, dtype=bool), "asks a class to differ from itself"),
        (np.zeros((4, 2)), [0, 0, 1, 1], np.array([[False, True], [False, False]]), "not symmetric"),
    ],
)
def test_bad_input(latents, classes, required, message):
    """Every error names the argument; latents that are not finite are named by their rows."""
    with pytest.raises(ValueError, match=message):
        compare_classes(latents, classes, required)


def test_margin_by_hand():
    """The margin is the distance of the means over the sum of the spreads along the line between them."""
    report = compare_classes([[-1.0, 7], [1, 7], [9, 7], [13, 7]], [0, 0, 1, 1])
    assert report.margins[0, 1] == report.margins[1, 0] == pytest.approx(11 / (1 + 2))
    assert np.isinf(report.margins.diagonal()).all()


def test_a_margin_counts_no_spread_across_the_line():
    """Bisimilar observations may stay apart: spread across the line between classes makes no margin smaller."""
    latents = latents_at(np.arange(9))
    wide = latents.copy()
    wide[:, 4] = np.tile([-1, 1], len(wide) // 2)
    np.testing.assert_allclose(compare_classes(wide, CLASSES).margins, compare_classes(latents, CLASSES).margins, 0.1)


@pytest.mark.parametrize("spread", [0.0, 1e-15])
def test_a_margin_without_spread_is_infinite(spread):
    """Rounding is no spread; JSON has null for what is no number."""
    latents = np.repeat(np.eye(3), 4, axis=0) + spread * np.random.default_rng(0).normal(size=(12, 3))
    report = compare_classes(latents, np.repeat([0, 1, 2], 4))
    assert np.isinf(report.margins).all()
    assert json.loads(report.to_json())["margins"][0][1] is None
    assert (compare_classes(np.ones((4, 2)), [0, 0, 1, 1]).margins[0, 1]) == 0


def test_rank_correlation():
    """Spearman's correlation of the distances of class means with the distances given, over all pairs."""
    places = np.array([0, 1, 2, 4, 8, 9, 20, 21, 40.0])
    means = np.stack([places, np.square(places) / 10], axis=1)
    between = np.linalg.norm(means[:, None] - means, axis=-1)
    upper = np.triu_indices(9, 1)
    latents = latents_at(places, spread=1e-9)
    assert compare_classes(latents, CLASSES, distances=between**3).rank_correlation == pytest.approx(1.0)
    other = np.random.default_rng(3).random((9, 9))
    report = compare_classes(latents, CLASSES, distances=other)
    assert report.rank_correlation == pytest.approx(spearmanr(between[upper], other[upper]).statistic)
    assert np.isnan(compare_classes(np.ones((len(CLASSES), 3)), CLASSES, distances=other).rank_correlation)
    with pytest.raises(ValueError, match=r"distances has shape \(3, 3\)"):
        compare_classes(latents, CLASSES, distances=np.zeros((3, 3)))


def test_many_classes_need_no_threshold_where_neighbours_keep_them(monkeypatch):
    """Above some number of classes the threshold is tried on the other pairs alone, with the same errors."""
    latents = latents_at([0, 1, 2, 3, 4, 5, 6, 6, 6], spread=0.05)
    full = compare_classes(latents, CLASSES)
    monkeypatch.setattr(measures, "MANY", 8)
    few = compare_classes(latents, CLASSES)
    np.testing.assert_array_equal(np.isnan(few.threshold), full.nearest_neighbour <= 0.01)
    np.testing.assert_array_equal(few.kept, full.kept)
    np.testing.assert_array_equal(few.errors[~few.kept], full.errors[~full.kept])


@pytest.mark.parametrize(
    ("latents", "classes", "message"),
    [
        ([[0.0], [np.inf], [1], [2]], [0, 0, 1, 1], r"not finite in 1 rows \(1\)"),
        (np.zeros(4), [0, 0, 1, 1], r"latents has shape \(4,\)"),
        (np.zeros((4, 0)), [0, 0, 1, 1], r"latents has shape \(4, 0\)"),
        (np.zeros((4, 2)), [0, 0, 1, np.nan], "classes is NaN in 1 rows"),
    ],
)
def test_bad_latents(latents, classes, message):
    """What is no latent or no class is named."""
    with pytest.raises(ValueError, match=message):
        compare_classes(latents, classes)
