"""What the page of an audit holds."""

import html
import re
from base64 import b64decode

import numpy as np
import pytest

from counting_env import count_mdp
from jepa_extractor.audit import AuditSet
from jepa_extractor.audit.moments import Moment, Plane, pca_plane
from jepa_extractor.audit.page import write_page
from jepa_extractor.audit.page.curves import curves_of
from jepa_extractor.audit.page.slider import shown_moments
from jepa_extractor.audit.report import audit_latents
from jepa_extractor.data.episodes import Episode
from tests.audit.page.known_audits import HISTORY, faithful_latents, merged_latents
from tests.audit.page.reading import addresses, content, without_scripts, written


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


def test_the_verdict_and_the_numbers_of_each_model(page, merged, untrained):
    """The verdicts stand first; the numbers are those of the reports."""
    for report in (merged, untrained):
        assert html.escape(report.verdict.sentence) in page
        assert f"{report.collapse_index:.3f}" in page
        assert f"{report.observations_hit:.1%}" in page
    assert "33 of 36" in page
    table = re.search(r"The numbers that matter.*?</table>", page, re.DOTALL)[0]
    assert table.count('<th scope="row">') == len({fact.name for one in (merged, untrained) for fact in one.facts()})


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
    marked = re.findall(
        r'aria-label="(\d) and (\d): error [\d.]+%, margin [\d.]+, collapsed"[^>]*class="collapsed">\u00d7<', first
    )
    assert {frozenset(map(int, pair)) for pair in marked} == {
        frozenset(pair) for pair in np.argwhere(~merged.classes.kept & merged.classes.required).tolist()
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
        Moment(step, {"index": index, "index_low": index - 1, "index_high": index + 1, "same": 3.0})
        for step, index in [(0, float("nan")), (10, 0.5), (20, 0.25)]
    ]
    (curve,) = curves_of({"one": history, "two": history[:1]})
    assert (curve.measure, curve.models) == ("index", ["one"])
    assert [axis.axis_label for axis in (*curve.plot.xaxis, *curve.plot.yaxis)] == ["environment steps", "index"]
    assert curve.table == [(10, ["0.500"]), (20, ["0.250"])]


def test_moments_are_thinned_and_turned():
    """At most so many, the first and the last among them, near their places, and mirrored where the end is."""
    rng = np.random.default_rng(0)
    end = rng.normal(size=(50, 2))
    flipped = end * [-1, 1]
    numbers = {"collapse_index": 0.25, "required_pairs_kept": 3.0, "effective_rank": float("nan")}
    history = [Moment(1_000 * i, numbers, Plane(flipped, (0.7, 0.2))) for i in range(11)]
    rows = np.arange(0, 50, 2)
    shown = shown_moments(
        [*history, Moment(12_000, numbers), Moment(13_000, numbers, Plane(end[1:], (1, 0)))], end, rows, 3
    )
    assert [moment.steps for moment in shown] == ["0", "5,000", "10,000"]
    assert shown[0].values == {"collapse index": "0.250", "pairs of classes kept": "3"}
    data = shown[0].data
    assert data["text"] == "After 0 steps: collapse index 0.250, pairs of classes kept 3."
    assert data["axes"] == ("first component, 70% of variance", "second component, 20% of variance")
    whole = np.frombuffer(b64decode(data["places"]), np.uint16).reshape(2, -1).T
    assert np.array(data["low"]) + np.array(data["span"]) * whole / 65_535 == pytest.approx(end[rows], abs=1e-4)
    assert shown_moments([], end, rows, 3) == []


def test_a_slider_has_a_table(page, merged, tmp_path):
    """The moments of a report's own training are there in words; other histories have curves alone."""
    assert 'type="range"' not in page
    moments = [moment._replace(plane=pca_plane(merged.latents)) for moment in HISTORY]
    own = written(tmp_path, [merged], histories={"merged": moments})
    assert re.search(r'<input type="range" id="moment-0" min="0" max="3" value="3">', own)
    table = re.search(r"The moments as a table.*?</table>", own, re.DOTALL)[0]
    assert re.findall(r'<th scope="row">([^<]+)</th><td>([^<]+)</td>', table) == [
        ("0", "0.900"),
        ("1,000", "0.400"),
        ("2,000", "0.100"),
    ]
    assert 'type="range"' not in written(tmp_path, [merged], histories={"another": moments})


def test_one_model_has_cards(merged, tmp_path):
    """A page of one model needs no table of models."""
    page = written(tmp_path, [merged])
    assert page.count("<dt>") == len(merged.facts()) + len(("Models", "Date", "Versions"))
    assert "The numbers that matter" not in page


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
    assert 'class="verdict kept"' in page


def test_a_constant_encoder_has_a_page(with_classes, tmp_path):
    """All latents equal: one point, every pair collapsed."""
    report = audit_latents(np.ones((len(with_classes), 3), np.float32), with_classes, "constant")
    page = written(tmp_path, [report])
    assert page.count('class="collapsed"') == 9 * 8
    assert report.verdict.sentence in page


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
    """More than 5,000 images, of noise, which cannot be compressed, and 100 moments of a training: 15 MB at most."""
    rng = np.random.default_rng(0)
    episodes = []
    for _ in range(520):
        seen = rng.integers(256, size=(11, 3, 64, 64), dtype=np.uint8)
        episodes.append(Episode(seen, rng.integers(2, size=10), rng.integers(2, size=10).astype(np.float32), True))
    data = AuditSet.from_episodes(episodes, 2)
    report = audit_latents(rng.normal(size=(len(data), 4)).astype(np.float32), data, "noise")
    path = tmp_path / "report.html"
    history = [Moment(i, {}, Plane(rng.normal(size=(len(data), 2)), (1.0, 0.0))) for i in range(100)]
    write_page([report], path, histories={"noise": history})
    assert path.stat().st_size <= 15_000_000
    page = path.read_text()
    assert len(content(page)["models"][0]["moments"]) == 60
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
    dearer = [episode._replace(rewards=2 * episode.rewards) for episode in episodes]
    other = AuditSet.from_classes(dearer, "count", count_mdp(), ("remove", "add"), "CountingEnv-v0")
    rewarded = audit_latents(merged_latents(other), other, "rewarded")
    for reports, options, message in [
        ([], {}, r"reports=\[\] is no list of reports, or empty: give at least one"),
        (merged, {}, r"reports is one report, 'merged': give a list of it, \[report\]"),
        ([merged.classes], {}, r"reports holds a ClassPairs: .*AuditSet.from_classes"),
        ([merged, merged], {}, r"give each a name of its own"),
        ([merged, smaller], {}, "'merged' and 'smaller' are of different audit sets: use one for both"),
        ([merged, unlabelled], {}, "different audit sets"),
        ([merged, rewarded], {}, "different audit sets"),
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
    assert html.escape(str(merged)) in shown
    assert shown.count('class="pair"') == 3
    for pair in merged.worst_pairs[:3]:
        for row, side in ((pair.left, "Left"), (pair.right, "Right")):
            count = merged.audit_set.labels["count"][row]
            assert f"<figcaption><b>{side}:</b> count {count:g}" in shown
    assert "<script" not in shown
    assert len(shown) < 50_000
