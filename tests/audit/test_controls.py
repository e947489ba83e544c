"""What is audited beside an encoder."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from jepa_extractor.audit import audit
from jepa_extractor.audit.controls import reduced, untrained
from tests.audit.test_report import classes_set, episodes_set


def networks():
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(1, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
    own = nn.ParameterList([torch.randn(4, 4)])
    return {"plain": plain, "own parameters": own, "both": nn.ModuleDict({"plain": plain, "own": own})}


@pytest.mark.parametrize("name", networks())
def test_an_untrained_twin_is_drawn_anew_and_given_back(name):
    """Every parameter that is not the same in any draw changes, by the seed, and all is as before afterwards."""
    network, drawn = networks()[name], []
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(5)
    before = copy.deepcopy(network.state_dict())
    identities = [id(parameter) for parameter in network.parameters()]
    for seed in (1, 1, 2):
        torch.manual_seed(3)
        with untrained(network, seed) as is_network:
            assert is_network
            drawn.append([parameter.detach().clone() for parameter in network.parameters()])
        assert torch.initial_seed() == 3
        assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
        assert [id(parameter) for parameter in network.parameters()] == identities
    same = [torch.equal(one, other) for one, other in zip(drawn[0], drawn[1], strict=True)]
    assert all(same)
    for one, other, old in zip(drawn[0], drawn[2], network.parameters(), strict=True):
        assert not torch.equal(one, old)
        assert one.numel() < 9 or not torch.equal(one, other)


def test_a_function_has_no_twin():
    """It has no weights; a constant encoder is audited beside it all the same."""
    with untrained(lambda seen: seen, 0) as is_network:
        assert not is_network
    report = audit(lambda seen: seen, episodes_set())
    assert [control.name for control in report.controls] == ["constant encoder", "observations themselves"]
    assert audit(lambda seen: seen, episodes_set(), controls=False).controls == ()


def test_what_becomes_of_a_twin_is_said():
    """Where the twin keeps as much, the training is not what made the difference."""
    network = nn.Linear(1, 4)
    report = audit(network, classes_set(np.repeat([0, 1], 60)))
    assert [control.name for control in report.controls] == ["constant encoder", "untrained twin"]
    assert report.power.startswith("A constant encoder would have been found. An untrained twin is ")


@pytest.mark.parametrize("shape", [(3, 64, 64), (700,), (5,)], ids=str)
def test_reduced_observations_keep_distances(shape):
    """At most 512 numbers, whose distances are those of the observations, up to a fifth."""
    seen = np.random.default_rng(0).normal(size=(30, *shape)).astype(np.float32)
    few = reduced(seen, 0)
    assert few.shape == (30, min(512, int(np.prod(shape))))
    flat = seen.reshape(30, -1)
    left, right = np.triu_indices(30, 1)
    one, other = (np.linalg.norm(points[left] - points[right], axis=1) for points in (few, flat))
    np.testing.assert_allclose(one, other, rtol=0.25)
    assert reduced({"a": seen, "b": seen}, 0).shape[0] == 30
