"""Search over discrete actions: a graph of latents, breadth first, and the best sum of rewards in it."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from jepa_extractor.planning.model import LatentModel, every_pair

Floats = NDArray[np.float32]
Numbers = NDArray[np.intp]
Mask = NDArray[np.bool_]

DISTANCES = 2**24  # held at once: 64 MiB
STILL = 0.1  # the smallest scale of a node, relative to the longest step of the graph


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


def search(
    model: LatentModel,
    roots: torch.Tensor,
    actions: torch.Tensor,
    horizon: int,
    discount: float,
    width: int,
    tolerance: float,
) -> Floats:
    """Return the value (B, K) of each action at each of ``roots`` (B, D): the best that ``horizon`` steps can earn.

    A value is the discounted sum of predicted rewards, and the best Q of the last latent if there is a Q head. Each
    root has a graph of its own. What an action leads to is a new node, unless it meets one: then the action leads to
    that node, which is expanded once. A node z has its own scale, the largest distance |T(z, a) - z| over actions: what
    follows it meets nodes within ``tolerance`` of that. Where no action moves, as after an end, that distance is only
    the error of T, so the scale is at least a tenth of the graph's longest step. Where nothing meets, the graph is the
    tree of all sequences.

    The networks run where they are; the rest, many steps on small arrays, is NumPy's: one observation costs half.

    Args:
        model: what predicts.
        roots: latents (B, D).
        actions: features of all actions, (K, A).
        horizon: steps H, at least 1.
        discount: of a reward one step later, in [0, 1].
        width: new nodes kept at each depth, those of the highest return so far; at the others the search ends.
        tolerance: at least 0; with 0 only equal latents meet.
    """
    latents = roots.cpu().numpy()[:, None]  # of the nodes to expand, (B, F, D)
    live = np.ones(latents.shape[:2], np.bool_)  # (B, F): graphs have different sizes
    nodes, exists = latents, live  # all so far, (B, N, D) and (B, N)
    returns = np.zeros(live.shape, np.float32)  # of the way to the nodes to expand
    reach = np.ones(live.shape, np.float32)  # what a reward there counts at the root
    longest = np.zeros((len(live), 1), np.float32)  # step in the graph so far
    levels = []
    row = np.arange(len(live))[:, None]
    for depth in range(1, horizon + 1):
        edges = _expand(model, latents, live, actions, discount)
        levels.append(edges)
        if depth == horizon:
            break
        children = edges.latents.reshape(len(live), -1, latents.shape[-1])  # (B, C, D)
        steps = np.where(live, np.linalg.norm(edges.latents - latents[:, :, None], axis=-1).max(-1), 0.0)
        longest = np.maximum(longest, steps.max(1, keepdims=True))
        radius = np.repeat(tolerance * np.maximum(steps, STILL * longest), len(actions), axis=1)
        target = _meeting(nodes, exists, children, np.repeat(live, len(actions), axis=1), radius)
        returns = (returns[:, :, None] + reach[:, :, None] * edges.rewards).reshape(target.shape)
        reach = (reach[:, :, None] * edges.discounts).reshape(target.shape)
        # children that meet nothing become nodes, best first
        known, child = nodes.shape[1], np.arange(target.shape[1])
        leads = target == known + child
        kept = min(width, int(leads.sum(1).max()))
        score = np.where(leads, returns + reach * edges.values.reshape(target.shape), -np.inf)
        order = np.argsort(-score, axis=1, kind="stable")
        rank = np.argsort(order, axis=1)
        led = rank[row, np.maximum(target - known, 0)]  # the rank of the child that is met
        number = np.where(target < known, target, np.where(led < kept, known + led, -1))
        edges.nodes[:] = number.reshape(edges.nodes.shape)
        if kept == 0:
            break
        order = order[:, :kept]
        latents, live = children[row, order], leads[row, order]
        returns, reach = returns[row, order], reach[row, order]
        nodes, exists = np.concatenate([nodes, latents], 1), np.concatenate([exists, live], 1)
    return _best_returns(_Edges(*(np.concatenate(parts, 1) for parts in zip(*levels, strict=True))), horizon)


def _expand(model: LatentModel, latents: Floats, live: Mask, actions: torch.Tensor, discount: float) -> _Edges:
    """Predict what follows every action at the nodes (B, F, D) that are ``live`` (B, F)."""
    at, features = every_pair(torch.from_numpy(latents[live]).to(actions.device), actions)
    predicted = model.predict(at, features)
    after = discount * predicted.going_on
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
