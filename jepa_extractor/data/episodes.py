"""Episodes, and the one place that joins several into arrays."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jepa_extractor.data.observations import Arrays, map_arrays


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


def join_episodes(episodes: Iterable[Episode]) -> JoinedEpisodes:
    """Return ``episodes`` in one piece.

    Args:
        episodes: at least one; a generator can be read once. An episode without steps has one observation. All have
            observations, and those with steps actions, of one shape and dtype. A label that one lacks is NaN there.

    Raises:
        ValueError: there are none, or the arrays of one do not fit together, or do not fit those of the others, or hold
            what is not finite; the message names the episode.
    """
    if not isinstance(episodes, Iterable):
        raise ValueError(f"episodes={episodes!r} is not a sequence: give episodes, such as those of random_episodes")
    kept = list(episodes)
    if not kept:
        raise ValueError("episodes is empty: give at least one (a generator can be read once: use a list)")
    first: dict[str, tuple[int, str]] = {}
    for number, episode in enumerate(kept):
        _require_lengths(number, episode)
        _require_the_same(number, episode, first)
        _require_finite(number, episode)
    sizes = [len(episode.rewards) + 1 for episode in kept]
    acting = [episode for episode in kept if len(episode.rewards)] or kept[:1]
    names = dict.fromkeys(name for episode in kept for name in episode.labels)
    return JoinedEpisodes(
        map_arrays(lambda *arrays: np.concatenate(arrays), *(episode.observations for episode in kept)),
        np.concatenate([episode.actions for episode in acting]),
        np.concatenate([episode.rewards for episode in acting]),
        np.array([episode.terminated for episode in kept], np.bool_),
        {name: np.concatenate([_label(episode, name) for episode in kept]) for name in names},
        np.cumsum([0, *sizes], dtype=np.int64),
    )


def _label(episode: Episode, name: str) -> NDArray[np.floating[Any]]:
    unknown = np.full(len(episode.rewards) + 1, np.nan, np.float32)
    return np.asarray(episode.labels.get(name, unknown))


def _parts(episode: Episode) -> dict[str, NDArray[Any]]:
    """Return the arrays of observations by what they are called in a message."""
    if isinstance(episode.observations, dict):
        return {f"observations[{key!r}]": array for key, array in episode.observations.items()}
    return {"observations": episode.observations}


def _require_lengths(number: int, episode: Episode) -> None:
    if not isinstance(episode, Episode):
        raise ValueError(f"episode {number} is a {type(episode).__name__}: give jepa_extractor.Episode(...)")
    arrays = {**_parts(episode), "actions": episode.actions, "rewards": episode.rewards}
    arrays |= {f"labels[{name!r}]": values for name, values in episode.labels.items()}
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray) or array.ndim == 0:
            raise ValueError(f"episode {number} has {name} of type {type(array).__name__}: give an array")
    steps = len(episode.rewards)
    wrong = {
        name: len(array)
        for name, array in arrays.items()
        if len(array) != (steps if name in ("actions", "rewards") else steps + 1)
    }
    if wrong:
        lengths = ", ".join(f"{count} {name}" for name, count in wrong.items())
        raise ValueError(
            f"episode {number} has {steps} rewards and {lengths}: T steps need T actions, T rewards, T + 1 "
            "observations and T + 1 of each label (NaN where unknown)"
        )
    for name in ("rewards", *(name for name in arrays if name.startswith("labels"))):
        if arrays[name].ndim != 1 or arrays[name].dtype.kind not in "biuf":
            raise ValueError(
                f"episode {number} has {name} of shape {arrays[name].shape} and dtype {arrays[name].dtype}: give one "
                "number for each"
            )


def _require_the_same(number: int, episode: Episode, first: dict[str, tuple[int, str]]) -> None:
    """Raise ``ValueError`` unless observations and actions are as in ``first``, by name; what is new is added."""
    parts = _parts(episode)
    kinds = {"keys": f"{', '.join(parts)}"} | {name: _kind(array) for name, array in parts.items()}
    if len(episode.actions):  # without steps it may be any empty array
        kinds["actions"] = _kind(episode.actions)
    for name, kind in kinds.items():
        before, expected = first.setdefault(name, (number, kind))
        if kind != expected:
            what = "" if name == "keys" else f"{name} of "
            raise ValueError(
                f"episode {number} has {what}{kind}, and episode {before} {what}{expected}: all need the same"
            )


def _kind(array: NDArray[Any]) -> str:
    return f"shape {array.shape[1:]} and dtype {array.dtype}"


def _require_finite(number: int, episode: Episode) -> None:
    for name, array in {**_parts(episode), "rewards": episode.rewards, "actions": episode.actions}.items():
        if array.dtype.kind == "f" and not (finite := np.isfinite(array)).all():
            row = np.argwhere(~finite)[0]
            where = "observation" if name.startswith("observations") else "step"
            raise ValueError(
                f"episode {number} has {name} of {array[tuple(row)]} at its {where} {row[0]}: give finite numbers"
            )
