"""The graph search against brute force on worlds that its JEPA knows exactly."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from jepa_extractor import JEPA
from jepa_extractor.planning import GraphSearch, LatentPlanner, graph
from jepa_extractor.planning.model import LatentModel
from tests.planning.worlds import Count, Given, best_returns, random_world, world

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
    jepa = counted(Pit)
    planner = LatentPlanner(jepa, horizon=8, search=GraphSearch(width=4))
    actions, _ = planner.predict(np.zeros((1, 2), np.float32))
    assert actions == [1]
    assert jepa.transition.rows <= 2 * 9  # the pit, and the places from 0 to 7


def test_a_narrow_search_keeps_the_best_ways():
    """With more new nodes than the width, those of the highest return so far go on."""
    tree = np.array(
        [[1, 2], [3, 4], [5, 6], [7, 7], [7, 7], [8, 8], [8, 8], [7, 7], [8, 8]]
    )  # three levels, two leaves
    rewards = np.array([0.0, 0.2, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0, 5.0])
    wide, narrow = (values_of(world(tree, rewards), 3, 1.0, width)[0] for width in (4, 2))
    np.testing.assert_allclose(wide, [0.2, 5.1], atol=1e-6)
    np.testing.assert_allclose(narrow, [0.2, 0.1], atol=1e-6)  # at depth 2 both nodes kept follow the first action


TREE = np.array([[1, 2], [3, 4], [5, 6], [7, 7], [7, 7], [8, 8], [8, 8], [7, 7], [8, 8]])  # 7 and 8 are leaves


def test_a_narrow_search_discounts():
    """What is kept has the highest discounted return: 0.6 at once against 1 a step later, at half its worth."""
    rewards = np.array([0.0, 0.6, 0.0, 0.0, 0.0, 1.0, 1.0, 5.0, 0.0])
    narrow = values_of(world(TREE, rewards), 3, discount=0.5, width=2)[0]
    np.testing.assert_allclose(narrow, [0.6 + 0.25 * 5, 0.5], atol=1e-6)


def test_a_narrow_search_reads_the_q_head():
    """A latent of higher Q is kept, and one that is not kept is worth its Q."""
    rewards = np.array([0.0] * 8 + [5.0])
    q = np.zeros((9, 2))
    q[3, 0], q[4, 1], q[5, 1], q[6, 0] = 0.25, 0.5, 1.0, 1.0
    narrow = values_of(world(TREE, rewards, q=q), 3, discount=1.0, width=2)[0]
    np.testing.assert_allclose(narrow, [0.5, 5.0], atol=1e-6)


def counted(make):
    """Return a JEPA over a plane whose transition ``make`` counts the rows that it is asked for."""
    box = spaces.Box(-9, 9, (2,), np.float32)
    jepa = JEPA(
        box, spaces.Discrete(2), latent_dim=2, encoder="identity", transition=make, auxiliary=(Given("reward", Peak()),)
    )
    jepa.transition = Count(jepa.transition)
    return jepa


class StayOrGo(nn.Module):
    """Action 0 stays, action 1 goes one step on; the second component is an error of up to 0.05."""

    def __init__(self, latent_dim, action_dim):
        super().__init__()

    def forward(self, latents, actions):
        error = 0.05 * torch.sin(1e3 * latents.sum(1, keepdim=True) + 10 * actions[:, :1])
        return torch.cat([latents[:, :1] + actions[:, 1:], error], dim=1)


def test_the_scale_of_a_node_is_its_longest_step():
    """An action that stays, but for an error, makes no new node where another goes far."""
    jepa = counted(StayOrGo)
    LatentPlanner(jepa, horizon=6).predict(np.zeros((1, 2), np.float32))
    assert jepa.transition.rows == 2 * 6


class Fall(nn.Module):
    """From 0 every action falls to -1, where the second component drifts a little for ever."""

    def __init__(self, latent_dim, action_dim):
        super().__init__()

    def forward(self, latents, actions):
        return torch.cat([torch.full_like(latents[:, :1], -1.0), latents[:, 1:] + 0.001 * (1 + actions[:, 1:])], dim=1)


def test_the_longest_step_is_remembered():
    """Where no node moves any more, the steps before say what is near."""
    jepa = counted(Fall)
    LatentPlanner(jepa, horizon=8).predict(np.zeros((1, 2), np.float32))
    assert jepa.transition.rows == 2 * 2


def test_graphs_of_different_sizes():
    """In a batch nothing is expanded for a root whose graph is complete."""
    jepa = world([[1, 1], [1, 1], [3, 3], [4, 4], [5, 5], [5, 5]], np.arange(6) == 5)
    jepa.transition = Count(jepa.transition)
    LatentPlanner(jepa, horizon=6).predict(np.eye(6, dtype=np.float32)[[0, 2]])
    assert jepa.transition.rows == 2 * (2 + 4)


def met(nodes, exists, children, live, radius):
    """Return what ``_meeting`` returns for one graph, child by child; -1 where a child is not live."""
    known, count = len(nodes), len(children)
    to_nodes = [[np.linalg.norm(c - n) if e else np.inf for n, e in zip(nodes, exists, strict=True)] for c in children]
    free = [bool(live[c]) and min(to_nodes[c]) > radius[c] for c in range(count)]
    near = [
        [e for e in range(c) if free[e] and np.linalg.norm(children[c] - children[e]) <= radius[c]] if free[c] else []
        for c in range(count)
    ]
    found = []
    for c in range(count):
        leaders = [e for e in near[c] if not near[e]]
        if not live[c]:
            found.append(-1)
        elif not free[c]:
            found.append(int(np.argmin(to_nodes[c])))
        else:
            found.append(known + min(leaders, key=lambda e: np.linalg.norm(children[c] - children[e]), default=c))
    return found


@pytest.mark.parametrize("seed", range(20))
def test_what_meets_what(seed, monkeypatch):
    """Against a twin that looks at one pair after another, in slices of any size; half of the nodes do not exist."""
    rng = np.random.default_rng(seed)
    monkeypatch.setattr(graph, "DISTANCES", int(rng.choice([1, 300, 2**24])))
    nodes, children = (rng.normal(size=(5, n, 2)).astype(np.float32) for n in (4, 12))
    exists, live = rng.random((5, 4)) < 0.5, rng.random((5, 12)) < 0.8
    exists[:, 0] = True
    children[:, 6:8] = children[:, :2]  # equal latents meet even within 0
    radius = rng.choice([0.0, 0.1, 0.5, 1.0], size=(5, 12)).astype(np.float32)
    found = np.where(live, graph._meeting(nodes, exists, children, live, radius), -1)
    assert found.tolist() == [met(*one) for one in zip(nodes, exists, children, live, radius, strict=True)]
