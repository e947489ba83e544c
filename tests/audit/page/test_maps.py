"""What a page shows in its maps, colours and matrix."""

import dataclasses
import sys
import types
from typing import Any

import numpy as np

from jepa_extractor.audit.measures import compare_classes
from jepa_extractor.audit.page.maps import clusters, colourings, others_near, planes
from jepa_extractor.audit.page.matrix import matrix_of
from jepa_extractor.audit.page.rows import class_members, returns, shown_rows
from tests.audit.page.reading import content, written


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
    """By brute force, without copies of the observation, nor two that are copies of each other."""
    latents = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    contents = np.concatenate([np.arange(40), np.arange(40)])
    twice = types.SimpleNamespace(
        latents=np.concatenate([latents, latents]), audit_set=types.SimpleNamespace(contents=contents)
    )
    between = np.linalg.norm(latents[:, None] - latents, axis=-1)
    np.fill_diagonal(between, np.inf)
    near = others_near(twice, np.arange(80))
    np.testing.assert_array_equal(contents[near[:40]], np.argsort(between, axis=1)[:, :5])
    np.testing.assert_array_equal(near[:40], near[40:])


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
    names = dict(ways["class"].legend)
    assert [int(names[colour]) for colour in colours] == merged.audit_set.labels["count"][rows].tolist()
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
    """Of more than 30 classes those with the largest errors are shown."""
    places = np.arange(40.0)
    places[37] = 3
    latents = np.repeat(places, 4)[:, None] + np.tile([0, 0.1, 0.2, 0.3], 40)[:, None]
    matrix = matrix_of(compare_classes(latents, np.repeat(np.arange(40), 4)))
    assert len(matrix.names) == 30
    assert matrix.left_out == 10
    cell = matrix.rows[matrix.names.index("3")][matrix.names.index("37")]
    assert (cell.left, cell.right, cell.collapsed, cell.ink) == (3, 37, True, "#fff")
    assert cell.text == "3 and 37: error 50.0%, margin 0.0, collapsed"


def test_wide_latents_need_no_matrix_of_their_width():
    """Of 60 latents of 20,000 numbers in a plane, the map keeps all distances; clusters are found as well."""
    rng = np.random.default_rng(0)
    flat = np.concatenate([rng.normal(size=(30, 2)), rng.normal(size=(30, 2)) + 40])
    turn = np.linalg.qr(rng.normal(size=(20_000, 2)))[0].T
    wide = np.float32(flat @ turn)
    places, _ = planes(wide)["PCA"]
    between = np.linalg.norm(flat[:, None] - flat, axis=-1)
    np.testing.assert_allclose(np.linalg.norm(places[:, None] - places, axis=-1), between, atol=1e-2)
    found = clusters(wide)
    assert set(found[:30]).isdisjoint(found[30:])
