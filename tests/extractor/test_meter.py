"""What the callback logs, worked by hand."""

import pytest
import torch
from stable_baselines3.common.logger import Logger
from torch import nn

from jepa_extractor.meter import Meter
from jepa_extractor.objective import Gradient


def gradient(*values):
    norm = torch.linalg.vector_norm(torch.stack(values))
    return Gradient([], [], norm, norm / 2)


def test_means_since_the_last_record():
    """Losses and norms are averaged over updates, and begin anew after each record."""
    meter, logger = Meter(), Logger(None, [])
    latents = torch.tensor([[[0.0, 0.0], [2.0, 6.0]]])
    for round_ in range(2):
        for loss in (1.0 + round_, 3.0 + round_):
            meter.add({"dynamics": torch.tensor(loss)}, gradient(torch.tensor(loss)), latents)
        assert meter.updates == 2
        meter.record(logger)
        assert meter.updates == 0
        assert logger.name_to_value["jepa/dynamics_loss"] == 2 + round_
        assert logger.name_to_value["jepa/grad_norm"] == 2 + round_
        assert logger.name_to_value["jepa/grad_norm_clipped"] == (2 + round_) / 2
        assert logger.name_to_value["jepa/latent_std"] == 2
        assert logger.name_to_value["jepa/effective_rank"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("policy", "auxiliary", "degrees"),
    [([1, 0], [0, 2], 90), ([1, 1], [3, 3], 0), ([1, 0], [-1, 0], 180), ([1, 0], [1, 1], 45)],
)
def test_angle_between_gradients(policy, auxiliary, degrees):
    """The angle between the two gradients on the encoder."""
    encoder = nn.Linear(2, 1, bias=False)
    encoder.weight.grad = torch.tensor([policy], dtype=torch.float32)
    meter, logger = Meter(), Logger(None, [])
    value = torch.tensor([auxiliary], dtype=torch.float32)
    meter.add_angle(encoder, Gradient([encoder.weight], [value], value.norm(), value.norm()))
    meter.add({}, gradient(torch.tensor(1.0)), torch.zeros(1, 2, 2))
    meter.record(logger)
    assert logger.name_to_value["jepa/gradient_angle"] == pytest.approx(degrees, abs=0.1)
