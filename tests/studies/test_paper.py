"""What the study measures, held against cases worked by hand."""

import dataclasses

import numpy as np
import pytest
import torch

from studies import paper
from studies.measures import probe, read_walks
from studies.paper import ALSO, MEASURES, CellBrightness, difference, mean, of_measures
from studies.scenes import EACH, STEPS, quadrant, random_walks, read_images


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
    """Every object of every real image is found in its place."""
    read = read_images(scenes.images, scenes)
    assert read["place"] == 1.0
    assert read["distance"] < 4.5, "an object's first pixel is a corner at most"


def test_the_reader_sees_what_is_wrong(scenes):
    """Empty images, moved ones and superfluous objects are each found out."""
    empty = read_images(np.zeros_like(scenes.images), scenes)
    assert empty["place"] == 0.0
    assert 25 < empty["distance"] < 55, "the upper left corner is far from a random place"
    assert read_images(np.roll(scenes.images, 7, axis=-1), scenes)["place"] < 0.4
    one_fewer = dataclasses.replace(scenes, counts=np.maximum(scenes.counts - 1, 0))
    assert read_images(scenes.images, one_fewer)["place"] == pytest.approx(28 / 36)


def test_walks_follow_the_counts():
    """k-step rollouts are held against the counts that the environment itself reports."""
    images, actions, counts = random_walks(max_count=8, seed=0)
    assert images.shape[0] == len(actions) == len(counts)
    assert actions.shape[1] == STEPS == 8
    step = np.where(actions == 1, 1, -1)
    assert np.array_equal(np.clip(counts[:, :-1] + step[:, 1:], 0, 8), counts[:, 1:])


@pytest.mark.slow
def test_r2_by_hand():
    """What latents determine is read off them, noise is not, and half of the variance is half."""
    rng = np.random.default_rng(0)
    latents, held_out = rng.normal(size=(2, 4_000, 2)).astype(np.float32)

    def r2(read):
        return paper.r2(latents, read(latents), held_out, read(held_out), seed=0)

    def noise(inputs):
        return rng.normal(size=(len(inputs), 1)).astype(np.float32)

    assert r2(lambda inputs: inputs[:, :1] ** 2) > 0.98
    assert abs(r2(noise)) < 0.05
    assert r2(lambda inputs: inputs[:, :1] + noise(inputs)) == pytest.approx(0.5, abs=0.05)
    assert r2(lambda inputs: 1e-3 * inputs) > 0.98, "the unit of the values does not matter"


def test_probe():
    """A linear probe finds what is linear, guesses where there is nothing, and leaves out negative labels."""
    rng = np.random.default_rng(0)
    latents = rng.normal(size=(2_000, 3))
    labels = (latents[:, 0] > 0).astype(int)
    assert probe(latents[:1000], labels[:1000], latents[1000:], labels[1000:]) > 0.98
    guesses = rng.integers(4, size=2_000)
    assert probe(latents[:1000], guesses[:1000], latents[1000:], guesses[1000:]) == pytest.approx(0.25, abs=0.06)
    hidden = np.where(latents[:, 1] > 0, labels, -1)
    assert probe(latents[:1000], hidden[:1000], latents[1000:], hidden[1000:]) > 0.98


def test_walks_are_read_off_predictions():
    """Where the transition knows the dynamics, each predicted count is right; where it stands still, few are."""

    class Model:
        def unroll(self, latents, actions):
            return latents[:, None] + (2 * actions[..., None] - 1).cumsum(dim=1)

    model = Model()
    actions = np.array([[1, 1, 0, 1, 0, 0, 0, 1]])
    latents = np.arange(9, dtype=np.float32)[:, None]
    read = read_walks(model, latents[2:3] + 0.3, actions, latents, np.arange(9))
    assert read.tolist() == [[3, 4, 3, 4, 3, 2, 1, 2]]


def test_the_control_holds_the_places(scenes):
    """The latent of the control is the brightness of each cell."""
    control = CellBrightness(None, 64)
    image = torch.zeros(1, 3, 64, 64)
    image[0, 1, 8:16, 16:24] = 0.5
    cells = control(image).reshape(8, 8)
    assert cells[1, 2] == pytest.approx(0.5)
    assert cells.sum() == pytest.approx(0.5)


def test_quadrant_by_hand(scenes):
    """The quadrant of the mean centre: above and left is 0, below and right 3, nothing is -1."""
    places = np.full((3, 8, 2), -1)
    places[0, 0] = (5, 60)
    places[1, :2] = [(50, 50), (40, 40)]
    few = dataclasses.replace(scenes, images=scenes.images[:3], positions=places)
    assert list(quadrant(few)) == [1, 3, -1]


def facts_of(**by_condition):
    return {
        "results": {
            name: {str(seed): dict.fromkeys(MEASURES | ALSO, 0.5) | {"rollout": value} for seed, value in enumerate(of)}
            for name, of in by_condition.items()
        }
    }


def test_means_by_hand():
    """Mean over seeds with Student's t: for 1, 2, 3 it reaches 4.303 standard errors of 1 / sqrt(3)."""
    facts = facts_of(joint=[1.0, 2.0, 3.0])
    assert mean(facts, "joint", "worst_error") == (0.5, 0.5, 0.5)
    assert mean(facts, "joint", "rollout") == pytest.approx((2.0, 2 - 2.4841, 2 + 2.4841), abs=1e-3)
    assert mean(facts_of(joint=[1.0]), "joint", "rollout") == (1.0, 1.0, 1.0)
    table = of_measures(facts)
    assert "| P-JEPA, reward | 0.500 [0.500, 0.500] |" in table
    assert "| 2.000 [-0.484, 4.484] |" in table


def test_differences_are_paired_by_seed():
    """Seeds that move both conditions alike leave no interval; a condition of other seeds has no difference."""
    facts = facts_of(joint=[1.0, 2.0, 4.0], reward_only=[0.5, 1.5, 3.5], random=[1.0])
    assert difference(facts, "reward_only", "rollout") == (0.5, 0.5, 0.5)
    table = paper.SHOWN["table differences"](facts)
    assert "| reward only | 0.000 [0.000, 0.000] |" in table
    assert len(table.splitlines()) == 3


def test_probes_are_relative_to_the_untrained_encoder():
    """The accuracy of a probe is divided by the mean accuracy over the untrained encoders."""
    facts = facts_of(joint=[1.0, 1.0], untrained=[1.0, 1.0])
    for seed, accuracy in (("0", 0.2), ("1", 0.3)):
        facts["results"]["untrained"][seed]["shape"] = accuracy
    assert mean(facts, "joint", "shape") == pytest.approx((2.0, 2.0, 2.0))
    assert mean(facts, "untrained", "shape").value == pytest.approx(1.0)
