"""The losses, against their formulas written out by hand."""

import pytest
import torch

from jepa_extractor.objectives.losses import squared_error


def test_squared_error_by_hand():
    """Squared differences are averaged over batch and components."""
    predicted = torch.tensor([[1.0, 2.0], [0.0, -1.0]])
    target = torch.tensor([[0.0, 0.0], [0.0, 1.0]])
    assert squared_error(predicted, target).item() == (1 + 4 + 0 + 4) / 4


def test_masked_steps_do_not_count_and_send_no_gradient():
    """Episode ends are masked: neither the value nor the gradient sees what stands behind the mask."""
    predicted = torch.tensor([[[1.0, 3.0], [torch.nan, 5.0]]], requires_grad=True)
    loss = squared_error(predicted, torch.zeros(1, 2, 2), torch.tensor([[True, False]]))
    assert loss.item() == (1 + 9) / 2
    loss.backward()
    assert torch.equal(predicted.grad, torch.tensor([[[1.0, 3.0], [0.0, 0.0]]]))


def test_squared_error_sends_gradient_through_both_sides():
    """No stop-gradient: the paper differentiates the prediction and the target."""
    predicted, latents = torch.ones(3, 1, 2, requires_grad=True), torch.zeros(3, 1, 2, requires_grad=True)
    squared_error(predicted, latents).backward()
    assert torch.equal(predicted.grad, -latents.grad)
    assert predicted.grad.abs().sum() > 0


def test_shapes_must_agree():
    """Broadcasting (B, 1) against (B,) would silently compare everything with everything."""
    with pytest.raises(ValueError, match=r"\(4, 1\).*\(4,\)"):
        squared_error(torch.zeros(4, 1), torch.zeros(4))
