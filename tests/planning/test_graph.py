"""The graph search against brute force on worlds that its JEPA knows exactly."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from jepa_extractor import JEPA
from jepa_extractor.planning import GraphSearch, LatentPlanner
from jepa_extractor.planning.model import LatentModel
from tests.planning.worlds import Given, best_returns, random_world, world

CHAIN = [[max(state - 1, 0), min(state + 1, 5)] for state in range(6)]


def values_of(jepa, horizon, discount=0.9, width=1_000, tolerance=0.25):
    """Return the planner's values (S, A) at every state."""
    roots = torch.eye(jepa.latent_dim)
    with torch.no_grad():
        return GraphSearch(width, tolerance).over(LatentModel(jepa), horizon, discount).values(roots)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), horizon=st.integers(1, 5), tolerance=st.sampled_from([0.0, 0.25]))
def test_values_are_those_of_brute_force(seed, horizon, tolerance):
    """The value of each action is the best return over all sequences, whatever heads there are."""
    successors, rng = random_world(seed)
    heads = {}
    rewards = rng.normal(size=5) if seed % 2 else rng.normal(size=(5, 3))
    if seed % 3:
        heads["ends"] = rng.random(5)
    if seed % 5:
        heads["q"] = rng.normal(size=(5, 3))
    planned = values_of(world(successors, rewards, **heads), horizon, tolerance=tolerance)
    np.testing.assert_allclose(planned, best_returns(successors, rewards, horizon, 0.9, **heads), atol=1e-5)


@pytest.mark.parametrize("goal", range(6))
def test_a_goal_is_reached_by_the_shortest_way(goal):
    """On a chain with one rewarded state the planner walks straight to it, from every start."""
    planner = LatentPlanner(world(CHAIN, np.arange(6) == goal), horizon=5)
    actions, state = planner.predict(np.eye(6, dtype=np.float32))
    starts = np.arange(6)
    assert state is None
    assert actions.dtype == np.int64
    assert (actions[starts < goal] == 1).all()
    assert (actions[starts > goal] == 0).all()


class Count(nn.Module):
    """A transition that counts how many rows it is asked for."""

    rows = 0

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, latents, actions):
        self.rows += len(latents)
        return self.inner(latents, actions)


def test_latents_that_meet_are_expanded_once():
    """On a chain of six states a search of 20 steps asks for each state's actions once, not for 2 ** 20 sequences."""
    jepa = world(CHAIN, np.arange(6) == 5)
    jepa.transition = Count(jepa.transition)
    planner = LatentPlanner(jepa, horizon=20)
    action, _ = planner.predict(np.eye(6, dtype=np.float32)[0])
    assert action == 1
    assert jepa.transition.rows == 6 * 2


class Drift(nn.Module):
    """Walks on a line in steps of 1: the first component. The second is an error, up to ``error``, of each way."""

    def __init__(self, latent_dim, action_dim, error):
        super().__init__()
        self.error = error

    def forward(self, latents, actions):
        moved = latents[:, :1] + actions[:, 1:] - actions[:, :1]
        return torch.cat(
            [moved, self.error * torch.sin(1e3 * latents.sum(1, keepdim=True) + 10 * actions[:, :1])], dim=1
        )


class Peak(nn.Module):
    def forward(self, latents):
        return (1 - (latents[..., :1] - 3).abs()).clamp(min=0)


def line(error):
    return JEPA(
        spaces.Box(-9, 9, (2,), np.float32),
        spaces.Discrete(2),
        latent_dim=2,
        encoder="identity",
        transition=Drift,
        transition_kwargs={"error": error},
        auxiliary=(Given("reward", Peak()),),
    )


@pytest.mark.parametrize("error", [0.0, 0.05])
def test_pruning_changes_no_value(error):
    """Merging latents that meet gives what the exhaustive search gives, on exact and on slightly wrong predictions."""
    jepa = line(error)
    jepa.transition = transition = Count(jepa.transition)
    roots = torch.tensor([[place, 0.0] for place in (-1.0, 0.0, 2.0, 3.0, 5.0)])

    def values_and_rows(tolerance):
        transition.rows = 0
        with torch.no_grad():
            return GraphSearch(1_000, tolerance).over(LatentModel(jepa), 7, 0.99).values(roots), transition.rows

    pruned, few = values_and_rows(0.25)
    exhaustive, many = values_and_rows(0.0)
    np.testing.assert_allclose(pruned, exhaustive, atol=1e-5)
    assert few <= 5 * 2 * 13  # at most 13 places are within six steps of a root
    assert error == 0.0 or many == 5 * (2**8 - 2)


class Pit(nn.Module):
    """As ``Drift`` without error, but beyond -1 no action moves the first component; the second drifts a little."""

    def __init__(self, latent_dim, action_dim):
        super().__init__()

    def forward(self, latents, actions):
        place, drift = latents[:, :1], latents[:, 1:]
        fallen = place <= -1
        moved = place + torch.where(fallen, 0.0, actions[:, 1:] - actions[:, :1])
        return torch.cat([moved, torch.where(fallen, drift + 0.001 * (1 + actions[:, 1:]), drift)], dim=1)


def test_an_end_that_drifts_is_one_node():
    """Where no action moves but T errs a little, the search does not fill up with copies of that state."""
    jepa = JEPA(
        spaces.Box(-9, 9, (2,), np.float32),
        spaces.Discrete(2),
        latent_dim=2,
        encoder="identity",
        transition=Pit,
        auxiliary=(Given("reward", Peak()),),
    )
    jepa.transition = transition = Count(jepa.transition)
    planner = LatentPlanner(jepa, horizon=8, search=GraphSearch(width=4))
    actions, _ = planner.predict(np.zeros((1, 2), np.float32))
    assert actions == [1]
    assert transition.rows <= 2 * 9  # the pit, and the places from 0 to 7


def test_a_narrow_search_keeps_the_best_ways():
    """With more new nodes than the width, those of the highest return so far go on."""
    tree = np.array(
        [[1, 2], [3, 4], [5, 6], [7, 7], [7, 7], [8, 8], [8, 8], [7, 7], [8, 8]]
    )  # three levels, two leaves
    rewards = np.array([0.0, 0.2, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0, 5.0])
    wide, narrow = (values_of(world(tree, rewards), 3, 1.0, width)[0] for width in (4, 2))
    np.testing.assert_allclose(wide, [0.2, 5.1], atol=1e-6)
    np.testing.assert_allclose(narrow, [0.2, 0.1], atol=1e-6)  # at depth 2 both nodes kept follow the first action
