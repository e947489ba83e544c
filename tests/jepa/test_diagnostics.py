"""Collapse diagnostics, against numbers worked by hand."""

import numpy as np
import pytest

from jepa_extractor.diagnostics import effective_rank, latent_std, nearest_centroid_accuracy


def test_effective_rank_of_known_spectra():
    """Equal singular values over r directions give rank r; a single direction gives 1; a point gives 0."""
    corners = np.concatenate([np.eye(3), -np.eye(3)])  # centred, three equal singular values
    assert effective_rank(corners) == pytest.approx(3)
    assert effective_rank(np.outer(np.arange(5), [1.0, 2.0])) == pytest.approx(1)
    assert effective_rank(np.full((5, 4), 7.0)) == 0


def test_effective_rank_by_formula():
    """exp of the entropy of normalised singular values: for values 3 and 1, exp(H(3/4, 1/4))."""
    latents = np.array([[3.0, 0], [-3.0, 0], [0, 1.0], [0, -1.0]])
    expected = np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))
    assert effective_rank(latents) == pytest.approx(expected)


def test_latent_std_by_hand():
    """Standard deviations 1 and 3 of two components average to 2."""
    assert latent_std(np.array([[0.0, 0.0], [2.0, 6.0]])) == 2


def test_nearest_centroid_accuracy_by_hand():
    """Centroids at 0 and 10: of 1, 4, 6 and 9, labelled a, b, b, b, three are right."""
    latents = np.array([[-1.0], [1.0], [9.0], [11.0]])
    accuracy = nearest_centroid_accuracy(
        latents, np.array(list("aabb")), np.array([[1.0], [4.0], [6.0], [9.0]]), np.array(list("abbb"))
    )
    assert accuracy == 0.75


def test_collapsed_latents_are_no_error():
    """A collapse is what the number is for: all latents equal give the share of one class."""
    labels = np.repeat(np.arange(4), 5)
    assert nearest_centroid_accuracy(np.ones((20, 3)), labels, np.ones((20, 3)), labels) == 0.25
