"""What the callback logs, worked by hand."""

import numpy as np
import pytest
import torch
from stable_baselines3.common.logger import Logger
from torch import nn

from jepa_extractor import Episode, TransitionRing
from jepa_extractor.sb3.monitor import Monitor, look_ahead, record_probe
from jepa_extractor.train.step import Gradient

LATENTS = torch.tensor([[[0.0, 0.0], [2.0, 6.0]]])


def gradient(loss, parameters=(), values=()):
    norm = torch.tensor(loss)
    losses = {"dynamics": torch.tensor(loss)}
    return Gradient(list(parameters), list(values), norm, norm / 2, losses, LATENTS, LATENTS[:, 1:], torch.zeros(1, 1))


def test_means_since_the_last_record():
    """Losses and norms are averaged over updates, and begin anew after each record."""
    monitor, logger = Monitor(), Logger(None, [])
    for round_ in range(2):
        for loss in (1.0 + round_, 3.0 + round_):
            monitor.add(gradient(loss))
        assert monitor.updates == 2
        monitor.record(logger)
        assert monitor.updates == 0
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
    """The angle between the two gradients on the encoder, on what both reach: the auxiliary misses the bias."""
    encoder = nn.Linear(2, 1)
    other = nn.Linear(3, 1, bias=False)  # the rest of the policy, which the auxiliary does not reach
    encoder.bias.grad = torch.tensor([2.0])
    encoder.weight.grad, other.weight.grad = torch.tensor([policy], dtype=torch.float32), torch.full((1, 3), 2.0)
    optimizer = torch.optim.SGD([*encoder.parameters(), *other.parameters(), nn.Parameter(torch.ones(1))], 0.1)
    monitor, logger = Monitor(), Logger(None, [])
    value = torch.tensor([auxiliary], dtype=torch.float32)
    monitor.compare(optimizer, encoder, gradient(1.0, [encoder.weight], [value]))
    monitor.add(gradient(1.0))
    monitor.record(logger)
    assert logger.name_to_value["jepa/gradient_angle"] == pytest.approx(degrees, abs=0.1)
    norm = np.sqrt(np.sum(np.square(policy)) + 4 * 4)
    assert logger.name_to_value["jepa/policy_grad_norm"] == pytest.approx(norm, rel=1e-6)


def seen(latents, predicted, rewards, names=("dynamics", "reward")):
    """A gradient of a batch of single steps: latents (B, 2), predicted (B,) and rewards (B,) of one number each."""
    one = torch.tensor(1.0)
    latents, predicted = torch.tensor(latents)[..., None], torch.tensor(predicted)[:, None, None]
    return Gradient([], [], one, one, dict.fromkeys(names, one), latents, predicted, torch.tensor(rewards)[:, None])


def test_what_is_about_to_merge_by_hand():
    """The nearest two latents whose rewards differ, and the error of the prediction, over that of random pairs."""
    latents = [[0.0, 1.0], [0.0, 1.5], [0.0, 4.0], [0.0, 4.25]]
    scale = np.sqrt(2 * np.var(latents))
    batch = seen(latents, [1.0, 1.0, 4.0, 4.25], [0.0, 0.0, 1.0, 1.004])
    numbers, words = look_ahead(batch)
    assert numbers == pytest.approx({"prediction_error_1": 0.125 / scale, "worst_pair_distance": 2.5 / scale})
    assert words[1].endswith(f"apart {2.5 / scale:.3f} (rewards 0 and 1)")
    monitor, logger = Monitor(), Logger(None, [])
    monitor.add(batch)
    line = monitor.record(logger)
    assert line.endswith(", ".join(words))
    assert line.startswith("encoder alive, rank 1.0 of 1, dynamics loss 1.0000, reward loss 1.0000, prediction error")
    assert {name: logger.name_to_value[f"jepa/{name}"] for name in numbers} == numbers


def test_what_is_not_known_is_not_said():
    """Where rewards depend on the action or are all the same there is no pair; without later latents, nothing."""
    latents = [[0.0, 1.0], [0.0, 3.0]]
    assert set(look_ahead(seen(latents, [1.0, 3.0], [2.0, 2.0]))[0]) == {"prediction_error_1"}
    by_action = seen(latents, [1.0, 3.0], [0.0, 1.0], ("dynamics", "action_reward"))
    assert set(look_ahead(by_action)[0]) == {"prediction_error_1"}
    assert look_ahead(seen([[1.0], [2.0]], [1.0, 3.0], [0.0, 1.0])) == ({}, [])
    assert look_ahead(seen([[1.0, 1.0], [1.0, 1.0]], [1.0, 3.0], [0.0, 1.0])) == ({}, [])


class Names:
    """A JEPA whose latents are the first numbers of observations, and a recorder of a ring."""

    def __init__(self, ring):
        self.ring = ring

    def encode(self, observations):
        return observations

    def as_the_policy_sees(self, observations):
        return observations


def test_the_probe_by_hand():
    """The newer half is judged by centroids of the older; a label belongs to what a step led to; unknown ones go."""
    numbers = np.array([9, 0, 1, 10, 9, 5, 2, 8, 4], np.float32)  # the first is before any step
    labels = np.array([7, 0, 0, 1, 1, np.nan, 0, 1, 1])  # of the newer half, 2 and 8 are right, 4 is not
    episode = Episode(numbers[:, None], np.zeros(8, np.int64), np.zeros(8), False, {"label": labels})
    names, logger = Names(TransitionRing.from_episodes([episode], seed=0)), Logger(None, [])
    record_probe(logger, names, names, "label")
    assert logger.name_to_value["jepa/probe_accuracy"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(("labels", "recorded"), [([np.nan, np.nan, 1.0], []), ([1.0, np.nan, 1.0], [1.0])])
def test_a_probe_that_is_hardly_known(labels, recorded):
    """With fewer than two labels nothing is recorded; of two, the older says what the newer is."""
    label = np.array([np.nan, *labels])
    episode = Episode(np.zeros((4, 1), "f"), np.zeros(3, np.int64), np.zeros(3), False, {"label": label})
    names, logger = Names(TransitionRing.from_episodes([episode], seed=0)), Logger(None, [])
    record_probe(logger, names, names, "label")
    assert list(logger.name_to_value.values()) == recorded
