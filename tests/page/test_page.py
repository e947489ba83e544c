"""What the page of an audit holds."""

import copy
import dataclasses
import html
import json
import re
import sys
import types
from typing import Any

import numpy as np
import pytest
import torch

from jepa_extractor.audit import AuditSet
from jepa_extractor.audit.page import notebook_html, write_page
from jepa_extractor.audit.page.curves import curves_of
from jepa_extractor.audit.page.facts import class_members, returns, shown_rows
from jepa_extractor.audit.page.maps import clusters, colourings, neighbours, planes
from jepa_extractor.audit.page.matrix import matrix_of
from jepa_extractor.audit.page.rollouts import rollouts_of
from jepa_extractor.audit.report import audit_latents
from jepa_extractor.data.episodes import Episode
from tests.page.known_audits import HISTORY, faithful_latents, merged_latents


def written(tmp_path, reports, **options):
    """Return the text of the page of ``reports``."""
    path = tmp_path / "out" / "report.html"
    write_page(reports, path, **options)
    return path.read_text(encoding="utf-8")


def without_scripts(page):
    return re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)


def content(page):
    return json.loads(re.search(r'<script type="application/json" id="content">(.*?)</script>', page, re.DOTALL)[1])


def addresses(page):
    """Every address that a browser would fetch from the markup."""
    return re.findall(
        r"""(?:src|href|srcset|data|action)=["']?([^"'\s>]+)|url\(([^)]*)\)|@import""", without_scripts(page)
    )


@pytest.fixture(scope="module")
def page(merged, untrained, extractor, tmp_path_factory):
    """The page of two models, with all that it can hold."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_page([merged, untrained], path, {"untrained": extractor}, {"merged": HISTORY, "untrained": HISTORY[:2]})
    return path.read_text(encoding="utf-8")


def test_nothing_is_fetched(page):
    """No address in the page leads out of it, and its policy forbids what might."""
    found = [one or other for one, other in addresses(page)]
    assert found
    assert all(address.startswith(("data:", "#")) for address in found)
    assert "default-src 'none'" in page
    assert not re.search(r"<script[^>]+src=", page)


def test_the_verdict_and_six_numbers_of_each_model(page, merged, untrained):
    """The verdicts stand first; the numbers are those of the reports."""
    for report in (merged, untrained):
        assert html.escape(report.verdict) in page
        assert f"{report.collapse_index:.3f}" in page
        assert f"{report.observations_hit:.1%}" in page
    assert "7 of 9" in page
    table = re.search(r"The six numbers that matter.*?</table>", page, re.DOTALL)[0]
    assert table.count('<th scope="row">') == 6


def test_worst_pairs_have_pictures_and_witnesses(page, merged):
    """Each pair has two pictures, and why it must be apart, with the actions."""
    shown = re.findall(r'<div class="pair">.*?</p>\s*</div>', page, re.DOTALL)
    assert len(shown) == 24
    for block, pair in zip(shown[:12], merged.worst_pairs[:12], strict=True):
        assert len(re.findall(r'<img src="data:image/png;base64,[^"]+" alt="(?:Left|Right): count', block)) == 2
        assert html.escape(pair.why) in block
        assert f"Distance {pair.distance:.3f}" in block
    assert any("remove, remove" in pair.why for pair in merged.worst_pairs)


def test_the_matrix_marks_collapsed_pairs(page, merged):
    """6, 7 and 8 are marked, by more than a colour, and every cell says in words what it is."""
    first = re.search(r'<table class="matrix".*?</table>', page, re.DOTALL)[0]
    marked = re.findall(r'aria-label="(\d) and (\d): margin [\d.]+, collapsed"[^>]*class="collapsed">\u00d7<', first)
    assert {frozenset(map(int, pair)) for pair in marked} == {
        frozenset(pair) for pair in merged.classes.collapsed_pairs
    }
    assert len(re.findall("<button", first)) == 9 * 8


def test_every_image_is_described(page):
    """No picture without words, no table without headings, a language and one title."""
    markup = without_scripts(page)
    assert len(re.findall(r"<img ", markup)) == len(re.findall(r'<img src="[^"]+" alt="[^"]+"', markup)) > 0
    assert '<html lang="en">' in markup
    assert markup.count("<h1>") == 1
    for table in re.findall(r"<table.*?</table>", markup, re.DOTALL):
        assert '<th scope="col">' in table
        assert '<th scope="row">' in table
    for name in re.findall(r'aria-labelledby="([^"]+)"', markup):
        assert f'id="{name}"' in markup


def test_rollouts_and_curves_are_there_where_they_are_known(page, merged, tmp_path):
    """A model with a latent transition has rollouts; a history has curves, with tables."""
    assert page.count('class="film"') == 3
    assert re.search(r'<th scope="row">1,000</th><td>0.400</td><td>0.400</td>', page)
    assert re.search(r'<th scope="row">2,000</th><td>0.100</td><td></td>', page)
    bare = written(tmp_path, [merged])
    assert 'id="rollouts"' not in bare
    assert 'id="training"' not in bare


def test_curves_show_what_changes():
    """Measures that stay the same, ends of intervals, and values that are not finite are left out."""
    history = [
        (step, {"index": index, "index_low": index - 1, "index_high": index + 1, "same": 3.0})
        for step, index in [(0, float("nan")), (10, 0.5), (20, 0.25)]
    ]
    (curve,) = curves_of({"one": history, "two": history[:1]})
    assert (curve.measure, curve.models) == ("index", ["one"])
    assert curve.table == [(10, ["0.500"]), (20, ["0.250"])]


def test_one_model_has_cards(merged, tmp_path):
    """A page of one model needs no table of models."""
    page = written(tmp_path, [merged])
    assert page.count("<dt>") == 6
    assert "The six numbers that matter" not in page


def test_without_classes_there_is_no_matrix(without_labels, tmp_path):
    """An audit of episodes alone has all the rest; its table groups latents by cluster."""
    report = audit_latents(merged_latents(without_labels), without_labels, "merged")
    page = written(tmp_path, [report])
    assert 'class="matrix"' not in page
    assert '<th scope="row">cluster 0</th>' in page
    assert html.escape(without_labels.coverage()) in page
    assert "is rewarded (1), the right one is not (0)" in page


def test_a_faithful_encoder_has_no_worst_pairs(with_classes, tmp_path):
    """Where nothing collapsed, the page says so."""
    report = audit_latents(faithful_latents(with_classes), with_classes, "faithful")
    page = written(tmp_path, [report])
    assert 'class="pair"' not in page
    assert 'class="verdict good"' in page


def test_a_constant_encoder_has_a_page(with_classes, tmp_path):
    """All latents equal: one point, every pair collapsed."""
    report = audit_latents(np.ones((len(with_classes), 3), np.float32), with_classes, "constant")
    page = written(tmp_path, [report])
    assert page.count('class="collapsed"') == 9 * 8
    assert report.verdict in page


def test_one_dimension_has_a_page(with_classes, tmp_path):
    """A latent of one number is drawn on a line."""
    counts = with_classes.labels["count"].astype(np.float32)[:, None]
    page = written(tmp_path, [audit_latents(counts, with_classes, "count")])
    assert "second component, 0% of variance" in page


def test_names_cannot_break_the_page(with_classes, tmp_path):
    """Names and labels are text, whatever they hold."""
    name = "</script><script>alert(1)</script>"
    page = written(tmp_path, [audit_latents(faithful_latents(with_classes), with_classes, name)])
    assert name not in page
    assert content(page)["models"][0]["name"] == name


def vectors(count, shape=(3,), dtype=np.float32):
    """Return an audit set of vectors whose sign is rewarded."""
    rng = np.random.default_rng(0)
    episodes = []
    for _ in range(count):
        seen = rng.normal(size=(5, *shape)).astype(dtype)
        rewards = (seen.reshape(5, -1)[1:, 0] > 0).astype(np.float32)
        episodes.append(Episode(seen, rng.integers(2, size=4), rewards, True))
    return AuditSet.from_episodes(episodes, 2)


def test_vectors_are_shown_as_numbers(tmp_path):
    """What cannot be drawn is shown in numbers, in pairs and in the map."""
    data = vectors(40)
    page = written(tmp_path, [audit_latents(data.observations[:, 1:], data, "blind")])
    assert "<img" not in without_scripts(page)
    assert '<div class="numbers">' in page
    held = content(page)
    assert held["images"] is None
    first = ", ".join(f"{number:.4g}" for number in data.observations[0].tolist())
    assert held["numbers"][0] == first


@pytest.mark.slow
def test_large_sets_are_drawn_in_part_and_stay_small(tmp_path):
    """More than 5,000 images, of noise, which cannot be compressed: 15 MB at most, and the page says what it shows."""
    rng = np.random.default_rng(0)
    episodes = []
    for _ in range(520):
        seen = rng.integers(256, size=(11, 3, 64, 64), dtype=np.uint8)
        episodes.append(Episode(seen, rng.integers(2, size=10), rng.integers(2, size=10).astype(np.float32), True))
    data = AuditSet.from_episodes(episodes, 2)
    report = audit_latents(rng.normal(size=(len(data), 4)).astype(np.float32), data, "noise")
    path = tmp_path / "report.html"
    write_page([report], path)
    assert path.stat().st_size <= 15_000_000
    page = path.read_text()
    assert len(content(page)["images"]) == 5_000
    assert f"Shown are 5,000 of {len(data):,}" in re.sub(r"\s+", " ", page)


def test_the_same_reports_make_the_same_page(merged, tmp_path):
    """Nothing in the page is left to chance but Bokeh's own identifiers."""

    def plain(page):
        return re.sub(r"p\d{4,}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "", page)

    assert plain(written(tmp_path, [merged])) == plain(written(tmp_path, [merged]))


def test_wrong_arguments_are_named(merged, untrained, extractor, without_labels, episodes, tmp_path):
    """Each error names the argument and the mend, and nothing is written."""
    path = tmp_path / "report.html"
    other = AuditSet.from_episodes(episodes[:50], 2)
    smaller = audit_latents(merged_latents(other), other, "smaller")
    unlabelled = audit_latents(merged_latents(without_labels), without_labels, "unlabelled")
    for reports, options, message in [
        ([], {}, "reports is empty: give at least one"),
        (merged, {}, r"reports is one report, 'merged': give a list of it, \[report\]"),
        ([merged.classes], {}, r"reports holds a CollapseReport: .*AuditSet.from_classes"),
        ([merged, merged], {}, r"give each a name of its own"),
        ([merged, smaller], {}, "'merged' and 'smaller' are of different audit sets: use one for both"),
        ([merged, unlabelled], {}, "different audit sets"),
        ([merged], {"encoders": {"untrained": extractor}}, r"encoders has the names \['untrained'\]"),
        ([merged], {"encoders": {"merged": extractor}}, "give the encoder that was audited"),
    ]:
        with pytest.raises(ValueError, match=message):
            write_page(reports, path, **options)
    assert not path.exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        write_page([merged], tmp_path / "file" / "report.html")


def test_notebooks_show_a_small_summary(merged):
    """The verdict, the numbers and three pairs, without scripts, from the report itself."""
    shown = merged._repr_html_()
    assert shown == notebook_html(merged)
    assert merged.verdict in shown
    assert shown.count('class="pair"') == 3
    assert "<script" not in shown
    assert len(shown) < 50_000


def test_umap_is_a_second_map_where_it_is_installed(merged, monkeypatch, tmp_path):
    """The page asks umap for places, with a seed, and offers both maps."""

    class UMAP:
        def __init__(self, random_state):
            self.seed = random_state

        def fit_transform(self, latents):
            return latents[:, :2] + self.seed

    module: Any = types.ModuleType("umap")
    module.UMAP = UMAP
    module.__spec__ = types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "umap", module)
    page = written(tmp_path, [merged])
    assert "<option>UMAP</option>" in page
    assert set(content(page)["models"][0]["maps"]) == {"PCA", "UMAP"}


def test_the_plane_is_that_of_the_largest_variance():
    """The map of latents that lie in a plane keeps all distances."""
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(50, 2)) * [3, 1]
    turn = np.linalg.qr(rng.normal(size=(5, 5)))[0][:2]
    places, axes = planes(flat @ turn)["PCA"]
    between = np.linalg.norm(flat[:, None] - flat, axis=-1)
    np.testing.assert_allclose(np.linalg.norm(places[:, None] - places, axis=-1), between, atol=1e-9)
    assert axes[0].startswith("first component, ")
    assert np.ptp(places[:, 0]) > np.ptp(places[:, 1])


def test_neighbours_are_the_nearest_others():
    """By brute force; with ties, a latent is never its own neighbour."""
    latents = np.random.default_rng(0).normal(size=(40, 3))
    between = np.linalg.norm(latents[:, None] - latents, axis=-1)
    np.fill_diagonal(between, np.inf)
    np.testing.assert_array_equal(neighbours(latents, 5), np.argsort(between, axis=1)[:, :5])
    assert (neighbours(np.ones((9, 2)), 5) != np.arange(9)[:, None]).all()


def test_returns_are_summed_to_the_end_of_the_episode(merged):
    """The return of an observation holds its own reward and all that follow."""
    data, found = merged.audit_set, returns(merged)
    for episode in np.unique(data.episodes)[:50]:
        rows = np.flatnonzero(data.episodes == episode)
        rewards = np.nan_to_num(data.rewards[rows])
        np.testing.assert_allclose(found[rows], [rewards[i:].sum() for i in range(len(rows))])


def test_colours_tell_the_classes(merged):
    """Observations of one class have one colour, those of two classes two; unknown is none of them."""
    rows = shown_rows(len(merged.latents))
    ways = {way.name: way for way in colourings([merged], [clusters(merged.latents)], rows)}
    assert next(iter(ways)) == "class"
    assert {"count", "return", "time (step of the episode)", "cluster (k-means)"} < set(ways)
    colours = np.array(ways["class"].colours[0])
    members = class_members(merged)[rows]
    assert len(set(zip(colours, members, strict=True))) == len(set(colours)) == 9
    hit = np.array(ways["neighbours that must be apart"].colours[0])
    assert len(set(hit[merged.hits[rows] == 0])) == 1
    assert ways["neighbours that must be apart"].is_scale
    alone = dataclasses.replace(merged, hits=np.full(len(members), np.nan))
    grey = next(
        way
        for way in colourings([alone], [clusters(alone.latents)], rows)
        if way.name == "neighbours that must be apart"
    )
    assert set(grey.colours[0]) == {grey.legend[2][0]}


def test_only_the_closest_classes_of_many_are_in_the_matrix():
    """Of more than 30 classes those with the smallest margins are shown."""
    margins = np.full((40, 40), 9.0)
    margins[3, 37] = margins[37, 3] = 0.1
    classes = np.arange(40)
    report = types.SimpleNamespace(margins=margins, classes=classes, collapsed_pairs=[(3, 37)])
    matrix = matrix_of(report)
    assert len(matrix.names) == 30
    assert matrix.left_out == 10
    cell = matrix.rows[matrix.names.index("3")][matrix.names.index("37")]
    assert (cell.left, cell.right, cell.collapsed, cell.ink) == (3, 37, True, "#fff")
    assert cell.text == "3 and 37: margin 0.1, collapsed"


def test_rollouts_follow_the_transition(untrained, extractor):
    """The frames are those of one episode, and the errors those of the unrolled latents, computed by hand."""
    data = untrained.audit_set
    rollouts = rollouts_of(untrained, extractor)
    assert len(rollouts) == 3
    for rollout in rollouts:
        frames = np.array(rollout.frames)
        assert len(set(data.episodes[frames])) == 1
        assert data.steps[frames].tolist() == list(range(len(frames)))
        assert set(data.episodes[rollout.imagined]).isdisjoint(data.episodes[frames])
        latent = torch.from_numpy(untrained.latents[frames[:1]])
        scale = np.sqrt(2 * untrained.latents.astype(np.float64).var(axis=0).sum())
        for row, frame, error, name in zip(frames, frames[1:], rollout.errors, rollout.actions, strict=False):
            with torch.no_grad():
                latent = extractor.jepa.next(latent, torch.eye(2)[data.actions[row]][None])
            assert name == ("remove", "add")[data.actions[row]]
            assert error == pytest.approx(
                np.linalg.norm(latent[0].numpy() - untrained.latents[frame]) / scale, rel=1e-4
            )


class Standstill(torch.nn.Module):
    """A transition that predicts that nothing changes."""

    def forward(self, latents, actions):
        return latents


def test_what_is_imagined_is_of_another_episode(untrained, extractor):
    """The nearest latent is looked for in other episodes, where nobody would find the first frame again."""
    still = copy.deepcopy(extractor)
    still.jepa.transition = Standstill()
    data, latents = untrained.audit_set, untrained.latents
    for rollout in rollouts_of(untrained, still):
        distances = np.linalg.norm(latents - latents[rollout.frames[0]], axis=1)
        distances[data.episodes == data.episodes[rollout.frames[0]]] = np.inf
        assert set(rollout.imagined) == {distances.argmin()}


def test_other_encoders_have_no_rollouts(merged):
    """A function has no latent transition."""
    assert rollouts_of(merged, lambda observations: observations) == []
