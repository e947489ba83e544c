"""Continuous actions: plans whose best is known in closed form."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from jepa_extractor import JEPA
from jepa_extractor.planning import MPPI, LatentPlanner
from jepa_extractor.planning.model import LatentModel
from tests.planning.worlds import Given


class Push(nn.Module):
    """A point on a line is moved by a tenth of the force (B, 1)."""

    def __init__(self, latent_dim, action_dim):
        super().__init__()

    def forward(self, latents, actions):
        return latents + actions / 10


class Near(nn.Module):
    def forward(self, latents):
        return -(latents - 0.5).abs()


def pushed(auxiliary=None, low=-2.0, high=6.0):
    return JEPA(
        spaces.Box(-9, 9, (1,), np.float32),
        spaces.Box(low, high, (1,), np.float32),
        latent_dim=1,
        encoder="identity",
        transition=Push,
        auxiliary=auxiliary or (Given("reward", Near()),),
    )


def test_continuous_actions_approach_the_goal():
    """A point goes to 0.5 as fast as the bounds allow, and stays: the best force is known in closed form."""
    planner = LatentPlanner(pushed(), horizon=3)
    places: np.ndarray = np.array([[-1.0], [0.3], [0.5], [0.65], [2.0]], np.float32)
    actions, state = planner.predict(places)
    assert actions.dtype == np.float32
    np.testing.assert_allclose(actions, [[6.0], [2.0], [0.0], [-1.5], [-2.0]], atol=0.6)
    assert state is not None
    for _ in range(4):
        places = places + actions / 10
        actions, state = planner.predict(places, state, episode_start=np.zeros(5, bool))
    np.testing.assert_allclose(places[1:4], 0.5, atol=0.05)


def test_the_q_head_counts_what_follows_the_horizon():
    """With a reward of nothing, one step of planning follows the Q head of the state it leads to."""

    class Far(nn.Module):
        def forward(self, inputs):  # latent and force
            return -(inputs[..., :1] + inputs[..., 1:] / 10 - 1.0).abs()

    class Nothing(nn.Module):
        def forward(self, latents):
            return latents * 0

    planner = LatentPlanner(pushed((Given("reward", Nothing()), Given("q", Far()))), horizon=1)
    action, _ = planner.predict(np.array([-0.2], np.float32))
    assert action == pytest.approx(6.0, abs=1.0)  # two steps of 0.6 reach 1.0


def test_the_return_of_a_continuous_plan():
    """Later rewards are discounted, and the last action counts by the Q head alone."""

    class Sum(nn.Module):
        def forward(self, inputs):
            return inputs.sum(-1, keepdim=True)

    jepa = pushed((Given("reward", Near()), Given("q", Sum())), low=-1.0, high=1.0)
    plans = MPPI().over(LatentModel(jepa), horizon=2, discount=0.5)
    sequences = torch.tensor([[0.5, -1.0, 0.25], [1.0, 1.0, -1.0]])
    values = plans.values(torch.tensor([[0.2]]), sequences[None, :, :, None])
    expected = [-0.25 - 0.5 * 0.35 + 0.25 * (0.15 + 0.25), -0.2 - 0.5 * 0.1 + 0.25 * (0.4 - 1.0)]
    np.testing.assert_allclose(values[0], expected, atol=1e-6)


def test_a_continuous_plan_goes_on_one_step_later():
    """The state is the plan of the step before: its second action is where the next search begins."""
    planner = LatentPlanner(
        pushed(low=-1.0, high=1.0), horizon=3, search=MPPI(samples=1, elites=1, iterations=1, seed=8)
    )
    place = np.zeros(1, np.float32)
    fresh, _ = planner.predict(place)
    assert abs(fresh.item()) < 0.8  # so that nothing is clipped
    later, _ = planner.predict(place, (np.array([[[0.7], [0.1], [-0.3]]], np.float32),))
    assert later - fresh == pytest.approx(0.1, abs=1e-6)


def test_continuous_plans_are_reproducible():
    """The same observation and state give the same action, alone or in a batch; a new episode forgets the state."""
    planner = LatentPlanner(pushed(), horizon=3, search=MPPI(samples=64, elites=8, iterations=3))
    places = np.array([[-1.0], [0.3]], np.float32)
    actions, state = planner.predict(places)
    again, _ = planner.predict(places)
    alone, _ = planner.predict(places[1])
    assert (actions == again).all()
    assert alone.shape == (1,)
    np.testing.assert_allclose(alone, actions[1], atol=1e-6)
    restarted, _ = planner.predict(places, state, episode_start=np.array([True, True]))
    going_on, _ = planner.predict(places, state, episode_start=np.array([False, False]))
    assert (restarted == actions).all()
    assert (going_on != actions).any()


def test_actions_that_are_not_deterministic_come_from_the_seed():
    """deterministic=False draws among the best plans, the same ones for the same seed."""
    place = np.array([0.3], np.float32)
    drawn = [
        [LatentPlanner.predict(planner, place, deterministic=False)[0].item() for _ in range(5)]
        for planner in (LatentPlanner(pushed(), search=MPPI(seed=seed)) for seed in (1, 1, 2))
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) > 1


def planned(place, mean, search):
    """Return what ``MPPIPlans.plan`` returns for one place on the line of ``pushed``, with forces in [-1, 1]."""
    draws = torch.Generator().manual_seed(search.seed)
    std = np.full_like(mean, 2.0)
    for _ in range(search.iterations):
        noise = torch.randn(search.samples, *mean.shape, generator=draws).numpy()
        tried = np.clip(mean + std * noise, -1, 1)
        places = place + np.cumsum(tried[..., 0], axis=1) / 10
        values = -(np.abs(places - 0.5) * 0.9 ** np.arange(len(mean))).sum(1)
        best = np.argsort(-values, kind="stable")[: search.elites]
        weights = np.exp(0.5 * (values[best] - values[best[0]]))
        weights /= weights.sum()
        elites = tried[best]
        mean = (weights[:, None, None] * elites).sum(0)
        variance = (weights[:, None, None] * (elites - mean) ** 2).sum(0)
        std = np.clip(np.sqrt(variance), 0.05, 2.0)
    return elites[:, 0], weights, mean


@pytest.mark.parametrize("seed", range(5))
def test_a_plan_is_that_of_the_formulas(seed):
    """Against TD-MPC2's formulas in NumPy: clipped draws, weights exp(0.5 (v - best)), their mean and deviation."""
    search = MPPI(samples=20, elites=5, iterations=3, seed=seed)
    plans = search.over(LatentModel(pushed(low=-1.0, high=1.0)), horizon=3, discount=0.9)
    mean = np.random.default_rng(seed).uniform(-1, 1, (3, 1)).astype(np.float32)
    found = plans.plan(torch.tensor([[0.2]]), torch.from_numpy(mean)[None])
    for one, expected in zip(found, planned(0.2, mean, search), strict=True):
        np.testing.assert_allclose(one[0], expected, atol=1e-5)


def test_an_end_counts_in_a_continuous_plan():
    """What comes after a step that ends with probability 0.75 counts a quarter."""

    class Ends(nn.Module):
        def forward(self, latents):
            return torch.full_like(latents, 0.75)

    jepa = pushed((Given("reward", Near()), Given("end", Ends())), low=-1.0, high=1.0)
    plans = MPPI().over(LatentModel(jepa), horizon=2, discount=0.8)
    values = plans.values(torch.tensor([[0.2]]), torch.tensor([[[[1.0], [1.0]]]]))
    np.testing.assert_allclose(values, [[-0.2 - 0.8 * 0.25 * 0.1]], atol=1e-6)


@pytest.mark.parametrize("place", [-1.0, 2.0])
def test_actions_stay_within_bounds(place):
    """Bounds whose difference is rounded are not passed."""
    low, high = -5.74, 2.44
    assert np.float32(low) + (np.float32(high) - np.float32(low)) > np.float32(high)  # what makes it a test
    planner = LatentPlanner(pushed(low=low, high=high), horizon=2, search=MPPI(samples=64, elites=8, iterations=3))
    action, _ = planner.predict(np.array([place], np.float32))
    assert planner.action_space.contains(action)
    assert action == pytest.approx(high if place < 0.5 else low, abs=0.01)
