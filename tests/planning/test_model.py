"""What a planner reads of a JEPA."""

import numpy as np
import torch

from jepa_extractor import JEPA
from jepa_extractor.planning.model import LatentModel
from tests.planning.worlds import Given, Linear, world

CYCLE = np.array([[1, 2], [2, 0], [0, 1]])


def known(**heads):
    """Return a JEPA that knows a cycle of three states, with these heads."""
    base = world(CYCLE, np.zeros(3))
    return JEPA(
        base.observation_space,
        base.action_space,
        latent_dim=3,
        encoder="identity",
        transition=type(base.transition),
        transition_kwargs={"successors": CYCLE},
        auxiliary=tuple(Given(name, Linear(numbers)) for name, numbers in heads.items()),
    )


def test_with_two_rewards_that_of_arriving_counts():
    """A JEPA may have both tasks: ``"reward"`` is read, on the latent arrived at."""
    model = LatentModel(known(reward=[1.0, 2.0, 3.0], action_reward=[[7.0, 7.0]] * 3))
    predicted = model.predict(torch.eye(3), torch.eye(2)[[0, 0, 1]])
    assert predicted.rewards.tolist() == [2.0, 3.0, 2.0]
    assert predicted.continue_prob.tolist() == [1.0, 1.0, 1.0]


def test_an_end_is_a_probability():
    """What a head says below 0 or above 1 counts as 0 or 1."""
    model = LatentModel(known(reward=[0.0, 0.0, 0.0], end=[-0.5, 0.25, 1.5]))
    predicted = model.predict(torch.eye(3), torch.eye(2)[[0, 0, 0]])
    assert predicted.continue_prob.tolist() == [0.75, 0.0, 1.0]
