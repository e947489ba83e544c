"""Normalisations of latents."""

import torch
from numpy.testing import assert_allclose
from torch import nn

from jepa_extractor import JEPA
from jepa_extractor.networks.normalization import MinMax, SimNorm
from jepa_extractor.objectives import CosineLoss
from tests.objectives.batches import ACTIONS, VECTOR, D, make_batch


def test_min_max():
    """The smallest component becomes 0, the largest 1, the rest stays in order; equal ones become 0, not NaN."""
    latents = torch.tensor([[1.0, 3.0, 2.0], [-4.0, -4.0, -4.0]], requires_grad=True)
    scaled = MinMax(3)(latents)
    assert scaled.tolist() == [[0, 1, 0.5], [0, 0, 0]]
    scaled.square().sum().backward()
    assert latents.grad.isfinite().all()


def test_a_normalisation_of_the_users_own():
    """A callable, applied to what is encoded and to what is predicted."""
    jepa = JEPA(VECTOR, ACTIONS, latent_dim=D, normalization=lambda width: nn.Softmax(-1))
    _, latents = jepa.losses(make_batch(space=VECTOR))
    for part in latents:
        torch.testing.assert_close(part.sum(-1), torch.ones(part.shape[:-1]))


def test_normalisations_and_cosine_loss_are_those_of_the_published_code():
    """TD-MPC2's SimNorm, SPR's scaling to [0, 1], and its distance of projections."""
    x = 3 * torch.sin(torch.arange(16.0))
    first = [0.02626, 0.32782, 0.40179, 0.0401, 0.00271, 0.00148, 0.01136, 0.18848]
    second = [0.3641, 0.06444, 0.00366, 0.00093, 0.00374, 0.06601, 0.36546, 0.13166]
    assert_allclose(SimNorm(16)(x), [*first, *second], atol=1e-5)
    scaled = [0.51328, 0.96369, 1.0, 0.58882, 0.10819, 0.0, 0.36372, 0.86495]
    assert_allclose(MinMax(8)(x[:8]), scaled, atol=1e-5)
    one, other = (wave(torch.arange(24.0)).reshape(3, 1, 8) for wave in (torch.sin, lambda i: torch.cos(0.7 * i)))
    assert_allclose(CosineLoss().errors(one, other)[:, 0], [0.60671, 2.33526, 2.48578], atol=1e-5)


def test_min_max_of_latents_that_are_nearly_equal():
    """However little they differ, they reach from 0 to 1, until they are equal up to rounding."""
    assert MinMax(2)(torch.tensor([[0.0, 1e-5]])).tolist() == [[0, 1]]
