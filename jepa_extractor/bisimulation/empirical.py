"""The largest bisimulation of finite data: which observations what was seen tells apart, and which it does not."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jepa_extractor.bisimulation.deterministic import checked_successors, group_values
from jepa_extractor.bisimulation.pairs import PairTable, WordPairs
from jepa_extractor.bisimulation.partition import coarsest, number_by_first_appearance
from jepa_extractor.checks import require_integer
from jepa_extractor.rollouts import Episode

MAX_OBSERVATIONS = 5_000  # of data in which some observation has more than one observed action


class EmpiricalBisimulation:
    """Which pairs of n observations finite data tells apart.

    Two observations are *distinguishable* if their values differ, or if some action that was observed at both leads
    to distinguishable observations; nothing else is. What was not observed never tells apart. So two observations
    that share no observed action, and have the same value, are not distinguishable; and "not distinguishable" need
    not be transitive: it is a relation, not a partition. (The empirical largest bisimulation of Yu et al., "Why and
    How Auxiliary Tasks Improve JEPA Representations", arXiv 2509.12249, is its complement.)

    All pairs are computed here, once, exactly. For data in episodes, where each observation has at most one observed
    action, n may be any number, at a cost of n log n. Other data may have up to 5,000 observations, at a cost of
    k n^2 and n^2 bytes, and 4 bytes for each distinguishable pair.

    Args:
        successors: integers (n, k): ``successors[i, a]`` is the observation to which action a led from observation
            i, or -1 where this was not observed.
        values: what must be told apart at once, such as the reward of arriving: (n,), or (n, m) for m values each.
        tolerance: values no further apart than this are the same; see ``group_values``.

    Raises:
        ValueError: an argument has the wrong shape, is out of range or is NaN; or there are too many
            observations for data that is not in episodes.
    """

    def __init__(self, successors: ArrayLike, values: ArrayLike, tolerance: float = 0.0) -> None:
        self._successors = checked_successors(successors, least=-1).copy()
        self._labels, self._label_count = group_values(values, tolerance)
        n = len(self._successors)
        if len(self._labels) != n:
            raise ValueError(
                f"values has length {len(self._labels)} and successors {n}: give one row for each observation"
            )
        observed = self._successors >= 0
        self._coverage = float(observed.mean())
        actions = observed.sum(axis=1)
        if actions.max() <= 1:
            self._pairs: WordPairs | PairTable = WordPairs(self._successors, self._labels)
        elif n <= MAX_OBSERVATIONS:
            self._pairs = PairTable(self._successors, self._labels)
        else:
            several = int(actions.argmax())
            raise ValueError(
                f"successors has {n:,} rows, and row {several} has {actions[several]} observed actions: such data may "
                f"have up to {MAX_OBSERVATIONS:,} observations. Give fewer, or keep one observed action of each and "
                "set the others to -1, as in episodes"
            )

    @property
    def coverage(self) -> float:
        """The fraction of observations and actions, n times k, of which the successor was observed, in [0, 1]."""
        return self._coverage

    def distinguishable(self, i: int, j: int) -> bool:
        """Return whether observations i and j are distinguishable; see ``witness`` for why."""
        return self.witness(i, j) is not None

    def witness(self, i: int, j: int) -> list[int] | None:
        """Return a shortest sequence of observed actions from i and j after which the values differ.

        It is empty if they differ at once, and ``None`` if i and j are not distinguishable.

        Raises:
            ValueError: i or j is not an observation.
        """
        for name, index in (("i", i), ("j", j)):
            if isinstance(index, bool) or not isinstance(index, int | np.integer) or not 0 <= index < len(self._labels):
                raise ValueError(
                    f"{name}={index!r} is not an observation: give an integer in 0..{len(self._labels) - 1}"
                )
        return self._pairs.witness(int(i), int(j))

    def count_pairs(self) -> int:
        """Return how many pairs of observations are distinguishable, each counted once."""
        return self._pairs.count

    def sample_pairs(self, n: int, seed: int) -> NDArray[np.int64]:
        """Draw n distinguishable pairs, uniformly and with replacement; the same seed draws the same.

        Returns:
            (n, 2), the smaller index first.

        Raises:
            ValueError: no pair is distinguishable, or an argument is out of range.
        """
        require_integer("n", n, least=0)
        require_integer("seed", seed, least=0)
        if self._pairs.count == 0:
            raise ValueError("there is no distinguishable pair to draw: all values are the same")
        return self._pairs.sample(n, np.random.default_rng(seed))

    def classes(self) -> NDArray[np.int64]:
        """Return the partition in which "not observed" is an answer of its own, (n,), numbered by first appearance.

        Where an action was not observed, it is taken to lead to one state more, which has a value of its own and is
        never left. That makes the MDP complete, and these are the classes of its largest bisimulation. Observations
        in one class are never distinguishable; those in different classes may not be.
        """
        n = len(self._successors)
        completed = np.append(self._successors, np.full((1, self._successors.shape[1]), n, np.int32), axis=0)
        completed[completed < 0] = n
        labels = np.append(self._labels, np.int32(self._label_count))
        return number_by_first_appearance(coarsest(labels, self._label_count + 1, completed))[:n]


class EmpiricalData(NamedTuple):
    """The observations of some episodes, n in all, as ``EmpiricalBisimulation`` takes them."""

    observations: NDArray[np.generic]  # (n, *observation shape)
    successors: NDArray[np.int64]  # (n, k), -1 where not observed
    values: NDArray[np.float64]  # (n,) or (n, m)
    labels: NDArray[np.float32]  # (n,), NaN where unknown


def episode_successors(actions: Sequence[ArrayLike], num_actions: int) -> NDArray[np.int64]:
    """Return the successors of episodes, (n, k), with -1 where not observed.

    Args:
        actions: the actions of each episode, integers (T,) in 0..k-1; T may be 0. An episode of T steps has T + 1
            observations; they are numbered in order, one episode after the other.
        num_actions: k.

    Raises:
        ValueError: there is no episode, or an action is not an integer in 0..k-1.
    """
    require_integer("num_actions", num_actions, least=1)
    taken = [np.asarray(steps) for steps in actions]
    if not taken:
        raise ValueError("actions is empty: give the actions of at least one episode")
    for e, steps in enumerate(taken):
        if steps.ndim != 1 or (len(steps) and steps.dtype.kind not in "iu"):
            raise ValueError(
                f"actions[{e}] has shape {steps.shape} and dtype {steps.dtype}: give one integer for each step; "
                "continuous actions cannot be counted"
            )
    lengths = np.array([len(steps) for steps in taken])
    flat = np.concatenate(taken).astype(np.int64)
    wrong = np.flatnonzero((flat < 0) | (flat >= num_actions))
    if len(wrong):
        e = int(np.searchsorted(np.cumsum(lengths), wrong[0], side="right"))
        raise ValueError(f"actions[{e}] contains {flat[wrong[0]]}: actions must lie in 0..{num_actions - 1}")
    last = np.cumsum(lengths + 1) - 1
    acted = np.delete(np.arange(last[-1] + 1), last)
    successors = np.full((last[-1] + 1, num_actions), -1, np.int64)
    successors[acted, flat] = acted + 1
    return successors


def arrival_rewards(episode: Episode) -> NDArray[np.float32]:
    """Return the reward of arriving at each observation of an episode, (T + 1,); NaN at the first: nothing arrived."""
    return np.concatenate([np.full(1, np.nan, np.float32), episode.rewards])


def empirical_data(
    episodes: Iterable[Episode], num_actions: int, values: Callable[[Episode], ArrayLike] = arrival_rewards
) -> EmpiricalData:
    """Return the observations of episodes with their successors and values.

    Observations of unknown value are left out: a bisimulation of data asks for the value of each. By default that is
    the first of each episode, since no reward tells its value. Where ``info`` does, it can be kept:
    ``values=lambda episode: episode.labels == 4``.

    Args:
        episodes: such as those of ``random_episodes``, of a Gymnasium vector environment with discrete actions.
        num_actions: k, the number of actions; they are 0..k-1.
        values: gives the value of each observation of an episode, (T + 1,) or (T + 1, m), NaN where unknown.

    Raises:
        ValueError: an action is not an integer in 0..k-1, ``values`` gives the wrong number, or none is known.
    """
    kept = list(episodes)
    if not kept:
        raise ValueError("episodes is empty: give at least one")
    successors = episode_successors([episode.actions for episode in kept], num_actions)
    given = [np.asarray(values(episode), np.float64) for episode in kept]
    for e, (episode, value) in enumerate(zip(kept, given, strict=True)):
        if value.shape[:1] != episode.observations.shape[:1]:
            raise ValueError(
                f"values gave shape {value.shape} for the {len(episode.observations)} observations of episode {e}: "
                "give one for each"
            )
    value = np.concatenate(given)
    known = ~np.isnan(value.reshape(len(value), -1)).any(axis=1)
    if not known.any():
        raise ValueError("values are NaN at every observation: none is left")
    number = np.append(np.where(known, np.cumsum(known) - 1, -1), -1)  # the last, for a successor of -1
    return EmpiricalData(
        np.concatenate([episode.observations for episode in kept])[known],
        number[successors[known]],
        value[known],
        np.concatenate([episode.labels for episode in kept])[known],
    )
