"""What the study measures, held against cases worked by hand."""

import dataclasses

import numpy as np
import pytest
from paper import measures
from paper.decoder import read_images
from paper.scenes import EACH, STEPS, random_walks
from paper.summary import MEASURES, markdown, summarise

COUNTS = np.repeat(np.arange(9), 60)


def clusters(spread, seed=0):
    rng = np.random.default_rng(seed)
    means = np.stack([np.arange(9), np.arange(9) ** 2 / 8], axis=1)
    return means[COUNTS] + rng.normal(scale=spread, size=(len(COUNTS), 2))


def test_scenes_show_what_they_say(scenes):
    """Held-out images: as many of each count; every object is where, and of the colour, that is said."""
    assert np.array_equal(np.bincount(scenes.counts), np.full(9, EACH))
    for image, count, places, color in zip(
        scenes.images[:50], scenes.counts, scenes.positions, scenes.colors, strict=False
    ):
        assert (places >= 0).all(axis=1).sum() == count
        painted = image[:, image.any(axis=0)].T
        assert all(np.array_equal(pixel, color) for pixel in painted)


def test_the_reader_reads_real_images_without_error(scenes):
    """The right number, place and colour are read from every real image."""
    read = read_images(scenes.images, scenes)
    assert (read["count"], read["place"], read["color"]) == (1.0, 1.0, 1.0)
    assert read["distance"] < 4.5, "an object's first pixel is a corner at most"


def test_the_reader_sees_what_is_wrong(scenes):
    """Empty images, moved ones, others' colours and wrong numbers are each found out."""
    empty = read_images(np.zeros_like(scenes.images), scenes)
    assert empty["count"] == pytest.approx(1 / 9)
    assert empty["place"] == empty["color"] == 0.0
    assert 25 < empty["distance"] < 55, "the upper left corner is far from a random place"
    moved = read_images(np.roll(scenes.images, 7, axis=-1), scenes)
    assert moved["place"] < 0.4
    swapped = dataclasses.replace(scenes, colors=255 - scenes.colors)
    assert read_images(scenes.images, swapped)["color"] < 0.5
    one_more = dataclasses.replace(scenes, counts=np.minimum(scenes.counts + 1, 8))
    assert read_images(scenes.images, one_more)["count"] == pytest.approx(1 / 9)


def test_walks_follow_the_counts():
    """k-step rollouts are held against the counts that the environment itself reports."""
    images, actions, counts = random_walks(max_count=8, seed=0)
    assert images.shape[0] == len(actions) == len(counts)
    assert actions.shape[1] == STEPS == 8
    step = np.where(actions == 1, 1, -1)
    assert np.array_equal(np.clip(counts[:, :-1] + step[:, 1:], 0, 8), counts[:, 1:])


def test_spread_ratio_by_hand():
    """Spread within a count over distance between neighbouring counts: two points at +-1 of means 5 apart."""
    latents = np.array([[-1.0], [1], [4], [6], [9], [11]])
    assert measures.spread_ratio(latents, np.array([0, 0, 1, 1, 2, 2])) == pytest.approx(1 / 5)


def test_clusters_found():
    """The number of clusters is found without being told: nine that are apart, one where all is one cloud."""
    assert measures.clusters_found(clusters(0.05), COUNTS) == 9
    assert measures.clusters_found(np.random.default_rng(0).normal(size=(540, 2)), COUNTS) == 1


def test_probe_against_chance():
    """A linear probe finds what is linear, and nothing in noise; chance is the commonest label's share."""
    rng = np.random.default_rng(0)
    latents, labels = clusters(0.05), (COUNTS >= 3).astype(int)
    assert measures.probe(latents, labels, latents, labels) == (1.0, pytest.approx(6 / 9))
    noise, guesses = rng.normal(size=(2_000, 3)), rng.integers(4, size=2_000)
    accuracy, chance = measures.probe(noise[:1000], guesses[:1000], noise[1000:], guesses[1000:])
    assert accuracy == pytest.approx(chance, abs=0.06)


def test_quadrant_by_hand(scenes):
    """The quadrant of the mean centre: above and left is 0, below and right 3, nothing is -1."""
    places = np.full((3, 8, 2), -1)
    places[0, 0] = (5, 60)
    places[1, :2] = [(50, 50), (40, 40)]
    few = dataclasses.replace(scenes, images=scenes.images[:3], positions=places)
    assert list(measures.quadrant(few)) == [1, 3, -1]


def test_summary_by_hand():
    """Mean over seeds with a 95% bootstrap interval; seeds that agree leave no interval."""
    results = {"joint": {seed: dict.fromkeys(MEASURES, 0.5) | {"silhouette": seed} for seed in range(3)}}
    summary = summarise(results)
    assert summary["joint"]["dynamics_loss"] == (0.5, 0.5, 0.5)
    mean, low, high = summary["joint"]["silhouette"]
    assert mean == 1.0
    # resampling three seeds: a mean of 0 or 2 has probability 1/27 each, more than 2.5%
    assert (low, high) == (0.0, 2.0)
    table = markdown(summary)
    assert "| P-JEPA, reward |" in table
    assert "| silhouette of the counts | 1.00 [0.00, 2.00] |" in table
