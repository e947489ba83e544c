"""Machine: a finite automaton whose nodes are classes of observations and whose arrows are actions."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from jepa_extractor.bisimulation.deterministic import largest_bisimulation
from jepa_extractor.bisimulation.inputs import checked_successors
from jepa_extractor.checks import as_array, require_fraction, require_indices, require_sequence, require_type, shown
from jepa_extractor.data.observations import Arrays, map_arrays
from jepa_extractor.machine.clusters import Prototypes

if TYPE_CHECKING:
    from jepa_extractor.jepa import JEPA
    from jepa_extractor.machine.policy import MachinePlans, MachinePolicy
    from jepa_extractor.planning.model import LatentModel

Numbers = NDArray[np.int64]
Floats = NDArray[np.float64]
Goal = int | str | Sequence[int] | Sequence[str] | None

SAME_REWARD = 1e-4  # rewards no further apart are one


@dataclass(frozen=True)
class Machine:
    """N nodes, and an arrow from each for each of A actions.

    Attributes:
        successors: the node to which each arrow leads, int64 (N, A).
        rewards: of each arrow, float64 (N, A).
        ends: whether the arrow ends the episode, bool (N, A); where it leads counts no more then.
        counts: how often the arrow was seen, int64 (N, A); 0 where only the transition of a JEPA tells of it.
        certainty: in [0, 1], float64 (N, A): the share of what was seen that agrees with the arrow; where nothing was
            seen, the share of the node's latents from which the transition leads there.
        starts: the nodes in which episodes begin, int64 (S,), S at least 1.
        names: of the nodes, N different strings.
        action_names: of the actions, A different strings.
        prototypes: latents by which a node is known: that of the nearest; float32 (P, D), or ``None``.
        prototype_nodes: the node of each, ascending, int64 (P,), or ``None``. The first of a node is near its mean.
        pictures: observations of each node, ``(N, K, *observation shape)`` or a dict of these; or ``None``.
        jepa: whose encoder tells nodes apart; ``None`` where the machine is of no JEPA, or comes from a file.
    """

    successors: Numbers
    rewards: Floats
    ends: NDArray[np.bool_]
    counts: Numbers
    certainty: Floats
    starts: Numbers
    names: tuple[str, ...]
    action_names: tuple[str, ...]
    prototypes: NDArray[np.float32] | None = None
    prototype_nodes: Numbers | None = None
    pictures: Arrays | None = field(default=None, repr=False)
    jepa: "JEPA | None" = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        shape = checked_successors(self.successors).shape
        for name, kinds in (
            ("successors", "iu"),
            ("rewards", "f"),
            ("ends", "b"),
            ("counts", "iu"),
            ("certainty", "f"),
        ):
            array = getattr(self, name)
            if not isinstance(array, np.ndarray) or array.dtype.kind not in kinds:
                raise ValueError(
                    f"{name}={shown(array)} is not an array of its dtype: see Machine; from_mdp makes them"
                )
            if (given := np.shape(getattr(self, name))) != shape:
                raise ValueError(f"{name} has shape {given}, and successors {shape}: give one for each arrow")
        if not np.isfinite(self.rewards).all():
            raise ValueError("rewards are not all finite: give a number for each arrow")
        require_indices("starts", self.starts, shape[0])
        if not len(self.starts):
            raise ValueError(f"starts is empty: give at least one node, in 0..{shape[0] - 1}")
        for name, count in (("names", shape[0]), ("action_names", shape[1])):
            given = getattr(self, name)
            if not isinstance(given, tuple) or len(given) != count or len({str(one) for one in given}) != count:
                raise ValueError(f"{name}={shown(given)} is not a tuple of {count} different names")
        if (self.prototypes is None) != (self.prototype_nodes is None):
            raise ValueError("prototypes and prototype_nodes belong together: give both, or neither")
        if self.prototypes is not None and self.prototype_nodes is not None:
            require_indices("prototype_nodes", self.prototype_nodes, shape[0])
            require_type("prototypes", self.prototypes, np.ndarray, "give float32 (P, D)")
            if self.prototypes.ndim != 2 or len(self.prototypes) != len(self.prototype_nodes):
                raise ValueError(
                    f"prototypes has shape {np.shape(self.prototypes)} for {len(self.prototype_nodes)} prototype_nodes"
                    ": give a latent for each"
                )

    @classmethod
    def from_mdp(
        cls,
        successors: ArrayLike,
        rewards: ArrayLike,
        ends: ArrayLike | None = None,
        starts: ArrayLike | None = None,
        names: Sequence[object] | None = None,
        action_names: Sequence[object] | None = None,
    ) -> "Machine":
        """Return the machine of a deterministic MDP, such as ``class_mdp`` of CountingEnv.

        Args:
            successors: integers (N, A).
            rewards: of arriving at each state, (N,), or of each arrow, (N, A).
            ends: likewise, booleans; by default nothing ends.
            starts: states in which episodes begin, by default all.
            names: of the states, by default their numbers.
            action_names: by default the actions' numbers.

        Raises:
            ValueError: the shapes do not fit, or a number is out of range.
        """
        to = checked_successors(successors).astype(np.int64)
        nodes, actions = to.shape
        first = np.arange(nodes) if starts is None else as_array("starts", starts)
        for name, given in (("names", names), ("action_names", action_names)):
            if given is not None:
                require_sequence(name, given, "a name for each")
        return cls(
            to,
            _of_arrows("rewards", rewards, to, np.float64),
            _of_arrows("ends", np.zeros(nodes, np.bool_) if ends is None else ends, to, np.bool_),
            np.zeros(to.shape, np.int64),
            np.ones(to.shape),
            first.astype(np.int64) if first.dtype.kind in "iu" or not first.size else first,
            tuple(str(name) for name in (range(nodes) if names is None else names)),
            tuple(str(name) for name in (range(actions) if action_names is None else action_names)),
        )

    @property
    def live(self) -> NDArray[np.bool_]:
        """Whether an action may be taken at each node, bool (N,): it is a start, or a way leads there that goes on."""
        found = np.zeros(len(self.names), np.bool_)
        fresh = np.unique(self.starts)
        while len(fresh):
            found[fresh] = True
            reached = np.unique(self.successors[fresh][~self.ends[fresh]])
            fresh = reached[~found[reached]]
        return found

    def minimised(self) -> "Machine":
        """Return the machine whose nodes are the classes of the largest bisimulation of the nodes that can be reached.

        Nodes are one where no sequence of actions tells them apart by rewards (that differ by more than 1e-4) or ends.
        Those at which every way ends are one too. A class has the name and the pictures of its first node; what was
        seen of its nodes is added up.
        """
        live = self.live
        ended = np.zeros_like(live)
        ended[self.successors[live][self.ends[live]]] = True
        kept = np.flatnonzero(live | ended)
        to, values = self.as_mdp()
        classes = largest_bisimulation(to, values, tolerance=SAME_REWARD)[kept]
        first = kept[np.unique(classes, return_index=True)[1]]
        first.sort()  # classes are numbered by their first node
        new = np.full(len(self.names), -1, np.int64)
        for number, node in enumerate(first):
            new[kept[classes == classes[kept == node]]] = number
        actions = self.successors.shape[1]
        successors = np.where(live[first, None], new[self.successors[first]], np.arange(len(first))[:, None])
        counts = np.zeros(successors.shape, np.int64)
        agreeing = np.zeros(successors.shape)
        np.add.at(counts, new[kept], self.counts[kept])
        np.add.at(agreeing, new[kept], self.certainty[kept] * self.counts[kept])
        seen = counts > 0
        certainty = np.where(seen, agreeing / np.maximum(counts, 1), self.certainty[first])
        starts = new[self.starts]
        prototypes, nodes = self.prototypes, self.prototype_nodes
        if prototypes is not None and nodes is not None:
            inside = new[nodes] >= 0
            order = np.argsort(new[nodes[inside]], kind="stable")
            prototypes, nodes = prototypes[inside][order], new[nodes[inside]][order]
        return replace(
            self,
            successors=successors,
            rewards=values[first, :actions],
            ends=values[first, actions:] > 0,
            counts=counts,
            certainty=certainty,
            starts=starts[np.sort(np.unique(starts, return_index=True)[1])],
            names=tuple(self.names[node] for node in first),
            prototypes=prototypes,
            prototype_nodes=nodes,
            pictures=None if self.pictures is None else map_arrays(lambda array: array[first], self.pictures),
        )

    def as_mdp(self) -> tuple[Numbers, Floats]:
        """Return successors (N + 1, A) and values (N + 1, 2A), as the bisimulations take them.

        A node's values are the rewards and the ends of its arrows. The last node is where arrows that end lead; it is
        never left, and has no reward, like nodes at which no action may be taken.
        """
        nodes, actions = self.successors.shape
        live = self.live[:, None]
        to = np.where(live & ~self.ends, self.successors, nodes)
        values = np.where(live, np.column_stack([self.rewards, self.ends.astype(np.float64)]), 0.0)
        return np.vstack([to, np.full((1, actions), nodes)]), np.vstack([values, np.zeros((1, 2 * actions))])

    def values(self, goal: Goal = None, discount: float = 0.99) -> Floats:
        """Return the largest discounted return from each node, (N,); see ``action_values``."""
        best: Floats = self.action_values(goal, discount).max(1)
        return best

    def action_values(self, goal: Goal = None, discount: float = 0.99) -> Floats:
        """Return the largest discounted return after each action at each node, (N, A), by value iteration.

        Args:
            goal: a node, or several, by number or name: arriving there is worth 1, and ends the episode. By default
                what is worth something is the machine's own rewards.
            discount: of a reward one step later, in [0, 1]; below 1 where the machine's own rewards can be had forever.

        Raises:
            ValueError: ``goal`` is no node; ``discount`` is out of range; or values grow without end.
        """
        require_fraction("discount", discount)
        rewards, ends = self.rewards, self.ends
        if goal is not None:
            arrives = np.isin(self.successors, self.nodes(goal))
            rewards, ends = arrives.astype(np.float64), self.ends | arrives
        values = np.zeros(len(self.names))
        for _ in range(MOST_SWEEPS):
            action_values: Floats = rewards + discount * np.where(ends, 0.0, values[self.successors])
            best = action_values.max(1)
            if np.abs(best - values).max() <= 1e-10:
                return action_values
            values = best
        raise ValueError(f"discount={discount} lets values grow without end: give one below 1")

    def policy(self, goal: Goal = None, discount: float = 0.99, jepa: "JEPA | None" = None) -> "MachinePolicy":
        """Return a policy with Stable-Baselines3's ``predict`` that takes the best action at the node it sees.

        Args:
            goal: as for ``action_values``.
            discount: as for ``action_values``.
            jepa: the encoder by which nodes are known; by default that of the machine.

        Raises:
            ValueError: as ``action_values``; or there is no JEPA, or the machine has no prototypes.
        """
        from jepa_extractor.machine.policy import MachinePolicy

        encoder = self.encoder(jepa)
        return MachinePolicy(self.known_by(encoder.action_space), self.action_values(goal, discount), encoder)

    def over(self, model: "LatentModel", horizon: int, discount: float) -> "MachinePlans":
        """Return what plans ``horizon`` steps ahead in the machine, with the rewards and ends that ``model`` predicts.

        So ``LatentPlanner(jepa, search=machine)`` acts by the machine; ``jepa`` may have a new goal from ``retarget``.

        Raises:
            ValueError: the machine has no prototypes, or they or the actions are not those of the model.
        """
        from jepa_extractor.machine.policy import MachinePlans

        return MachinePlans(self.known_by(model.action_space), self.successors, model, horizon, discount)

    def encoder(self, jepa: "JEPA | None" = None) -> "JEPA":
        """Return ``jepa``, or that of the machine; raise ``ValueError`` where it cannot tell the machine's nodes."""
        jepa = self.jepa if jepa is None else jepa
        if jepa is not None:
            from jepa_extractor.jepa import JEPA

            require_type("jepa", jepa, JEPA, "give the JEPA that it was made from")
        if jepa is None:
            raise ValueError(
                "jepa=None, and the machine has none, as one from a file: give the JEPA that it was made from"
            )
        width = self.known_by(jepa.action_space).latents.shape[1]
        if width != jepa.latent_dim:
            raise ValueError(
                f"jepa has latents of width {jepa.latent_dim}, and the machine's prototypes {width}: give the JEPA "
                "that it was made from"
            )
        return jepa

    def known_by(self, space: spaces.Space[Any]) -> Prototypes:
        """Return by what the nodes are known, to one who acts in ``space``.

        Raises:
            ValueError: the machine has no prototypes, or other actions.
        """
        if self.prototypes is None or self.prototype_nodes is None:
            raise ValueError("the machine has no prototypes by which to know its nodes: make it by learned_machine")
        if not isinstance(space, spaces.Discrete) or space.n != self.successors.shape[1]:
            raise ValueError(
                f"jepa acts in {space}, and the machine has {self.successors.shape[1]} actions: give the JEPA that it "
                "was made from"
            )
        return Prototypes(self.prototypes, self.prototype_nodes)

    def nodes(self, goal: int | str | Sequence[int] | Sequence[str]) -> Numbers:
        """Return the numbers of nodes given by number or name.

        Raises:
            ValueError: there is no such node.
        """
        if not isinstance(goal, int | str | np.integer):
            require_sequence("goal", goal, "a node by number or name, or a list of these")
        wanted = [goal] if isinstance(goal, int | str | np.integer) else list(goal)
        numbers = []
        for one in wanted:
            if isinstance(one, str) and one in self.names:
                numbers.append(self.names.index(one))
            elif isinstance(one, int | np.integer) and not isinstance(one, bool) and 0 <= one < len(self.names):
                numbers.append(int(one))
            else:
                known = ", ".join(self.names[:20]) + (", ..." if len(self.names) > 20 else "")
                raise ValueError(
                    f"goal={shown(one)} is no node: give a number in 0..{len(self.names) - 1}, or one of {known}"
                )
        if not numbers:
            raise ValueError("goal is empty: give at least one node")
        return np.array(numbers, np.int64)

    def renamed(self, names: Sequence[object]) -> "Machine":
        """Return the machine with other names of its nodes, N different ones."""
        return replace(self, names=tuple(str(name) for name in names))


MOST_SWEEPS = 100_000


def _of_arrows(name: str, given: ArrayLike, successors: Numbers, kind: type[np.generic]) -> NDArray[Any]:
    """Return what is given for arrivals (N,), or for arrows (N, A), for arrows."""
    array = as_array(name, given)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name}={shown(given)} are not numbers: give one for each state, or each arrow")
    array = array.astype(kind)
    if array.shape == (len(successors),):
        return array[successors]
    if array.shape != successors.shape:
        raise ValueError(
            f"{name} has shape {array.shape}, and successors {successors.shape}: give one for each state, or each arrow"
        )
    return array
