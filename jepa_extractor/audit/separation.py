"""What tells observations apart, and why: what follows them in data, or the classes that they belong to."""

from collections.abc import Hashable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jepa_extractor.checks import shown

Indices = NDArray[np.int64]
MOST_STATES = 1_000  # of an MDP whose bisimulation metric is computed, or that is put together from episodes
ENOUGH = 10  # observations of a class, if some of them were seen once
MOST_REWARDS = 20  # different ones that are no sign of real numbers


class Classes(NamedTuple):
    """Classes of observations that are known, those seen at least twice.

    Attributes:
        label: what a class is called, such as "count".
        members: the class of each observation, an index into ``names``, or -1, (N,).
        names: of the c classes, in ascending order, (c,).
        required: whether two must be kept apart, bool (c, c).
        distances: their bisimulation metric, (c, c), if it is known.
        rare: names of classes that were seen too seldom to be sure of them.
    """

    label: str
    members: Indices
    names: NDArray[np.generic]
    required: NDArray[np.bool_]
    distances: NDArray[np.float64] | None
    rare: list[Any]


class ByFuture:
    """Observations must be kept apart if recorded episodes tell them apart; see ``EmpiricalBisimulation``.

    A step shows a reward, and whether it ended the episode. By ``auxiliary="reward"`` that is the value of the
    observation at which the step arrived; the first of an episode has none. By ``"action_reward"`` it belongs to the
    observation that the step left and to the action, and says nothing of where it arrived.

    Where few observations are seen again and again, and what follows one and an action is always the same, all that was
    seen of an observation is put together (by "reward" alone): then they are states, of a known MDP.

    Args:
        actions: the action that left each observation, integers (N,), -1 at the last of an episode; the observation to
            which it led is the next one.
        rewards: of arriving at each observation, (N,), NaN at the first of an episode.
        ends: whether arriving there ended the episode, time limits not counted, (N,).
        contents: a number for each observation, the same where all their numbers are the same, (N,).
        action_names: a name for each action.
        tolerance: rewards no further apart than this are the same; see ``group_values``. ``None``: 0, or where rewards
            are real numbers, a hundredth of their range.
        auxiliary: ``"reward"`` or ``"action_reward"``.

    Attributes:
        tolerance: the one taken.
        is_chosen: whether it was taken from the data, and is not 0.

    Raises:
        ValueError: the data tells no pair apart.
    """

    def __init__(
        self,
        actions: Indices,
        rewards: NDArray[np.floating[Any]],
        ends: NDArray[np.bool_],
        contents: Indices,
        action_names: Sequence[str],
        tolerance: float | None,
        auxiliary: str,
    ) -> None:
        from jepa_extractor.bisimulation import EmpiricalBisimulation

        self.is_chosen = tolerance is None and _are_real(rewards)
        if tolerance is None:
            tolerance = float(np.nanmax(rewards) - np.nanmin(rewards)) / 100 if self.is_chosen else 0.0
        self.tolerance, self.auxiliary = tolerance, auxiliary
        self._actions, self._rewards, self._ends, self._names = actions, rewards, ends, action_names
        acted = np.flatnonzero(actions >= 0)
        steps = len(acted)
        if not steps:
            raise ValueError("episodes hold no step, so nothing tells observations apart: give episodes with steps")
        self._nodes = np.arange(len(actions))
        self._values = np.stack([rewards, ends * (2 * tolerance + 1)], axis=1)  # ends differ by more than the tolerance
        self._successors = np.full((len(actions), len(action_names)), -1, np.int32)
        self._successors[acted, actions[acted]] = acted + 1
        self._are_states = auxiliary == "reward" and self._joined(contents, acted)
        self._relation: EmpiricalBisimulation | _SameActions = (
            EmpiricalBisimulation(self._successors, self._values, tolerance)
            if auxiliary == "reward"
            else _SameActions(actions, self._successors, self._values, tolerance)
        )
        if self._relation.count_pairs() == 0:
            same = (
                f"all {steps:,} steps had the same reward, {np.nanmin(rewards):g}, and "
                f"{'all' if ends.any() else 'none'} ended an episode"
                if auxiliary == "reward"
                else f"all of the {steps:,} steps that had the same action had the same reward and end"
            )
            if tolerance > 0:
                same = f"by tolerance={tolerance:.3g}, {same}"
            raise ValueError(
                f"{same}, so nothing tells observations apart. With 95% confidence, fewer than one in "
                f"{max(1, steps // 3):,} steps shows anything else: record ten times as many, in longer episodes or "
                "under other actions; or give classes, by AuditSet.from_classes"
            )
        self._to_come = _steps_to_come(actions)

    def _joined(self, contents: Indices, acted: Indices) -> bool:
        """Put together what was seen of each observation, if that is always the same; return whether it is."""
        count = int(contents.max()) + 1
        if count > min(MOST_STATES, len(contents) / 4):
            return False
        values = np.full((count, 2), np.nan)
        arrived = ~np.isnan(self._rewards)
        values[contents[arrived]] = self._values[arrived]
        successors = np.full((count, len(self._names)), -1, np.int32)
        successors[contents[acted], self._actions[acted]] = contents[acted + 1]
        if (np.abs(values[contents[arrived]] - self._values[arrived]) > self.tolerance).any() or (
            successors[contents[acted], self._actions[acted]] != contents[acted + 1]
        ).any():
            return False
        self._nodes, self._values, self._successors = contents, values, successors
        return True

    def differ(self, left: Indices, right: Indices) -> NDArray[np.bool_]:
        """Return whether observations ``left`` (M,) and ``right`` (M,) are told apart, pair by pair: (M,)."""
        return self._relation.distinguishable_pairs(self._nodes[np.stack([left, right], axis=1)])

    def _seen_after(self, row: int, actions: Sequence[int]) -> tuple[float, bool]:
        """Return the reward and end of arriving where ``actions`` lead from observation ``row``."""
        node = int(self._nodes[row])
        for action in actions:
            node = int(self._successors[node, action])
        reward, end = self._values[node]
        return float(reward), bool(end)

    def _witness(self, left: int, right: int) -> list[int] | None:
        return self._relation.witness(int(self._nodes[left]), int(self._nodes[right]))

    def why(self, left: int, right: int) -> str:
        """Return the actions after which rewards or ends differed, and these."""
        witness = self._witness(left, right)
        if witness is None:
            return "no data tells them apart"
        begin = ", ".join(self._names[action] for action in witness) or "on arrival"
        (one, one_ends), (other, other_ends) = (self._seen_after(row, witness) for row in (left, right))
        if abs(one - other) <= self.tolerance and one_ends != other_ends:
            which = ("left", "right") if one_ends else ("right", "left")
            return f"{begin}: the episode of the {which[0]} one is over, that of the {which[1]} one is not"
        if one > other == 0:
            return f"{begin}: the left one is rewarded ({one:g}), the right one is not (0)"
        if other > one == 0:
            return f"{begin}: the left one is not rewarded (0), the right one is ({other:g})"
        return f"{begin}: the reward of the left one is {one:g}, that of the right one {other:g}"

    def kind(self, left: int, right: int) -> Hashable:
        """Return the actions after which rewards or ends differed, and what they were."""
        witness = tuple(self._witness(left, right) or ())
        return witness, frozenset(self._seen_after(row, witness) for row in (left, right))

    def coverage(self) -> str:
        """Return the share of pairs that data tells apart, what it cannot show, and how much data would show more.

        A sequence counts as seen when p^2 >= 1.5 / N, where p is the share of the N observations that it follows: of
        two merged classes that hold a tenth of the observations each, 20 neighbours of each observation then show
        2 N p^2 = 3 differences, and so at least one with 95% probability.
        """
        text = ""
        if self.is_chosen:
            text = (
                f"Rewards are real numbers: those at most {self.tolerance:.3g} apart, a hundredth of their range, or "
                "joined by a chain of such, count as the same (tolerance sets another). "
            )
        n, k = len(self._to_come), len(self._names)
        size = len(self._values)
        share = self._relation.count_pairs() / (size * (size - 1) / 2)
        if self._are_states:
            tried, actions = self._tried()
            return (
                f"{text}Data tells {share:.2%} of the pairs of {size:,} different observations apart. "
                f"{tried:,} of their {actions:,} actions were tried."
            )
        more = self.actions_seen() + 1
        both, in_long = self.both_take(more), int(np.ceil(1.5 * float(k) ** (2 * more)))
        mend = ["longer episodes"] if in_long <= n else [f"about {in_long:,} observations in long episodes"]
        mend += [f"about {np.ceil(1.5 / both):,.0f} in episodes such as these"] if both else []
        often = f"one of {1 / both:,.0f} pairs" if both else "no pair"
        return (
            f"{text}Data tells {share:.2%} of the pairs of {n:,} observations apart. A merge of observations that "
            f"first differ after {_actions(more)} or more may go unseen: a certain sequence of {more} follows both "
            f"in {often}. To see {more}, record {', or '.join(mend)}."
        )

    def classes(self, contents: Indices) -> Classes | None:
        """Return the observations that are states as classes, each by the number of its first; else ``None``."""
        if not self._are_states:
            return None
        _, first, counts = np.unique(contents, return_index=True, return_counts=True)
        often = np.flatnonzero(counts > 1)
        order = often[np.argsort(first[often])]
        members = np.full(len(counts), -1)
        members[order] = np.arange(len(order))
        left, right = (part.ravel() for part in np.meshgrid(order, order, indexing="ij"))
        required = self._relation.distinguishable_pairs(np.stack([left, right], axis=1))
        shape = (len(order), len(order))
        rare = np.sort(first[counts < 2]).tolist()
        return Classes("observation", members[contents], first[order], required.reshape(shape), None, rare)

    def untried(self) -> str:
        """Return in words how many actions of the states were never tried, "" if all were."""
        tried, actions = self._tried()
        return "" if tried == actions else f"{actions - tried:,} of {actions:,} actions were never tried"

    def labels(self) -> Indices:
        """Return what arriving at each observation earned, (N,): the same number for the same, -1 where unknown."""
        from jepa_extractor.bisimulation.inputs import group_values

        known = ~np.isnan(self._rewards)
        ends = self._ends * (2 * self.tolerance + 1)
        labels = np.full(len(known), -1)
        labels[known] = group_values(np.stack([self._rewards, ends], axis=1)[known], self.tolerance)[0]
        return labels

    def _tried(self) -> tuple[int, int]:
        """Return how many actions of states were tried, and how many there are where an episode goes on."""
        goes_on = ~(self._values[:, 1] > 0)
        return int((self._successors[goes_on] >= 0).sum()), int(goes_on.sum()) * len(self._names)

    def actions_seen(self) -> int:
        """Return the length of the longest sequences of actions after which differences are seen; see ``coverage``."""
        seen = 0
        while self.both_take(seen + 1) >= 1.5 / len(self._to_come):
            seen += 1
        return seen

    def both_take(self, length: int) -> float:
        """Return the share of pairs of which both are followed by a certain sequence of evenly drawn actions."""
        return float((np.mean(self._to_come >= length) / float(len(self._names)) ** length) ** 2)


class _SameActions:
    """Like ``EmpiricalBisimulation``, but that values belong to steps: to the observation left, and its action.

    Two observations are distinguishable if the same action was taken at both and the steps differ: in their values, or
    because what they led to is distinguishable.
    """

    def __init__(self, actions: Indices, successors: NDArray[Any], values: NDArray[Any], tolerance: float) -> None:
        from jepa_extractor.bisimulation import EmpiricalBisimulation

        # A step is the row where it arrived, and its action is a value of it. No step arrived at an episode's first.
        of_steps = np.column_stack([values, np.roll(actions, 1) * (2 * tolerance + 1)])
        successors = np.where(np.isnan(values).any(axis=1, keepdims=True), -1, successors)
        self._actions, self._steps = actions, EmpiricalBisimulation(successors, of_steps, tolerance)

    def distinguishable_pairs(self, pairs: Indices) -> NDArray[np.bool_]:
        left, right = self._actions[pairs].T
        apart = (left == right) & (left >= 0)
        apart[apart] = self._steps.distinguishable_pairs(pairs[apart] + 1)
        return np.asarray(apart)

    def witness(self, i: int, j: int) -> list[int] | None:
        if not self.distinguishable_pairs(np.array([[i, j]]))[0]:
            return None
        return [int(self._actions[i]), *(self._steps.witness(i + 1, j + 1) or ())]

    def count_pairs(self) -> int:
        often = np.bincount(self._actions[self._actions >= 0])
        of_different_actions = (often.sum() ** 2 - (often**2).sum()) // 2
        return self._steps.count_pairs() - int(of_different_actions)


class ByClass:
    """Observations must be kept apart if their classes are known and differ.

    Args:
        label: what the states are called, such as "count".
        states: the number that names each observation's state, (N,), NaN where unknown. Without ``mdp``, states are
            classes.
        mdp: successors (n, k) and values (n,) or (n, m) of the states 0..n-1; the classes are those of its largest
            bisimulation.
        action_names: a name for each action.

    Attributes:
        members: the class of each observation, integers (N,), -1 where unknown.
        names: what each class is called: the number of its only or first state.
        counts: how many observations are of each class, integers (c,).

    Raises:
        ValueError: fewer than two classes were seen, or a state is none of ``mdp``.
    """

    def __init__(
        self,
        label: str,
        states: NDArray[np.floating[Any]],
        mdp: tuple[ArrayLike, ArrayLike] | None,
        action_names: Sequence[str],
    ) -> None:
        require_mdp(mdp)
        self.label, self.mdp, self._states, self._action_names = label, mdp, states, action_names
        known = np.isfinite(states)
        if not known.any():
            raise ValueError(f"label={shown(label)} is unknown at every observation: name one whose number is known")
        self.members = np.full(len(states), -1, np.int64)
        if mdp is None:
            self.names, self.members[known] = np.unique(states[known], return_inverse=True)
            if np.array_equal(self.names, np.rint(self.names)):
                self.names = self.names.astype(np.int64)
        else:
            from jepa_extractor.bisimulation import largest_bisimulation

            of_state = largest_bisimulation(*mdp)
            if len(action_names) != (count := np.shape(mdp[0])[1]):
                self._action_names = [f"action {number}" for number in range(count)]
            numbers = states[known].astype(np.int64)
            if not np.array_equal(numbers, states[known]):
                raise ValueError(f"info[{label!r}] is not always an integer, and so names no state: leave mdp out")
            if numbers.min() < 0 or numbers.max() >= len(of_state):
                raise ValueError(
                    f"info[{label!r}] reaches from {numbers.min()} to {numbers.max()}, but mdp has states 0 to "
                    f"{len(of_state) - 1}: give the mdp of this environment"
                )
            self.members[known] = of_state[numbers]
            self.names = np.unique(of_state, return_index=True)[1]
        self.counts = np.bincount(self.members[known], minlength=len(self.names))
        if np.count_nonzero(self.counts) < 2:
            raise ValueError(
                f"all {known.sum():,} observations are of one class by {label!r}, so nothing must stay apart: give "
                "more observations, or another label"
            )

    @cached_property
    def distances(self) -> NDArray[np.float64] | None:
        """The bisimulation metric of the c classes of ``mdp``, (c, c); ``None`` without one, or if c is above 1,000."""
        if self.mdp is None or len(self.names) > MOST_STATES:
            return None
        return exact_classes(*self.mdp)[1]

    def classes(self, contents: Indices) -> Classes | None:
        """Return the classes that were seen at least twice, ``None`` if these are fewer than two.

        One is rare if it was seen fewer than ten times, and not as the same observations again and again.
        """
        seen = np.flatnonzero(self.counts > 1)
        if len(seen) < 2:
            return None
        numbers = np.full(len(self.names) + 1, -1)  # the last is that of the unknown, -1
        numbers[seen] = np.arange(len(seen))
        once = (np.bincount(contents)[contents] == 1) & (self.members >= 0)
        seen_once = np.bincount(self.members[once], minlength=len(self.names))
        rare = self.names[(self.counts < 2) | ((self.counts < ENOUGH) & (seen_once > 0))].tolist()
        distances = None if self.distances is None else self.distances[np.ix_(seen, seen)]
        return Classes(
            self.label, numbers[self.members], self.names[seen], ~np.eye(len(seen), dtype=bool), distances, rare
        )

    def differ(self, left: Indices, right: Indices) -> NDArray[np.bool_]:
        """Return whether the classes of ``left`` (M,) and ``right`` (M,) differ, pair by pair: (M,)."""
        one, other = self.members[left], self.members[right]
        return np.asarray((one != other) & (one >= 0) & (other >= 0))

    def why(self, left: int, right: int) -> str:
        """Return the classes of both; with an MDP, also the actions that lead to different values."""
        one, other = self._states[left], self._states[right]
        text = f"{self.label} {one:g} and {self.label} {other:g}"
        if self.mdp is None or not self.differ(np.array([left]), np.array([right]))[0]:
            return text
        from jepa_extractor.bisimulation import distinguishing_actions

        successors, values = (np.asarray(array) for array in self.mdp)
        actions = distinguishing_actions(successors, values, int(one), int(other)) or []
        states = [int(one), int(other)]
        for action in actions:
            states = [successors[state, action] for state in states]
        begin = ", ".join(self._action_names[action] for action in actions) or "at once"
        left_value, right_value = (str(values[state].tolist()) for state in states)
        return f"{text}: {begin}: the value is {left_value} on the left, {right_value} on the right"

    def kind(self, left: int, right: int) -> Hashable:
        """Return both states."""
        return frozenset((float(self._states[left]), float(self._states[right])))

    def coverage(self) -> str:
        """Return how many classes there are and how often they were seen."""
        text = f"There are {len(self.counts)} classes of {self.label}. "
        rare = np.flatnonzero(self.counts < 2)
        if len(rare):
            shown = ", ".join(str(name) for name in self.names[rare[:10]]) + (", ..." if len(rare) > 10 else "")
            return f"{text}Fewer than two observations show {self.label} {shown}: nothing is said of it; record more."
        return (
            f"{text}The rarest, {self.label} {self.names[self.counts.argmin()]}, was seen {self.counts.min():,} times."
        )


def require_mdp(mdp: Any) -> None:
    """Raise ``ValueError`` unless ``mdp`` is a pair or ``None``."""
    if mdp is not None and not (isinstance(mdp, tuple | list) and len(mdp) == 2):
        raise ValueError(f"mdp={shown(mdp)} is not a pair: give successors (n, k) and values (n,), or None")


def exact_classes(successors: ArrayLike, values: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the class of each state, (n,), and the bisimulation metric of the c classes, (c, c)."""
    from scipy.sparse import csr_array

    from jepa_extractor.bisimulation import bisimulation_metric, largest_bisimulation, quotient_mdp

    classes = largest_bisimulation(successors, values)
    followers, class_values = quotient_mdp(successors, values, classes)
    rows = np.arange(len(followers))
    shape = (len(rows), len(rows))
    matrices = [csr_array((np.ones(len(rows)), (rows, column)), shape=shape) for column in followers.T]
    return classes, bisimulation_metric(matrices, class_values)


def _steps_to_come(actions: Indices) -> Indices:
    """Return how many steps of its episode follow each observation, (N,)."""
    last = np.flatnonzero(actions < 0)
    return last[np.searchsorted(last, np.arange(len(actions)))] - np.arange(len(actions))


def _are_real(rewards: NDArray[np.floating[Any]]) -> bool:
    """Return whether rewards are real numbers, of which hardly any is seen again."""
    known = rewards[np.isfinite(rewards)]
    return len(np.unique(known)) > max(MOST_REWARDS, len(known) / 50)


def _actions(count: int) -> str:
    return f"{count} action" if count == 1 else f"{count} actions"
