"""Episodes as the arrays that ``EmpiricalBisimulation`` takes."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jepa_extractor.checks import as_array, as_floats, require_callable, require_integer, require_type, shown
from jepa_extractor.data.episodes import Episode, join_episodes, listed_episodes
from jepa_extractor.data.observations import Arrays


class EmpiricalData(NamedTuple):
    """All observations of some episodes, n in all, one episode after the other.

    Attributes:
        observations: ``(n, *observation shape)``, or a dict of such arrays.
        successors: the observation to which each of k actions led, int64 (n, k); -1 where not observed.
        values: what must be told apart at once, float64 (n,) or (n, m); NaN where unknown.
        labels: numbers by name, (n,) each, NaN where unknown.
    """

    observations: Arrays
    successors: NDArray[np.int64]
    values: NDArray[np.float64]
    labels: dict[str, NDArray[np.floating[Any]]]


def episode_successors(actions: Iterable[ArrayLike], num_actions: int) -> NDArray[np.int64]:
    """Return the successors of episodes, int64 (n, k), with -1 where not observed.

    Args:
        actions: the actions of each episode, integers (T,) in 0..k-1; T may be 0. An episode of T steps has T + 1
            observations; they are numbered in order, one episode after the other.
        num_actions: k, at least 1.

    Raises:
        ValueError: there is no episode, or an action is not an integer in 0..k-1.
    """
    require_integer("num_actions", num_actions, least=1)
    if not isinstance(actions, Iterable) or (isinstance(actions, np.ndarray) and not actions.ndim):
        raise ValueError(f"actions={shown(actions)} is not a sequence: give the actions of each episode")
    taken = [as_array(f"actions[{e}]", steps) for e, steps in enumerate(actions)]
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
    """Return the reward of arriving at each observation of an episode, float32 (T + 1,), NaN at the first.

    Raises:
        ValueError: ``episode`` is no ``Episode``.
    """
    require_type("episode", episode, Episode, "give one, such as those of random_episodes")
    if np.ndim(episode.rewards) != 1:
        raise ValueError(f"episode has rewards of shape {np.shape(episode.rewards)}: give one for each step")
    return np.concatenate([np.full(1, np.nan, np.float32), episode.rewards])


def empirical_data(
    episodes: Iterable[Episode], num_actions: int, values: Callable[[Episode], ArrayLike] = arrival_rewards
) -> EmpiricalData:
    """Return all observations of episodes with their successors and values.

    The value of an observation is by default the reward of arriving there. No step arrives at the first observation
    of an episode, so its value is unknown, NaN: ``EmpiricalBisimulation`` tells it apart from others only by what
    follows it. Where ``info`` tells the value, the first observation can have one too:
    ``values=lambda episode: episode.labels["count"] == 4``.

    Args:
        episodes: such as those of ``random_episodes``, of a Gymnasium vector environment with discrete actions.
        num_actions: k, the number of actions, at least 1; they are 0..k-1.
        values: gives the value of each observation of an episode, (T + 1,) or (T + 1, m), NaN where unknown.

    Raises:
        ValueError: there is no episode, one is not as ``join_episodes`` takes it, an action is not an integer in
            0..k-1, ``values`` gives the wrong number, or none is known.
    """
    require_callable("values", values, "an episode and returns the value of each of its observations")
    kept = listed_episodes(episodes)
    joined = join_episodes(kept)
    successors = episode_successors([episode.actions for episode in kept], num_actions)
    given = [as_floats(f"values of episode {e}", values(episode)) for e, episode in enumerate(kept)]
    for e, (value, size) in enumerate(zip(given, np.diff(joined.offsets), strict=True)):
        if len(np.atleast_1d(value)) != size:
            raise ValueError(
                f"values gave shape {value.shape} for the {size} observations of episode {e}: give one for each"
            )
    if len({value.shape[1:] for value in given}) > 1:
        raise ValueError("values gave rows of several lengths: give as many numbers for each observation")
    data = EmpiricalData(joined.observations, successors, np.concatenate(given), joined.labels)
    if np.isnan(data.values.reshape(len(data.values), -1)).any(axis=1).all():
        raise ValueError("values are NaN at every observation: nothing could be told apart; give numbers where known")
    return data
