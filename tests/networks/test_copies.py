"""Networks that follow others: averages, and copies made from time to time."""

import pytest
import torch
from torch import nn

from jepa_extractor.networks.copies import MovingAverage, PeriodicCopy


def test_periodic_copy():
    """A copy at the first update, and at every third after it."""
    module = nn.Linear(1, 1, bias=False)
    copied, seen = PeriodicCopy(module, every=3), []
    for weight in (3.0, 5.0, -1.0, 2.0, 7.0, 8.0, 9.0):
        with torch.no_grad():
            module.weight.fill_(weight)
        copied.update(module)
        seen.append(copied(module, torch.ones(1)).item())
    assert seen == [3, 3, 3, 2, 2, 2, 9]


def test_moving_average():
    """The first update copies; then the average moves by 1/n until the rate, here 1/4, is reached."""
    module = nn.Linear(1, 1, bias=False)
    average = MovingAverage(module, rate=0.25)
    expected = 0.0
    for n, weight in enumerate([3.0, 5.0, -1.0, 2.0, 7.0, 7.0], start=1):
        with torch.no_grad():
            module.weight.fill_(weight)
        average.update(module)
        rate = max(1 / n, 0.25)
        expected += rate * (weight - expected)
        assert average(module, torch.ones(1)).item() == pytest.approx(expected, rel=1e-6)
    assert not list(average.parameters())


@pytest.mark.parametrize("build", [MovingAverage, PeriodicCopy])
def test_before_any_update_a_copy_is_the_module_itself(build):
    """Stable-Baselines3 may have initialised the module again since it was built; a copy sends no gradient."""
    module = nn.Linear(2, 1)
    copied, inputs = build(module), torch.ones(3, 2, requires_grad=True)
    with torch.no_grad():
        module.weight.fill_(7.0)
    for _ in range(2):
        assert torch.equal(copied(module, inputs), module(inputs))
        assert not copied(module, inputs).requires_grad
        copied.update(module)
