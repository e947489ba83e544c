"""Penalties that keep latents apart, against their formulas."""

import numpy as np
import pytest
import torch

from jepa_extractor.data.batch import Latents
from jepa_extractor.objectives import R2R2, SIGReg, VICReg
from tests.objectives.batches import ACTIONS, VECTOR, B, D, rand


def penalty(task, latents):
    head = task.make_head(D, VECTOR, ACTIONS)
    return task.loss(head, Latents(latents[:, None], latents[:, None]), None).item(), head


def test_vicreg_by_hand():
    """Variance and covariance of centred latents."""
    latents = rand(B, D) * torch.linspace(0.1, 2, D) + 5
    z = latents.double().numpy()
    covariance = np.cov(z.T)
    spread = np.maximum(0, 1 - np.sqrt(np.diag(covariance) + 1e-4)).mean()
    expected = spread + 0.3 * (covariance[~np.eye(D, dtype=bool)] ** 2).sum() / D
    assert penalty(VICReg(covariance=0.3), latents)[0] == pytest.approx(expected, rel=1e-4)


def test_r2r2_by_hand():
    """Variance, and the products of latents that are not centred."""
    latents = rand(B, D) * torch.linspace(0.1, 2, D) + 1
    z = latents.double().numpy()
    products = z.T @ z / (B - 1)
    expected = np.maximum(0, 1 - z.std(0, ddof=1)).mean() + (products[~np.eye(D, dtype=bool)] ** 2).mean()
    assert penalty(R2R2(), latents)[0] == pytest.approx(expected, rel=1e-4)


def test_sigreg_by_hand():
    """The characteristic function of projections against the normal one, at eight points from -5 to 5."""
    latents = rand(B, D)
    measured, head = penalty(SIGReg(), latents)
    directions = torch.randn(D, 16, generator=head.generator()).double().numpy()
    projected = latents.double().numpy() @ (directions / np.linalg.norm(directions, axis=0))
    points = np.linspace(-5, 5, 8)
    characteristic = np.exp(1j * projected[:, :, None] * points).mean(0)
    assert measured == pytest.approx((np.abs(characteristic - np.exp(-(points**2) / 2)) ** 2).mean(), rel=1e-4)


def test_sigreg_tells_normal_latents_from_others():
    """Standard normal latents cost least; dead, shifted and wide ones more; new directions come with an update."""
    normal = rand(4000, D)
    costs = [penalty(SIGReg(), one)[0] for one in (normal, normal * 0, normal + 2, normal * 3)]
    assert costs[0] < 0.01 < min(costs[1:])
    task = SIGReg()
    head = task.make_head(D, VECTOR, ACTIONS)
    latents = Latents(normal[:, None], normal[:, None])
    first, again = task.loss(head, latents, None), task.loss(head, latents, None)
    task.update_target(head)
    assert first == again != task.loss(head, latents, None)


@pytest.mark.parametrize("task", [VICReg(), R2R2(), SIGReg()])
def test_gradient_of_dead_latents_is_finite(task):
    """Where all latents are equal, no root of 0 makes a NaN."""
    latents = torch.full((B, 1, D), 0.5, requires_grad=True)
    task.loss(task.make_head(D, VECTOR, ACTIONS), Latents(latents, latents), None).backward()
    assert latents.grad.isfinite().all()
