"""How observations of all kinds are drawn."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from jepa_extractor.audit.pictures import OKABE_ITO, Pictures, rgb

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(256, size=(4, 3, 10, 12), dtype=np.uint8)


def drawn(observations, row=0):
    return np.asarray(Pictures(observations).picture(row))


def opened(address):
    return Image.open(io.BytesIO(base64.b64decode(address.split(",")[1])))


def test_colour_images():
    """Channels may be the first or the last axis."""
    np.testing.assert_array_equal(drawn(COLOUR, 2), np.moveaxis(COLOUR[2], 0, -1))
    np.testing.assert_array_equal(drawn(np.moveaxis(COLOUR, 1, -1), 2), np.moveaxis(COLOUR[2], 0, -1))


def test_grey_images():
    """One channel or none."""
    np.testing.assert_array_equal(drawn(COLOUR[:, :1], 1), COLOUR[1, 0])
    np.testing.assert_array_equal(drawn(COLOUR[:, 0], 1), COLOUR[1, 0])


def test_stacked_frames_show_the_last():
    """Four grey frames, or two of three colours."""
    stack = RNG.integers(256, size=(2, 4, 9, 9), dtype=np.uint8)
    np.testing.assert_array_equal(drawn(stack), stack[0, 3])
    stack = RNG.integers(256, size=(2, 6, 9, 9), dtype=np.uint8)
    np.testing.assert_array_equal(drawn(stack), np.moveaxis(stack[0, 3:], 0, -1))


def test_layers_have_colours_the_later_above():
    """Boolean layers, as MinAtar has them."""
    layers = np.zeros((1, 10, 10, 4), bool)
    layers[0, 2, 3, [0, 2]] = True
    layers[0, 5, 5, 1] = True
    picture = drawn(layers)
    assert tuple(picture[2, 3]) == rgb(OKABE_ITO[2])
    assert tuple(picture[5, 5]) == rgb(OKABE_ITO[1])
    assert not picture[0, 0].any()


@pytest.mark.parametrize(
    ("observations", "low", "high"),
    [
        (np.array([[[-1.0, 0.0], [1.0, 3.0]], [[-1.0, -1.0], [-1.0, -1.0]]]), -1.0, 3.0),
        (np.array([[[0, 5], [10, 1]]], np.uint8), 0.0, 10.0),
    ],
    ids=["floats", "small numbers"],
)
def test_other_numbers_are_scaled_alike(observations, low, high):
    """One scale for the whole set, so that pictures can be compared."""
    expected = np.round(255 * (observations[0].astype(float) - low) / (high - low))
    np.testing.assert_array_equal(drawn(observations), expected)


def test_of_a_dict_the_first_image_is_drawn():
    """And its numbers can be read as well."""
    observations = {"direction": np.arange(4.0)[:, None], "image": COLOUR}
    pictures = Pictures(observations)
    assert pictures.can_draw
    np.testing.assert_array_equal(np.asarray(pictures.picture(1)), np.moveaxis(COLOUR[1], 0, -1))
    assert pictures.numbers(1).startswith("direction: 1; image: ")
    assert pictures.numbers(1).endswith("(360 numbers)")


@pytest.mark.parametrize("shape", [(), (3,), (4, 1, 1)], ids=str)
def test_vectors_cannot_be_drawn(shape):
    """Their numbers are shown instead."""
    assert not Pictures(np.zeros((5, *shape))).can_draw
    assert Pictures(np.full((5, *shape), 0.25)).numbers(0).startswith("0.25")


def test_thumbnails_are_the_best_that_fit():
    """With room nothing is lost; with less they are smaller; the last setting is taken at any rate."""
    noise = RNG.integers(256, size=(6, 3, 100, 50), dtype=np.uint8)
    pictures = Pictures(noise)
    sizes = [opened(pictures.thumbnails(range(6), most)[0]).size for most in (10**6, 10_000, 1)]
    assert sizes[0] == (32, 64)
    assert sizes[0] > sizes[1] > sizes[2] == (8, 16)
    for most in (200_000, 20_000, 10_000):
        assert sum(map(len, pictures.thumbnails(range(6), most))) <= most
    small = Pictures(COLOUR)
    np.testing.assert_array_equal(np.asarray(opened(small.thumbnails([3], 10**6)[0])), np.moveaxis(COLOUR[3], 0, -1))


def test_large_pictures_lose_nothing():
    """What is shown alone is a PNG of the size it has, up to 128 pixels."""
    np.testing.assert_array_equal(np.asarray(opened(Pictures(COLOUR).large(0))), np.moveaxis(COLOUR[0], 0, -1))
    assert opened(Pictures(np.zeros((1, 3, 300, 200), np.uint8)).large(0)).size == (85, 128)
