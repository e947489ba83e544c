"""Search over discrete actions: a graph of latents, breadth first, and the best sum of rewards in it."""

import itertools
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from jepa_extractor.checks import require_integer, require_weight
from jepa_extractor.planning.model import LatentModel, State, every_pair

Floats = NDArray[np.float32]
Numbers = NDArray[np.intp]
Mask = NDArray[np.bool_]

DISTANCES = 2**24  # held at once: 64 MiB
MIN_STEP = 0.1  # the smallest scale of a node, relative to the longest step of the graph


@dataclass(frozen=True)
class GraphSearch:
    """Search breadth first over discrete actions, in a graph whose nodes are latents; those that are close are one.

    A node z has its own scale, the largest distance ``|T(z, a) - z|`` over actions: what follows it meets nodes within
    ``tolerance`` of that. Where no action moves, as after an end, that distance is only the error of T, so the scale is
    at least a tenth of the graph's longest step. Where nothing meets, the graph is the tree of all sequences.

    Args:
        width: new nodes kept at each depth, the best by predicted return; at least the number of actions. While no
            depth has more, no sequence is left out.
        tolerance: at least 0; with 0 only equal latents meet.

    Raises:
        ValueError: an argument is out of range.
    """

    width: int = 256
    tolerance: float = 0.25

    def __post_init__(self) -> None:
        require_integer("width", self.width, least=1)
        require_weight("tolerance", self.tolerance)

    def over(self, model: LatentModel, horizon: int, discount: float) -> "GraphPlans":
        """Return what plans with ``model``, ``horizon`` steps ahead."""
        return GraphPlans(model, horizon, discount, self)


class _Edges(NamedTuple):
    """The K actions of each of F nodes of each of B graphs: every field is (B, F, K, ...).

    Attributes:
        latents: predicted, (B, F, K, D).
        rewards: predicted.
        discounts: of what comes after: the discount factor times the probability of going on.
        values: the best Q of the latent.
        nodes: number of the node that the action leads to; -1 where the search ends.
    """

    latents: Floats
    rewards: Floats
    discounts: Floats
    values: Floats
    nodes: Numbers


class GraphPlans:
    """The best first actions, and the values of all, by ``GraphSearch`` in a model.

    Args:
        model: what predicts.
        horizon: steps H, at least 1.
        discount: of a reward one step later, in [0, 1].
        search: width and tolerance.

    Raises:
        ValueError: there are more actions than ``width``.
    """

    def __init__(self, model: LatentModel, horizon: int, discount: float, search: GraphSearch) -> None:
        self._model, self._horizon, self._discount, self._search = model, horizon, discount, search
        self._actions = _all_actions(model.action_space, search.width)
        self._features = model.features(torch.from_numpy(self._actions))

    def choose(
        self,
        latents: torch.Tensor,
        state: State = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[Any], State]:
        """Return the best action at each of ``latents`` (B, D), the first of equal ones, and ``state`` as given."""
        del episode_start, deterministic  # each step is planned anew, and nothing is drawn
        best = self.values(latents).argmax(1)
        return self._actions[best].astype(self._model.action_space.dtype), state

    def values(self, roots: torch.Tensor) -> Floats:
        """Return the value (B, K) of each action at each of ``roots`` (B, D): the best that ``horizon`` steps can earn.

        A value is the discounted sum of predicted rewards, and the best Q of the last latent if there is a Q head. Each
        root has a graph of its own. What an action leads to is a new node, unless it meets one: then the action leads
        to that node, which is expanded once.

        The networks run where they are; the rest, many steps on small arrays, is NumPy's: one observation costs half.
        """
        actions, horizon = self._features, self._horizon
        latents = roots.cpu().numpy()[:, None]  # of the nodes to expand, (B, F, D)
        live = np.ones(latents.shape[:2], np.bool_)  # (B, F): graphs have different sizes
        nodes, exists = latents, live  # all so far, (B, N, D) and (B, N)
        returns = np.zeros(live.shape, np.float32)  # of the way to the nodes to expand
        discount_so_far = np.ones(live.shape, np.float32)  # on the way to them
        longest = np.zeros((len(live), 1), np.float32)  # step in the graph so far
        levels = []
        row = np.arange(len(live))[:, None]
        for depth in range(1, horizon + 1):
            edges = _expand(self._model, latents, live, actions, self._discount)
            levels.append(edges)
            if depth == horizon:
                break
            children = edges.latents.reshape(len(live), -1, latents.shape[-1])  # (B, C, D)
            steps = np.where(live, np.linalg.norm(edges.latents - latents[:, :, None], axis=-1).max(-1), 0.0)
            longest = np.maximum(longest, steps.max(1, keepdims=True))
            radius = np.repeat(self._search.tolerance * np.maximum(steps, MIN_STEP * longest), len(actions), axis=1)
            target = _meeting(nodes, exists, children, np.repeat(live, len(actions), axis=1), radius)
            returns = (returns[:, :, None] + discount_so_far[:, :, None] * edges.rewards).reshape(target.shape)
            discount_so_far = (discount_so_far[:, :, None] * edges.discounts).reshape(target.shape)
            # children that meet nothing become nodes, best first
            known, child = nodes.shape[1], np.arange(target.shape[1])
            leads = target == known + child
            kept = min(self._search.width, int(leads.sum(1).max()))
            score = np.where(leads, returns + discount_so_far * edges.values.reshape(target.shape), -np.inf)
            order = np.argsort(-score, axis=1, kind="stable")
            rank = np.argsort(order, axis=1)
            led = rank[row, np.maximum(target - known, 0)]  # the rank of the child that is met
            number = np.where(target < known, target, np.where(led < kept, known + led, -1))
            edges.nodes[:] = number.reshape(edges.nodes.shape)
            if kept == 0:
                break
            order = order[:, :kept]
            latents, live = children[row, order], leads[row, order]
            returns, discount_so_far = returns[row, order], discount_so_far[row, order]
            nodes, exists = np.concatenate([nodes, latents], 1), np.concatenate([exists, live], 1)
        return _best_returns(_Edges(*(np.concatenate(parts, 1) for parts in zip(*levels, strict=True))), horizon)


def _all_actions(space: spaces.Space[Any], width: int) -> NDArray[np.int64]:
    """Return every action (K, *shape) of a discrete space."""
    if isinstance(space, spaces.Discrete):
        sizes = [int(space.n)]
    elif isinstance(space, spaces.MultiBinary):
        sizes = [2] * math.prod(space.shape)
    else:
        assert isinstance(space, spaces.MultiDiscrete)
        sizes = [int(size) for size in space.nvec.flat]
    assert space.shape is not None
    count = math.prod(sizes)
    if count > width:
        raise ValueError(
            f"action_space={space} has {count} actions, more than width={width} nodes: give a larger width, or an "
            "environment with fewer actions"
        )
    return np.array(list(itertools.product(*[range(size) for size in sizes])), np.int64).reshape(-1, *space.shape)


def _expand(model: LatentModel, latents: Floats, live: Mask, actions: torch.Tensor, discount: float) -> _Edges:
    """Predict what follows every action at the nodes (B, F, D) that are ``live`` (B, F)."""
    at, features = every_pair(torch.from_numpy(latents[live]).to(actions.device), actions)
    predicted = model.predict(at, features)
    after = discount * predicted.continue_prob
    values = model.best_value(predicted.latents, actions)
    columns = torch.column_stack([predicted.latents, predicted.rewards, after, values]).cpu().numpy()
    table = np.zeros((*live.shape, len(actions), columns.shape[1]), np.float32)
    table[live] = columns.reshape(-1, *table.shape[2:])
    ends = np.full(table.shape[:3], -1, np.intp)
    return _Edges(table[..., :-3], table[..., -3], table[..., -2], table[..., -1], ends)


def _best_returns(edges: _Edges, horizon: int) -> Floats:
    """Return the value (B, K) of each action at node 0, by value iteration over all N nodes.

    After h rounds a node has its best return over h steps; one at depth d is asked for no more than horizon - d.
    """
    inside = edges.nodes >= 0
    row = np.arange(len(inside))[:, None, None]
    returns = edges.rewards + edges.discounts * edges.values
    for _ in range(horizon - 1):
        after = np.where(inside, returns.max(-1)[row, edges.nodes], edges.values)
        returns = edges.rewards + edges.discounts * after
    values: Floats = returns[:, 0]
    return values


def _meeting(nodes: Floats, exists: Mask, children: Floats, live: Mask, radius: Floats) -> Numbers:
    """Return what each child (B, C) meets: n for node n of (B, N), N + c for child c, if need be itself.

    A child meets nodes, and children before it that meet nothing, within its own radius.
    """
    count, known = children.shape[1], nodes.shape[1]
    slices = max(1, DISTANCES // (count * (known + count)))
    child = np.arange(count)
    earlier = child < child[:, None]
    target = np.empty(live.shape, np.intp)
    for part in (slice(start, start + slices) for start in range(0, len(nodes), slices)):
        distances = _distances(children[part], np.concatenate([nodes[part], children[part]], 1))
        to_nodes, between = distances[..., :known], distances[..., known:]
        to_nodes[np.broadcast_to(~exists[part, None], to_nodes.shape)] = np.inf
        free = live[part] & (to_nodes.min(-1) > radius[part])
        meets = (between <= radius[part, :, None]) & earlier & free[:, None]
        leads = free & ~meets.any(-1)
        to_leaders = np.where(meets & leads[:, None], between, np.inf)
        met = np.where(np.isfinite(to_leaders.min(-1)), to_leaders.argmin(-1), child)
        target[part] = np.where(free, known + met, to_nodes.argmin(-1))
    return target


def _distances(one: Floats, other: Floats) -> Floats:
    """Return all distances of latents (B, N, D) and (B, M, D), (B, N, M); those of equal latents are 0."""
    pair = torch.from_numpy(one), torch.from_numpy(other)
    distances: Floats = torch.cdist(*pair, compute_mode="donot_use_mm_for_euclid_dist").numpy()
    return distances
