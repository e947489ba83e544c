"""Episodes, and the one place that joins several into arrays."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jepa_extractor.checks import require_mapping, shown
from jepa_extractor.data.observations import Arrays, map_arrays

_OF_STEPS = ("rewards", "actions")


class Episode(NamedTuple):
    """One episode of T steps, or the beginning of one.

    Attributes:
        observations: before the first step and after each, ``(T + 1, *observation shape)``; a dict of such arrays for a
            ``Dict`` space.
        actions: ``(T, *action shape)``, in the dtype of the action space.
        rewards: of each step, float32 (T,).
        terminated: whether the last step ended the episode, time limits not counted.
        labels: numbers by name for each observation, (T + 1,), NaN where unknown.
    """

    observations: Arrays
    actions: NDArray[Any]
    rewards: NDArray[np.float32]
    terminated: bool
    labels: Mapping[str, NDArray[np.floating[Any]]] = {}


class JoinedEpisodes(NamedTuple):
    """E episodes in one piece: all N observations and all N - E steps, one episode after the other.

    Attributes:
        observations: ``(N, *observation shape)``; a dict of such arrays for a ``Dict`` space.
        actions: ``(N - E, *action shape)``.
        rewards: of each step, (N - E,).
        terminated: whether the last step ended the episode, time limits not counted, bool (E,).
        labels: numbers by name for each observation, (N,), NaN where unknown.
        offsets: int64 (E + 1,); episode e has the observations ``offsets[e]`` to ``offsets[e + 1] - 1``.
    """

    observations: Arrays
    actions: NDArray[Any]
    rewards: NDArray[np.floating[Any]]
    terminated: NDArray[np.bool_]
    labels: dict[str, NDArray[np.floating[Any]]]
    offsets: NDArray[np.int64]

    @property
    def begins_step(self) -> NDArray[np.bool_]:
        """Whether a step was taken at an observation, bool (N,): at all but the last of each episode.

        The k-th step was taken at the observation ``flatnonzero(begins_step)[k]`` and arrived at the next one.
        """
        begins = np.ones(self.offsets[-1], np.bool_)
        begins[self.offsets[1:] - 1] = False
        return begins

    @property
    def ends(self) -> NDArray[np.bool_]:
        """Whether arriving at an observation ended its episode, time limits not counted, bool (N,)."""
        ends = np.zeros(self.offsets[-1], np.bool_)
        ends[self.offsets[1:] - 1] = self.terminated
        return ends


def listed_episodes(episodes: Iterable[Episode]) -> list[Episode]:
    """Return ``episodes``, at least one, as a list; raise ``ValueError`` where there are none."""
    if isinstance(episodes, Episode):
        raise ValueError("episodes is one episode: give a list of it, [episode]")
    if isinstance(episodes, np.ndarray) or not isinstance(episodes, Iterable):
        raise ValueError(
            f"episodes={shown(episodes)} is not a sequence: give episodes, such as those of random_episodes"
        )
    kept = list(episodes)
    if not kept:
        raise ValueError("episodes is empty: give at least one (a generator can be read once: use a list)")
    return kept


def join_episodes(episodes: Iterable[Episode]) -> JoinedEpisodes:
    """Return ``episodes`` in one piece.

    Args:
        episodes: at least one; a generator can be read once. An episode without steps has one observation. All have
            observations, and those with steps actions, of one shape and dtype. A label that one lacks is NaN there.

    Raises:
        ValueError: there are none, or the arrays of one do not fit together, or do not fit those of the others, or hold
            what is not finite; the message names the episode.
    """
    kept = listed_episodes(episodes)
    arrays = [_arrays(number, episode) for number, episode in enumerate(kept)]
    first = next((given for given in arrays if len(given["actions"])), arrays[0])
    for number, given in enumerate(arrays):
        _require_fit(number, given)
        _require_same(number, given, first)
    acting = [episode for episode in kept if len(episode.rewards)] or kept[:1]
    names = dict.fromkeys(name for episode in kept for name in episode.labels)
    joined = JoinedEpisodes(
        map_arrays(lambda *arrays: np.concatenate(arrays), *(episode.observations for episode in kept)),
        np.concatenate([episode.actions for episode in acting]),
        np.concatenate([episode.rewards for episode in acting]),
        np.array([episode.terminated for episode in kept], np.bool_),
        {name: np.concatenate([_label(episode, name) for episode in kept]) for name in names},
        np.cumsum([0, *(len(episode.rewards) + 1 for episode in kept)], dtype=np.int64),
    )
    steps = np.flatnonzero(joined.begins_step)
    for name, array in _parts(joined.observations).items():
        _require_finite(name, array, np.arange(len(array)), joined.offsets)
    _require_finite("actions", joined.actions, steps, joined.offsets)
    _require_finite("rewards", joined.rewards, steps, joined.offsets)
    return joined


def _label(episode: Episode, name: str) -> NDArray[np.floating[Any]]:
    unknown = np.full(len(episode.rewards) + 1, np.nan, np.float32)
    return np.asarray(episode.labels.get(name, unknown))


def _parts(observations: Arrays) -> dict[str, NDArray[Any]]:
    """Return the arrays of observations by what they are called in a message."""
    if isinstance(observations, dict):
        return {f"observations[{key!r}]": array for key, array in observations.items()}
    return {"observations": observations}


def _arrays(number: int, episode: object) -> dict[str, NDArray[Any]]:
    """Return all arrays of an episode by what they are called in a message; raise ``ValueError`` if one is none."""
    if not isinstance(episode, Episode):
        raise ValueError(f"episode {number} is a {type(episode).__name__}: give jepa_extractor.Episode(...)")
    if np.ndim(episode.terminated) or np.asarray(episode.terminated).dtype.kind not in "biu":
        raise ValueError(f"episode {number} has terminated={shown(episode.terminated)}: give True or False")
    arrays = {"rewards": episode.rewards, "actions": episode.actions, **_parts(episode.observations)}
    require_mapping(f"labels of episode {number}", episode.labels)
    for name, values in episode.labels.items():
        arrays[f"labels[{name!r}]"] = values
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray) or array.ndim == 0 or array.dtype.kind not in "biuf":
            raise ValueError(f"episode {number} has {name} of type {type(array).__name__}: give an array of numbers")
    return arrays


def _require_fit(number: int, arrays: dict[str, NDArray[Any]]) -> None:
    """Raise ``ValueError`` unless the arrays of an episode are of as many steps."""
    steps = len(arrays["rewards"])
    wrong = []
    for name, array in arrays.items():
        if len(array) != (steps if name in _OF_STEPS else steps + 1):
            wrong.append(f"{len(array)} {name}")
        if array.ndim > 1 and (name == "rewards" or name.startswith("labels")):
            raise ValueError(f"episode {number} has {name} of shape {array.shape}: give one number each")
    if wrong:
        raise ValueError(
            f"episode {number} has {steps} rewards and {', '.join(wrong)}: T steps need T actions, T rewards, T + 1 "
            "observations and T + 1 of each label (NaN where unknown)"
        )


def _require_same(number: int, arrays: dict[str, NDArray[Any]], first: dict[str, NDArray[Any]]) -> None:
    """Raise ``ValueError`` unless observations, and actions if there are any, have the form of those in ``first``."""
    for name in arrays.keys() | first.keys():
        if name == "rewards" or name.startswith("labels") or (name == "actions" and not len(arrays[name])):
            continue
        own, other = arrays.get(name), first.get(name)
        if own is None or other is None or own.dtype != other.dtype or own.shape[1:] != other.shape[1:]:
            raise ValueError(f"episode {number} has {name} of {_form(own)}, another of {_form(other)}: give the same")


def _form(array: NDArray[Any] | None) -> str:
    return "no kind" if array is None else f"shape {array.shape[1:]} and dtype {array.dtype}"


def _require_finite(name: str, array: NDArray[Any], rows: NDArray[np.int64], offsets: NDArray[np.int64]) -> None:
    """Raise ``ValueError`` if ``array`` (M, ...) is not finite; its rows belong to the observations ``rows`` (M,)."""
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return
    place = np.argwhere(~np.isfinite(array))[0]
    row = rows[place[0]]
    number = int(np.searchsorted(offsets, row, side="right")) - 1
    raise ValueError(
        f"episode {number} has {name} of {array[tuple(place)]} at row {row - offsets[number]}: give finite numbers"
    )
