"""The machine in a trained JEPA: clusters of latents, and the arrows that data and the transition put between them."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from jepa_extractor.checks import require_integer, require_strings, require_type
from jepa_extractor.data.episodes import Episode, join_episodes
from jepa_extractor.data.observations import Arrays, map_arrays
from jepa_extractor.jepa import JEPA
from jepa_extractor.machine.clusters import Trees, nearest_of, trees_of
from jepa_extractor.machine.machine import SAME_REWARD, Floats, Machine, Numbers
from jepa_extractor.networks.modules import evaluation_mode

ERROR = 0.01  # the share of an arrow's steps that may lead elsewhere, by errors of the encoder
SURE = 1e-3  # how improbable it must be, with such errors, that so many steps lead elsewhere
LASTS = 2.0  # the least ratio of a level that is taken though the data contradicts it
RARE = 2e-4  # the part of all observations below which a cluster joins its neighbour
PROTOTYPES = 20  # of each node, at most
PROBES = 50  # latents of a node from which the transition tells of an arrow that was never seen


class Recorded(Protocol):
    """What an ``AuditSet`` has: N observations of episodes, one episode after the other.

    Attributes:
        observations: ``(N, *observation shape)``, or a dict of these.
        actions: that left each, integers (N,), -1 at the last of an episode.
        rewards: of arriving at each, (N,), NaN at the first of an episode.
        ends: whether arriving there ended the episode, time limits not counted, bool (N,).
        steps: how many steps of the episode came before, (N,).
    """

    observations: Arrays
    actions: NDArray[Any]
    rewards: NDArray[np.float32]
    ends: NDArray[np.bool_]
    steps: NDArray[np.int64]


class NoClusters(ValueError):
    """Latents have no clusters, so there is no machine.

    Attributes:
        heights: the distances at which parts of the latents meet, largest first, (M - 1,).
    """

    def __init__(self, message: str, heights: Floats) -> None:
        super().__init__(message)
        self.heights = heights


@dataclass(frozen=True)
class _Steps:
    """N - E steps between N observations of E episodes."""

    left: Numbers
    actions: Numbers
    rewards: NDArray[np.float64]
    reward_labels: Numbers
    ends: NDArray[np.bool_]
    first: Numbers  # observations that begin episodes

    @property
    def distinct(self) -> NDArray[np.float64]:
        """The reward of each label."""
        sums = np.bincount(self.reward_labels, self.rewards)
        return np.asarray(sums / np.bincount(self.reward_labels))

    def outcomes(self, classes: Numbers, actions: int) -> tuple[Numbers, Numbers]:
        """Return the arrow (class, action) of each step, and what it led to (class, reward, end), as numbers."""
        arrows = classes[self.left] * actions + self.actions
        kinds = 2 * (self.reward_labels.max() + 1)
        return arrows, (classes[self.left + 1] * kinds + 2 * self.reward_labels + self.ends).astype(np.int64)


def learned_machine(
    jepa: JEPA,
    episodes: Iterable[Episode] | Recorded,
    action_names: Sequence[str] | None = None,
    pictures: int = 4,
    most: int = 600,
    seed: int = 0,
) -> Machine:
    """Return the machine that a JEPA has learned: its nodes are clusters of latents, and their number is found.

    1. Two trees join latents, by Ward's and by single linkage. Their levels that last, from one height to one that is
       1.25 times as high or more, are candidates. Among those that no arrow contradicts, the one with the largest
       ratio is taken. An arrow contradicts a level if more of its steps lead to another cluster, reward or end than
       errors in 1% of them explain (a binomial test, p < 0.001). Where every level is contradicted, the one with the
       largest ratio is taken, if that is at least 2; the machine's ``certainty`` then shows what is wrong.
    2. A cluster with less than 0.02% of the observations, or only one, joins the nearest other.
    3. An arrow leads where most steps led that were seen. Where none was seen, it leads where the transition says from
       most of the node's latents; its reward is that of all rewards seen which is nearest to what the head
       ``"reward"`` says, its end what the head ``"end"`` says, where there are such heads; ``counts`` is 0.

    100,000 observations take less than 30 s, most of it the encoder's.

    Args:
        jepa: trained, with discrete actions; it is not changed.
        episodes: such as those of ``random_episodes``; or an ``AuditSet``.
        action_names: by default the actions' numbers.
        pictures: observations kept of each node, at least 0.
        most: nodes at most, at least 2.
        seed: of the latents that are drawn into the trees, at least 0.

    Raises:
        NoClusters: a ``ValueError``: no level lasts, or only some that are contradicted, with ratios below 2; it has
            the distances.
        ValueError: an argument is out of range, actions are not discrete, or there are no steps.

    Warns:
        UserWarning: every level is contradicted.
    """
    require_type("jepa", jepa, JEPA, "that of a policy is model.policy.features_extractor.jepa")
    require_integer("pictures", pictures, least=0)
    require_integer("most", most, least=2)
    require_integer("seed", seed, least=0)
    space = jepa.action_space
    if not isinstance(space, spaces.Discrete):
        raise ValueError(f"the JEPA acts in {space}: a machine has an arrow for each action, so they must be Discrete")
    actions = int(space.n)
    if action_names is not None:
        require_strings("action_names", action_names)
    names = tuple(str(action) for action in (range(actions) if action_names is None else action_names))
    if len(names) != actions:
        raise ValueError(f"action_names={names} are {len(names)}, and there are {actions} actions: give one for each")
    observations, steps = _steps(episodes, actions)
    latents = jepa.encode(observations)
    if not np.isfinite(latents).all():
        raise ValueError("the JEPA's latents are not all finite: its weights are broken; train it anew")
    generator = np.random.default_rng(seed)
    trees = trees_of(latents, generator)
    classes, of_tree = _classes(trees, steps, most)
    successors, rewards, ends, counts, certainty = _seen(classes, steps, actions)
    members = [generator.permutation(np.flatnonzero(classes == node)) for node in range(classes.max() + 1)]
    unseen = np.argwhere(counts == 0)
    if len(unseen):
        _predict(jepa, latents, members, trees, of_tree, unseen, steps, (successors, rewards, ends, certainty))
    kept = [_spread(latents, rows[:500]) for rows in members]
    shown = None
    if pictures:
        rows = np.stack([np.resize(nodes, pictures) for nodes in members])
        shown = cast(Arrays, map_arrays(lambda array: array[rows], observations))
    starts, frequent = np.unique(classes[steps.first], return_counts=True)
    return Machine(
        successors,
        rewards,
        ends,
        counts,
        certainty,
        starts[np.argsort(-frequent, kind="stable")],
        tuple(str(node) for node in range(len(members))),
        names,
        latents[np.concatenate(kept)],
        np.repeat(np.arange(len(kept)), [len(rows) for rows in kept]),
        shown,
        jepa,
    )


def _steps(episodes: Iterable[Episode] | Recorded, actions: int) -> tuple[Arrays, _Steps]:
    """Return all observations, one episode after the other, and the steps between them."""
    if hasattr(episodes, "observations") and not isinstance(episodes, Episode):
        recorded = cast(Recorded, episodes)
        observations, taken, ends = recorded.observations, np.asarray(recorded.actions), np.asarray(recorded.ends)
        rewards, first = np.asarray(recorded.rewards, np.float64), np.flatnonzero(np.asarray(recorded.steps) == 0)
    else:
        joined = join_episodes(episodes)
        begins, observations, ends, first = joined.begins_step, joined.observations, joined.ends, joined.offsets[:-1]
        if joined.actions.ndim != 1 or joined.actions.dtype.kind not in "iu":
            raise ValueError(
                f"episodes have actions of shape {joined.actions.shape} and dtype {joined.actions.dtype}: give those "
                "of the JEPA's environment, one integer for each step"
            )
        taken, rewards = np.full(len(begins), -1), np.full(len(begins), np.nan)
        taken[begins], rewards[1:][begins[:-1]] = joined.actions, joined.rewards
    left = np.flatnonzero(taken != -1)
    if not len(left):
        raise ValueError("the episodes have no steps: give some that have")
    if taken.dtype.kind not in "iu" or taken[left].min() < 0 or taken[left].max() >= actions:
        raise ValueError(f"actions are not all in 0..{actions - 1}, the JEPA's: give episodes of its environment")
    rewards = rewards[left + 1]
    if not np.isfinite(rewards).all():
        raise ValueError("rewards are not all finite: leave out episodes with rewards that are unknown")
    distinct = np.unique(rewards)
    labels = np.append(0, np.cumsum(np.diff(distinct) > SAME_REWARD))[np.searchsorted(distinct, rewards)]
    return observations, _Steps(left, taken[left].astype(np.int64), rewards, labels, ends[left + 1], first)


def _classes(trees: Trees, steps: _Steps, most: int) -> tuple[Numbers, Numbers]:
    """Return the node of each observation, (N,), and of each latent of the trees, (M,)."""
    levels = trees.levels(most)
    for level in levels:
        of_tree = _joined(trees, trees.cut(level))
        if not _contradicted(of_tree[trees.nearest], steps):
            return of_tree[trees.nearest], of_tree
    if not levels or levels[0].ratio < LASTS:
        heights = trees.merges["single"][::-1, 2] if trees.merges else np.zeros(0)
        told = ", ".join(f"{height:.3g}" for height in heights[:8])
        raise NoClusters(
            f"the latents of {len(trees.nearest)} observations have no clusters, so there is no machine: their parts "
            f"meet at distances {told or 0}, without a gap; train longer, with a reward that tells classes apart, "
            "or audit the encoder",
            heights,
        )
    warnings.warn(
        "at every level of the trees of latents some arrow contradicts the data: the machine is not deterministic, see "
        "its certainty",
        stacklevel=3,
    )
    of_tree = _joined(trees, trees.cut(levels[0]))
    return of_tree[trees.nearest], of_tree


def _joined(trees: Trees, of_tree: Numbers) -> Numbers:
    """Return the clusters of the tree's latents, numbered without a gap, where rare ones have joined their nearest."""
    sizes = np.bincount(of_tree[trees.nearest], minlength=of_tree.max() + 1)
    rare = sizes < max(2.0, RARE * len(trees.nearest))
    if rare.any() and not rare.all():
        lost = rare[of_tree]
        of_tree = of_tree.copy()
        nearest, _ = nearest_of(trees.latents[lost], trees.latents[~lost])
        of_tree[lost] = of_tree[~lost][nearest]
    numbers: Numbers = np.unique(of_tree, return_inverse=True)[1]
    return numbers


def _contradicted(classes: Numbers, steps: _Steps) -> bool:
    """Return whether some arrow leads now here, now there."""
    from scipy.special import bdtrc

    actions = int(steps.actions.max()) + 1
    arrows, outcomes = steps.outcomes(classes, actions)
    _, of_arrow, share = _modes(arrows, outcomes, actions * (int(classes.max()) + 1))
    elsewhere = np.round((1 - share) * of_arrow)
    return bool(np.any((of_arrow > 0) & (bdtrc(elsewhere - 1, of_arrow, ERROR) < SURE)))


def _modes(arrows: Numbers, outcomes: Numbers, size: int) -> tuple[Numbers, Numbers, NDArray[np.float64]]:
    """Return for each of ``size`` arrows its commonest outcome, how often it was seen, and the outcome's share of that.

    An arrow that was never seen has outcome -1 and share 0.
    """
    pairs, counts = np.unique(np.stack([arrows, outcomes]), axis=1, return_counts=True)
    order = np.lexsort((pairs[1], -counts, pairs[0]))
    arrow, first = np.unique(pairs[0][order], return_index=True)
    commonest, share = np.full(size, -1, np.int64), np.zeros(size)
    seen = np.bincount(arrows, minlength=size).astype(np.int64)
    commonest[arrow] = pairs[1][order][first]
    share[arrow] = counts[order][first] / seen[arrow]
    return commonest, seen, share


Arrows = tuple[Numbers, Floats, NDArray[np.bool_], Floats]


def _seen(classes: Numbers, steps: _Steps, actions: int) -> tuple[Numbers, Floats, NDArray[np.bool_], Numbers, Floats]:
    """Return successors, rewards, ends, counts and certainty (K, A) of what was seen."""
    nodes = int(classes.max()) + 1
    arrows, outcomes = steps.outcomes(classes, actions)
    commonest, seen, share = _modes(arrows, outcomes, nodes * actions)
    kinds = 2 * (int(steps.reward_labels.max()) + 1)
    known = commonest >= 0
    shape = nodes, actions
    return (
        np.where(known, commonest // kinds, 0).reshape(shape),
        np.where(known, steps.distinct[np.maximum(commonest, 0) % kinds // 2], 0.0).reshape(shape),
        (known & (commonest % 2 == 1)).reshape(shape),
        seen.reshape(shape),
        share.reshape(shape),
    )


@torch.no_grad()
def _predict(
    jepa: JEPA,
    latents: NDArray[np.float32],
    members: list[Numbers],
    trees: Trees,
    of_tree: Numbers,
    unseen: Numbers,
    steps: _Steps,
    arrows: Arrows,
) -> None:
    """Fill in arrows (node, action) that were never seen by what the transition and the heads say."""
    successors, rewards, ends, certainty = arrows
    heads = dict(jepa.heads.items())
    reward, end, known = heads.get("reward"), heads.get("end"), steps.distinct
    with evaluation_mode(jepa):
        for node, action in unseen:
            at = torch.from_numpy(latents[members[node][:PROBES]]).to(jepa.device)
            arrived = jepa.predict(at, torch.full((len(at),), int(action)))
            nearest, _ = nearest_of(arrived.cpu().numpy(), trees.latents)
            votes = np.bincount(of_tree[nearest])
            successors[node, action] = votes.argmax()
            certainty[node, action] = votes.max() / len(at)
            if reward is not None:
                rewards[node, action] = known[np.abs(known - float(reward(arrived).median())).argmin()]
            if end is not None:
                ends[node, action] = bool(end(arrived).mean() > 0.5)


def _spread(latents: NDArray[np.float32], rows: Numbers) -> Numbers:
    """Return at most ``PROTOTYPES`` of ``rows``: one near the mean, then each the farthest from those before it."""
    held = latents[rows]
    chosen = [int(np.linalg.norm(held - held.mean(0), axis=1).argmin())]
    left = np.linalg.norm(held - held[chosen[0]], axis=1)
    while len(chosen) < PROTOTYPES and left.max() > 0:
        chosen.append(int(left.argmax()))
        left = np.minimum(left, np.linalg.norm(held - held[chosen[-1]], axis=1))
    return rows[chosen]
