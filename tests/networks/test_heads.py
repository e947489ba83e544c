"""Heads that predict numbers: squared error, cross-entropy, two-hot."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from jepa_extractor import RewardTask
from jepa_extractor.data.batch import Latents
from jepa_extractor.networks.heads import BinaryHead, NumberHead, TwoHotHead
from tests.objectives.batches import ACTIONS, IMAGE, B, D, make_batch, rand


@pytest.mark.parametrize("interpolate", ["symlog", "raw"])
def test_two_hot(interpolate):
    """The share of each bin gives the number back; what is beyond is clipped; a bin's own number is all its."""
    head = TwoHotHead(D, bins=21, limit=5.0, interpolate=interpolate)
    bins = head.positions.double().numpy()
    numbers = np.array([[-1e6, -20.0, -1.0], [0.0, 0.3, 7.7], [147.0, 1e3, 1e6]])
    shares = head.two_hot(torch.tensor(numbers, dtype=torch.float32)).numpy()
    assert shares.shape == (3, 3, 21)
    assert ((shares > 0).sum(-1) <= 2).all()
    assert_allclose(shares.sum(-1), 1, rtol=1e-6)
    places = np.sign(numbers) * np.log1p(np.abs(numbers)) if interpolate == "symlog" else numbers
    assert_allclose((shares * bins).sum(-1), places.clip(bins[0], bins[-1]), rtol=1e-4, atol=1e-5)
    on_bin = float(bins[13]) if interpolate == "raw" else float(np.expm1(bins[13]))
    assert_allclose(head.two_hot(torch.tensor([on_bin]))[0, 13], 1, atol=1e-4)


@pytest.mark.parametrize("interpolate", ["symlog", "raw"])
def test_two_hot_learns_numbers(interpolate):
    """Minimising the errors brings the numbers expected to the targets, over five orders of magnitude."""
    torch.manual_seed(0)
    head, inputs, targets = (
        TwoHotHead(4, interpolate=interpolate),
        torch.eye(4),
        torch.tensor([-1000.0, 0.0, 0.1, 50.0]),
    )
    optimizer = torch.optim.Adam(head.parameters(), 1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        head.errors(inputs, targets).mean().backward()
        optimizer.step()
    assert_allclose(head(inputs).squeeze(-1).detach(), targets, rtol=0.05, atol=0.02)


def test_number_and_binary_heads():
    """A squared error, and the cross-entropy of a probability."""
    inputs, targets = rand(3, 2, D), torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    number, binary = NumberHead(D), BinaryHead(D, layers=2)
    torch.testing.assert_close(number.errors(inputs, targets), (number(inputs)[..., 0] - targets) ** 2)
    p = binary(inputs)[..., 0]
    expected = -(targets * p.log() + (1 - targets) * (1 - p).log())
    torch.testing.assert_close(binary.errors(inputs, targets), expected)


def test_a_head_of_the_users_own():
    """A callable that builds a module with ``errors``."""

    class Absolute(NumberHead):
        def errors(self, inputs, targets):
            return (self(inputs).squeeze(-1) - targets).abs()

    batch, latents = make_batch(), Latents(rand(B, 2, D), rand(B, 1, D, seed=1))
    task = RewardTask(head=Absolute, head_kwargs={"hidden": 3})
    head = task.make_head(D, IMAGE, ACTIONS)
    assert task.loss(head, latents, batch).item() == pytest.approx(head(latents.after).abs().mean().item())


# What the published code returned for these inputs: MR.Q at commit 8a44a7d, TD-MPC2 at e9f5932, SPR at 0b9dd4e.
REWARDS = torch.tensor([-7.3, -0.2, 0.0, 0.45, 3.0, 12.0])
MRQ = [3.827, 5.7283, 6.45848, 6.97289, 6.90417, 5.86509]
TDMPC2 = [7.06747, 7.30649, 6.61913, 5.49558, 3.86686, 3.37588]


@pytest.mark.parametrize(
    ("options", "expected"),
    [({"bins": 65, "interpolate": "raw"}, MRQ), ({"bins": 101, "interpolate": "symlog"}, TDMPC2)],
)
def test_two_hot_errors_are_those_of_the_published_code(options, expected, monkeypatch):
    """Cross-entropy of given logits against rewards, for each."""
    head = TwoHotHead(1, **options)
    monkeypatch.setattr(head, "outputs", lambda logits: logits)
    logits = 2 * torch.sin(0.37 * torch.arange(6.0)[:, None] + 0.1 * torch.arange(options["bins"])[None])
    assert_allclose(head.errors(logits, REWARDS).detach(), expected, atol=1e-5)
