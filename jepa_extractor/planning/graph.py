"""Search over discrete actions: a graph of latents, breadth first, and the best sum of rewards in it."""

from typing import NamedTuple

import torch

from jepa_extractor.planning.model import LatentModel, every_pair

DISTANCES = 2**24  # held at once: 64 MiB


class _Edges(NamedTuple):
    """The actions of F nodes of each of B graphs, each field (B, F, K).

    Attributes:
        rewards: predicted.
        discounts: of what comes after: the discount factor times the probability of going on.
        nodes: number of the node that the action leads to; -1 where it leads out of the graph.
        values: of the latent that the action leads to, if it leads out of the graph.
    """

    rewards: torch.Tensor
    discounts: torch.Tensor
    nodes: torch.Tensor
    values: torch.Tensor


def search(
    model: LatentModel,
    roots: torch.Tensor,
    actions: torch.Tensor,
    horizon: int,
    discount: float,
    width: int,
    tolerance: float,
) -> torch.Tensor:
    """Return the value (B, K) of each action at each of ``roots`` (B, D): the best that ``horizon`` steps can earn.

    A value is the discounted sum of predicted rewards, and the best Q of the last latent if there is a Q head. Each root
    has a graph of its own. A latent that an action leads to is a new node, unless it meets one: then the action leads
    to that node, which is expanded once. A node z has its own scale, the largest distance |T(z, a) - z| over actions: what
    follows it meets nodes within ``tolerance`` of that. Where nothing meets, the graph is the tree of all sequences.

    Args:
        model: what predicts.
        roots: latents (B, D).
        actions: features of all actions, (K, A).
        horizon: steps H, at least 1.
        discount: of a reward one step later, in [0, 1].
        width: new nodes kept at each depth, those of the highest return so far; the others end the search.
        tolerance: at least 0; with 0 only equal latents meet.
    """
    size, dim = roots.shape
    nodes = roots[:, None]  # (B, N, D), as are all nodes so far
    exists = torch.ones(size, 1, dtype=torch.bool, device=roots.device)  # (B, N): graphs have different sizes
    new = nodes, exists  # the nodes to expand
    returns = torch.zeros_like(exists, dtype=roots.dtype)  # of the way to them
    reach = torch.ones_like(returns)  # what a reward there counts at the root
    levels: list[_Edges] = []
    for depth in range(horizon):
        latents, live = new
        predicted = model.predict(*every_pair(latents[live], actions))

        def spread(values: torch.Tensor, live: torch.Tensor = live) -> torch.Tensor:
            """Put values of the live nodes' actions, (n * K, ...), in their places, (B, F, K, ...)."""
            spread = values.new_zeros((*live.shape, len(actions), *values.shape[1:]))
            spread[live] = values.reshape(-1, *spread.shape[2:])
            return spread

        arrived = spread(predicted.latents)
        edges = _Edges(
            spread(predicted.rewards),
            discount * spread(predicted.going_on),
            torch.full(arrived.shape[:3], -1, device=roots.device),
            spread(model.best_value(predicted.latents, actions)),
        )
        levels.append(edges)
        if depth == horizon - 1:
            break
        children = arrived.flatten(1, 2)  # (B, C, D)
        scale = (arrived - latents[:, :, None]).norm(dim=-1).amax(-1, keepdim=True)
        radius = (tolerance * scale).expand(-1, -1, len(actions)).flatten(1)
        alive = live.repeat_interleave(len(actions), 1)
        target = _meeting(nodes, exists, children, alive, radius)
        returns = (returns[:, :, None] + reach[:, :, None] * edges.rewards).flatten(1)
        reach = (reach[:, :, None] * edges.discounts).flatten(1)
        # children that meet nothing become nodes, best first
        known = nodes.shape[1]
        lead = alive & (target == known + torch.arange(children.shape[1], device=roots.device))
        score = torch.where(lead, returns + reach * edges.values.flatten(1), -torch.inf)
        kept = min(width, int(lead.sum(1).max()))
        order = score.argsort(dim=1, descending=True, stable=True)
        rank = torch.empty_like(order).scatter_(
            1, order, torch.arange(order.shape[1], device=roots.device).expand_as(order)
        )
        number = torch.where(rank < kept, known + rank, -1)
        led = number.gather(1, (target - known).clamp(min=0))  # the number of the child that is met
        edges.nodes.copy_(torch.where(target < known, target, led).unflatten(1, edges.nodes.shape[1:]))
        if kept == 0:
            break
        order = order[:, :kept]
        new = children.gather(1, order[:, :, None].expand(-1, -1, dim)), lead.gather(1, order)
        returns, reach = returns.gather(1, order), reach.gather(1, order)
        nodes, exists = torch.cat([nodes, new[0]], 1), torch.cat([exists, new[1]], 1)
    edges = _Edges(*(torch.cat(parts, 1) for parts in zip(*levels, strict=True)))
    return _best_returns(edges, model.best_value(nodes.flatten(0, 1), actions).reshape(exists.shape), horizon)


def _best_returns(edges: _Edges, values: torch.Tensor, horizon: int) -> torch.Tensor:
    """Return the value (B, K) of each action at node 0, by value iteration from ``values`` (B, N) after the horizon.

    After h rounds a node has its best return over h steps; one at depth d is asked for no more than horizon - d.
    """
    inside = edges.nodes >= 0
    at = edges.nodes.clamp(min=0).flatten(1)
    for _ in range(horizon):
        after = torch.where(inside, values.gather(1, at).reshape(inside.shape), edges.values)
        returns = edges.rewards + edges.discounts * after
        values = returns.amax(-1)
    return returns[:, 0]


def _meeting(
    nodes: torch.Tensor, exists: torch.Tensor, children: torch.Tensor, alive: torch.Tensor, radius: torch.Tensor
) -> torch.Tensor:
    """Return what each child (B, C) meets: the number n of the nearest node (B, N), N + c for child c, if need be itself.

    A child meets nodes, and children before it that meet nothing, within its own radius.
    """
    count, known = children.shape[1], nodes.shape[1]
    step = max(1, DISTANCES // (count * (known + count)))
    earlier = torch.ones(count, count, dtype=torch.bool, device=nodes.device).tril(-1)
    own = known + torch.arange(count, device=nodes.device)
    targets = []
    for part in (slice(start, start + step) for start in range(0, len(nodes), step)):
        within = radius[part, :, None]
        # exact distances: by matrix products those of equal latents would not be 0
        to_nodes = torch.cdist(children[part], nodes[part], compute_mode="donot_use_mm_for_euclid_dist")
        nearest, node = to_nodes.masked_fill(~exists[part, None], torch.inf).min(-1)
        free = alive[part] & (nearest > radius[part])
        between = torch.cdist(children[part], children[part], compute_mode="donot_use_mm_for_euclid_dist")
        meets = (between <= within) & earlier & free[:, None]
        leads = free & ~meets.any(-1)
        distance, child = between.masked_fill(~(meets & leads[:, None]), torch.inf).min(-1)
        targets.append(torch.where(free, torch.where(distance.isfinite(), known + child, own), node))
    return torch.cat(targets)
