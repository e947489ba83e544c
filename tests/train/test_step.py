"""One auxiliary update: the gradient of the weighted losses, and its clip."""

import numpy as np
import pytest
import torch
from torch import nn

from jepa_extractor.jepa import Logs
from jepa_extractor.train.step import AuxiliaryStep
from tests.objectives.batches import VECTOR, make_batch

BATCH = make_batch(space=VECTOR)


class Fixed(nn.Module):
    """Losses of two numbers, as a JEPA would give them."""

    def __init__(self):
        super().__init__()
        self.x, self.y, self.unused = (nn.Parameter(torch.tensor([v])) for v in (3.0, 1.0, 0.0))
        self.frozen = nn.Parameter(torch.tensor([1.0]), requires_grad=False)
        self.modes: list = []

    def loss(self, batch):
        self.modes.append(self.training)
        losses = {"dynamics": self.x.square().sum(), "reward": (self.x * self.y).sum(), "q": self.y.sum() * 0 + 1}
        total = 2 * losses["dynamics"] + 10 * losses["reward"] + 5 * losses["q"]
        if batch.first_latents is not None:
            total = total + batch.first_latents.sum()
        return total, Logs(
            {name: loss.detach() for name, loss in losses.items()}, torch.zeros(1, 1, 1), torch.zeros(1, 1, 1)
        )


RAW = np.array([2 * 2 * 3 + 10 * 1, 10 * 3])
NORM = np.linalg.norm(RAW)


def test_gradient_and_clip():
    """The gradient of the weighted sum is cut to the clip, its direction kept; what has none is left out."""
    module = Fixed().eval()
    gradient = AuxiliaryStep(max_grad_norm=4.0).gradient(module, BATCH)
    assert gradient.norm.item() == pytest.approx(NORM)
    assert gradient.clipped_norm.item() == pytest.approx(4.0)
    np.testing.assert_allclose([v.item() for v in gradient.values], 4 * RAW / NORM, rtol=1e-5)
    assert gradient.parameters == [module.x, module.y]
    assert all(parameter.grad is None for parameter in module.parameters())
    gradient.add()
    gradient.add()
    assert module.x.grad.item() == pytest.approx(2 * 4 * RAW[0] / NORM)
    assert module.frozen.grad is None
    assert module.modes == [True], "losses move their targets in training mode alone"
    assert not module.training, "and the mode is left as it was"


@pytest.mark.parametrize("clip", [None, 1e3])
def test_a_small_gradient_is_not_cut(clip):
    """Nor is it made longer where the clip is."""
    gradient = AuxiliaryStep(max_grad_norm=clip).gradient(Fixed(), BATCH)
    assert [value.item() for value in gradient.values] == RAW.tolist()
    assert gradient.clipped_norm.item() == gradient.norm.item() == pytest.approx(NORM)


def test_gradient_of_latents_that_were_computed_before():
    """That of a batch's first latents belongs to the gradient and to its norm."""
    first = torch.ones(12, 8, requires_grad=True)
    module = Fixed()
    gradient = AuxiliaryStep(max_grad_norm=None).gradient(module, BATCH.replace(first_latents=first))
    assert gradient.parameters[-1] is first
    assert gradient.norm.item() == pytest.approx(np.sqrt(NORM**2 + 12 * 8))
    gradient.add()
    assert torch.equal(first.grad, torch.ones(12, 8))


def test_what_is_not_finite_is_named():
    """The first loss that is not finite, with its value."""
    gradient = AuxiliaryStep().gradient(Fixed(), BATCH)
    assert gradient.not_finite() is None
    gradient.losses["reward"] = torch.tensor(torch.inf)
    assert gradient.not_finite() == "reward_loss is inf"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"rewarded_fraction": -0.1}, "rewarded_fraction=-0.1"),
        ({"max_grad_norm": 0}, "max_grad_norm=0"),
    ],
)
def test_bad_arguments(arguments, message):
    """Each is named with its value."""
    with pytest.raises(ValueError, match=message):
        AuxiliaryStep(**arguments)


def test_every_part_is_in_training_mode():
    """Also one that was in evaluation mode by itself, as Stable-Baselines3 leaves some; afterwards it is again."""
    module = Fixed()
    module.part = nn.Dropout().eval()
    seen = []
    loss = module.loss
    module.loss = lambda batch: (seen.append(module.part.training), loss(batch))[1]
    AuxiliaryStep().gradient(module, BATCH)
    assert seen == [True]
    assert not module.part.training
    assert module.training
