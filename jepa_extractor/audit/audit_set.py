"""Observations, what must stay apart among them, and why: collected once, used for every encoder."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jepa_extractor.audit.collection import Envs, collected, look_at
from jepa_extractor.audit.separation import ByClass, ByFuture, Classes, Indices, require_mdp
from jepa_extractor.checkpoint import replace_file, require_sound_zip
from jepa_extractor.checks import (
    as_path,
    require_choice,
    require_index,
    require_indices,
    require_integer,
    require_key,
    require_strings,
    require_weight,
    shown,
)
from jepa_extractor.data.collection import Policy
from jepa_extractor.data.episodes import Episode, join_episodes
from jepa_extractor.data.observations import Arrays, map_arrays

FORMAT = "jepa_extractor audit set 2"
AUXILIARIES = ("reward", "action_reward")
MOST_ACTIONS = 100_000
ARRAYS = ("actions", "rewards", "ends", "episodes", "steps")


class Repeats(NamedTuple):
    """How often an observation and an action were seen again, and how often the reward or the end then differed."""

    seen: int
    differed: int


@dataclass(frozen=True)
class AuditSet:
    """N observations of episodes, one episode after the other, and what an encoder must keep apart among them.

    Make one by ``collect``, by ``from_episodes``, which needs no labels, or by ``from_classes``.

    Attributes:
        observations: as policies see them, ``(N, *observation shape)``; a dict of such arrays for a ``Dict`` space.
        actions: that left each observation, integers (N,), -1 at the last of an episode. Continuous ones are
            floats ``(N, *action shape)``, NaN at the last.
        rewards: of arriving at each observation, float32 (N,), NaN at the first of an episode.
        ends: whether arriving there ended the episode, time limits not counted, bool (N,).
        episodes: the number of the episode, int64 (N,), from 0.
        steps: how many steps of the episode came before, int64 (N,).
        labels: numbers by name, (N,) each, NaN where unknown.
        action_names: a name for each action; none if actions are continuous.
        env: id of the environment, or "".
        required: decides what must be kept apart; ``apart``, ``why`` and ``coverage`` ask it.
    """

    observations: Arrays
    actions: NDArray[Any]
    rewards: NDArray[np.float32]
    ends: NDArray[np.bool_]
    episodes: Indices
    steps: Indices
    labels: dict[str, NDArray[np.floating[Any]]]
    action_names: tuple[str, ...]
    env: str
    required: ByFuture | ByClass

    @classmethod
    def from_episodes(
        cls,
        episodes: Iterable[Episode],
        actions: int | Sequence[str],
        tolerance: float | None = None,
        env: str = "",
        auxiliary: str = "reward",
    ) -> "AuditSet":
        """Return a set in which observations must stay apart if the episodes tell them apart: no labels are needed.

        They do if the same actions led from one of two to another reward than from the other, or to an end of the
        episode from one alone; see ``EmpiricalBisimulation``.

        Args:
            episodes: such as those of ``random_episodes``, with discrete actions.
            actions: the number k of actions, at least 1, or a name for each; episodes have actions in 0..k-1.
            tolerance: rewards no further apart than this are the same, and so are rewards that a chain of such rewards
                joins; finite, at least 0. By default 0, or where rewards are real numbers, of which hardly any is seen
                again, a hundredth of their range; ``coverage`` then says so.
            env: id of the environment.
            auxiliary: what a reward belongs to, as for tasks of these names: ``"reward"``, the observation at which the
                step arrived; ``"action_reward"``, the observation that it left and the action. The second holds
                wherever one observation shows all that matters, but it asks nothing of an episode's last observation.

        Raises:
            ValueError: there are no episodes, their actions are not integers of that range, they tell nothing apart,
                ``tolerance`` is out of range, or ``auxiliary`` is neither of the two.
        """
        if tolerance is not None:
            require_weight("tolerance", tolerance)
        require_choice("auxiliary", auxiliary, AUXILIARIES)
        arrays = _joined(episodes, actions)
        if not arrays["action_names"]:
            raise ValueError(
                "episodes have actions that are not one integer a step, such as continuous ones, which are never the "
                "same again: give classes, by AuditSet.from_classes(episodes, label)"
            )
        required = ByFuture(
            arrays["actions"],
            arrays["rewards"],
            arrays["ends"],
            contents_of(arrays["observations"]),
            arrays["action_names"],
            tolerance,
            auxiliary,
        )
        return cls(**arrays, env=env, required=required)

    @classmethod
    def from_classes(
        cls,
        episodes: Iterable[Episode],
        label: str,
        mdp: tuple[ArrayLike, ArrayLike] | None = None,
        actions: int | Sequence[str] | None = None,
        env: str = "",
    ) -> "AuditSet":
        """Return a set in which observations of different classes must stay apart.

        Args:
            episodes: such as those of ``random_episodes(..., labels=(label,))``.
            label: the label whose number is the class; with ``mdp``, the state.
            mdp: successors (n, k) and values (n,) or (n, m) of the states, as for ``largest_bisimulation``: the classes
                are then those of its largest bisimulation.
            actions: the number of actions, or a name for each; by default as many as were seen.
            env: id of the environment.

        Raises:
            ValueError: there are no episodes, they have no such label, all of them are of one class, the label names no
                state of ``mdp``, or another argument is wrong.
        """
        require_key("label", label)
        arrays = _joined(episodes, actions)
        if label not in arrays["labels"]:
            raise ValueError(
                f"label={shown(label)} is not among the labels {sorted(arrays['labels'])} of the episodes: collect it, "
                f"as by random_episodes(..., labels=({label!r},))"
            )
        required = ByClass(label, arrays["labels"][label], mdp, arrays["action_names"])
        return cls(**arrays, env=env, required=required)

    @classmethod
    def collect(
        cls,
        env: str | Envs,
        steps: int = 5_000,
        policy: Policy | str = "random",
        classes_from: str | None = "auto",
        mdp: tuple[ArrayLike, ArrayLike] | None = None,
        labels: Sequence[str] = (),
        actions: Sequence[str] | None = None,
        tolerance: float | None = None,
        auxiliary: str = "reward",
        episodes: int | None = None,
        seed: int = 0,
    ) -> "AuditSet":
        """Return a set of the episodes of an environment: ``from_classes`` or ``from_episodes``, whichever can be.

        Args:
            env: the id of an environment, or a Gymnasium vector environment, with the wrappers that the encoder was
                trained with but for those of Stable-Baselines3. One made from an id is closed again.
            steps: least number of steps, at least 1; there may be a few more.
            policy: ``"random"``: uniformly random actions; or what has ``predict(observations)``, such as a model.
            classes_from: key of ``info`` whose number is the class, or with ``mdp`` the state. ``"auto"``: the states
                of the environment's ``class_mdp`` where it has one, by ``info["state"]``, else ``None``. ``None``: what
                episodes tell apart.
            mdp: as for ``from_classes``.
            labels: more keys of ``info``, whose numbers name observations.
            actions: a name for each action; by default what the environment calls them.
            tolerance: as for ``from_episodes``.
            auxiliary: as for ``from_episodes``.
            episodes: how many whole episodes to collect, at least 1, instead of ``steps``.
            seed: of environment and actions, at least 0.

        Raises:
            ValueError: an argument is out of range; ``info`` has no such number, and the keys that it has are named;
                or the episodes tell nothing apart.
            gymnasium.error.Error: there is no environment of that id.
        """
        require_key("classes_from", classes_from)
        require_strings("labels", labels)
        require_mdp(mdp)
        if actions is not None:
            require_strings("actions", actions)
        world = look_at(env)
        if actions is None:
            actions = world.actions
        elif world.actions is not None and len(actions) != len(world.actions):
            raise ValueError(
                f"actions={shown(actions)} has {len(actions)} names, and there are {len(world.actions)} actions"
            )
        if classes_from == "auto":
            classes_from, mdp = ("state", world.mdp) if world.mdp is not None else (None, None)
        if classes_from is None and world.actions is None:
            raise ValueError(
                f"env={world.name} has actions that are not one number of a few, and so are never the same again: name "
                "the key of info that is the class, with classes_from"
            )
        wanted = tuple(dict.fromkeys([*labels, *([] if classes_from is None else [classes_from])]))
        kept = list(collected(env, steps, policy, wanted, episodes, seed, world))
        if classes_from is not None:
            return cls.from_classes(kept, classes_from, mdp, actions, world.name)
        assert actions is not None
        return cls.from_episodes(kept, actions, tolerance, world.name, auxiliary)

    def __len__(self) -> int:
        return len(self.rewards)

    def apart(self, left: Indices, right: Indices) -> NDArray[np.bool_]:
        """Return whether observations ``left`` and ``right`` must be kept apart, pair by pair, bool (M,).

        Two that are the same in every number need not be: no encoder can.

        Args:
            left: integers (M,), each in 0..N-1.
            right: integers (M,), each in 0..N-1.

        Raises:
            ValueError: they are not such arrays, or of several lengths.
        """
        require_indices("left", left, len(self))
        require_indices("right", right, len(self))
        if len(left) != len(right):
            raise ValueError(f"left has {len(left)} and right {len(right)} observations: give pairs")
        seen_to_differ: NDArray[np.bool_] = self.contents[left] != self.contents[right]
        return self.required.differ(left, right) & seen_to_differ

    def why(self, left: int, right: int) -> str:
        """Return what tells observations ``left`` and ``right``, both in 0..N-1, apart, in words.

        Raises:
            ValueError: one is no observation.
        """
        require_index("left", left, len(self), "an observation")
        require_index("right", right, len(self), "an observation")
        return self.required.why(left, right)

    def sample_pairs(self, n: int, seed: int) -> tuple[Indices, Indices]:
        """Draw pairs that must be kept apart, and pairs that need not be as far as the set knows.

        Args:
            n: how many of each, at least 1.
            seed: at least 0; the same seed draws the same pairs.

        Returns:
            int64 (m, 2) of each kind, the smaller index first; m is below n where 100 n random pairs held fewer.

        Raises:
            ValueError: an argument is out of range.
        """
        require_integer("n", n, least=1)
        require_integer("seed", seed, least=0)
        drawn = np.random.default_rng(seed).integers(len(self), size=(100 * n, 2))
        pairs = np.sort(drawn[drawn[:, 0] != drawn[:, 1]], axis=1)
        apart = self.apart(*pairs.T)
        return pairs[apart][:n], pairs[~apart][:n]

    def coverage(self) -> str:
        """Return in words what can be told apart, what cannot, and whether rewards are random."""
        return " ".join(filter(None, (self.required.coverage(), self.doubt)))

    @property
    def doubt(self) -> str:
        """Why what is told apart may not have to be, in words; "" if nothing speaks for that."""
        if not isinstance(self.required, ByFuture):
            return ""
        repeats = self.repeats
        if repeats.differed:
            return (
                f"Of {repeats.seen:,} times that an observation and an action were seen again, the reward or the end "
                f"was another in {repeats.differed:,}: chance decides it, or what the observation does not show. A "
                "difference may then be chance, and is no proof that an encoder must keep two observations apart: give "
                "a tolerance, or classes."
            )
        if self.required.auxiliary == "reward" and (arrivals := self._arrivals).differed:
            return (
                f"Of {arrivals.seen:,} times that an observation was arrived at again, the reward or the end was "
                f"another in {arrivals.differed:,}, but never after the same observation and action: the reward "
                'depends on them. A perfect encoder would then be accused: give auxiliary="action_reward".'
            )
        return ""

    @cached_property
    def repeats(self) -> Repeats:
        """How often the same observation and action were seen again, and then with another reward or end.

        A named tuple of two numbers, ``seen`` and ``differed``.
        """
        if self.actions.ndim > 1:
            return Repeats(0, 0)  # continuous actions are never the same again
        acted = np.flatnonzero(self.actions >= 0)
        return self._seen_again(np.stack([self.contents[acted], self.actions[acted]], axis=1), acted + 1)

    @property
    def _arrivals(self) -> Repeats:
        """How often the same observation was arrived at again, and then with another reward or end."""
        arrived = np.flatnonzero(~np.isnan(self.rewards))
        return self._seen_again(self.contents[arrived, None], arrived)

    def _seen_again(self, situations: NDArray[Any], arrived: Indices) -> Repeats:
        """Compare what steps showed that ``arrived`` (M,) with the first step of the same of ``situations`` (M, s)."""
        if not len(arrived):
            return Repeats(0, 0)
        _, first, group = np.unique(situations, axis=0, return_index=True, return_inverse=True)
        rewards, ends, before = self.rewards[arrived], self.ends[arrived], first[group.reshape(-1)]
        tolerance = self.required.tolerance if isinstance(self.required, ByFuture) else 0.0
        differed = (np.abs(rewards - rewards[before]) > tolerance) | (ends != ends[before])
        return Repeats(len(arrived) - len(first), int(differed.sum()))

    @cached_property
    def classes(self) -> Classes | None:
        """The classes that were seen at least twice, if classes are known, and these are two or more."""
        return self.required.classes(self.contents)

    @cached_property
    def contents(self) -> Indices:
        """A number for each observation, int64 (N,), the same where all their numbers are the same."""
        return contents_of(self.observations)

    def save(self, path: str | Path) -> None:
        """Save the set at ``path``, one .npz file without pickles.

        Raises:
            OSError: ``path`` cannot be written.
        """
        plain: dict[str, Any] = {
            "format": FORMAT,
            "action_names": self.action_names,
            "env": self.env,
            "labels": list(self.labels),
            "keys": list(self.observations) if isinstance(self.observations, dict) else None,
        }
        arrays: dict[str, NDArray[Any]] = {name: getattr(self, name) for name in ARRAYS}
        if isinstance(self.required, ByFuture):
            plain |= {"tolerance": None if self.required.is_chosen else self.required.tolerance}
            plain |= {"auxiliary": self.required.auxiliary}
        else:
            plain["label"] = self.required.label
            if self.required.mdp is not None:
                arrays["successors"], arrays["values"] = (np.asarray(array) for array in self.required.mdp)
        parts = self.observations.values() if isinstance(self.observations, dict) else [self.observations]
        arrays |= {f"observation_{i}": array for i, array in enumerate(parts)}
        arrays |= {f"label_{i}": array for i, array in enumerate(self.labels.values())}

        def write(unfinished: Path) -> None:
            with unfinished.open("wb") as file:
                np.savez_compressed(file, plain=json.dumps(plain), **arrays)  # type: ignore[arg-type]

        replace_file(path, write)

    @classmethod
    def load(cls, path: str | Path) -> "AuditSet":
        """Return the set saved at ``path``; what must stay apart is computed anew.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file was not written by ``save``.
        """
        path = as_path("path", path)
        if not path.is_file():
            raise FileNotFoundError(f"there is no audit set at {path}")
        try:
            with path.open("rb") as content:
                require_sound_zip(content, path)
                content.seek(0)
                with np.load(content, allow_pickle=False) as file:
                    arrays = dict(file)
            plain = json.loads(str(arrays.pop("plain")))
            if plain["format"] != FORMAT:
                raise ValueError(f"its format is {plain['format']!r}")
            parts = [arrays[f"observation_{i}"] for i in range(len(plain["keys"] or [None]))]
            labels = {name: arrays[f"label_{i}"] for i, name in enumerate(plain["labels"])}
            given = {name: arrays[name] for name in ARRAYS}
        except Exception as error:  # a broken archive can raise anything
            raise ValueError(f"{path} is no audit set: give what AuditSet.save wrote ({error})") from error
        names = tuple(plain["action_names"])
        observations = parts[0] if plain["keys"] is None else dict(zip(plain["keys"], parts, strict=True))
        required: ByFuture | ByClass
        if "tolerance" in plain:
            steps = given["actions"], given["rewards"], given["ends"]
            required = ByFuture(*steps, contents_of(observations), names, plain["tolerance"], plain["auxiliary"])
        else:
            mdp = (arrays["successors"], arrays["values"]) if "successors" in arrays else None
            required = ByClass(plain["label"], labels[plain["label"]], mdp, names)
        return cls(
            observations=observations,
            **given,
            labels=labels,
            action_names=names,
            env=plain["env"],
            required=required,
        )

    def require_environment(self, env: str, observation: Any, num_actions: int | None) -> None:
        """Raise ``ValueError`` unless the set was made for this environment.

        Args:
            env: its id.
            observation: one of its observations, as policies see them: an array or a dict of arrays.
            num_actions: number of its actions, or ``None`` if they are continuous.
        """
        own = _gist(map_arrays(lambda array: array[0], self.observations), len(self.action_names) or None)
        given = _gist(observation, num_actions)
        if (self.env and self.env != env) or own != given:
            raise ValueError(
                f"the audit set was made for {self.env or 'an environment'} with {own}, not for {env} with {given}: "
                "make one for this environment"
            )


def _joined(episodes: Iterable[Episode], actions: int | Sequence[str] | None) -> dict[str, Any]:
    """Return the arrays of an ``AuditSet`` by name."""
    joined = join_episodes(episodes)
    count, acts = joined.offsets[-1], joined.begins_step
    discrete = joined.actions.ndim == 1 and joined.actions.dtype.kind in "iu"
    left = np.full((count, *joined.actions.shape[1:]), *((-1, np.int64) if discrete else (np.nan, np.float64)))
    left[acts] = joined.actions
    names: tuple[str, ...] = ()
    if discrete:
        names = _action_names(max(1, int(left.max()) + 1) if actions is None else actions)
        if left.max() >= len(names) or left.min() < -1:
            raise ValueError(
                f"actions={shown(actions)}, but episodes have actions from {left[left >= 0].min()} to {left.max()}: "
                "give the number of actions of the environment"
            )
    rewards = np.full(count, np.nan, np.float32)
    rewards[1:][acts[:-1]] = joined.rewards
    sizes = np.diff(joined.offsets)
    return {
        "observations": joined.observations,
        "actions": left,
        "rewards": rewards,
        "ends": joined.ends,
        "episodes": np.repeat(np.arange(len(sizes)), sizes),
        "steps": np.arange(count) - np.repeat(joined.offsets[:-1], sizes),
        "labels": joined.labels,
        "action_names": names,
    }


def contents_of(observations: Arrays) -> Indices:
    """Return a number for each of N observations, (N,), the same where all their numbers are the same."""
    arrays = list(observations.values()) if isinstance(observations, dict) else [observations]
    numbers: dict[bytes, int] = {}
    contents = np.empty(len(arrays[0]), np.int64)
    for i in range(len(contents)):
        content = hashlib.blake2b(b"".join(array[i].tobytes() for array in arrays), digest_size=16).digest()
        contents[i] = numbers.setdefault(content, len(numbers))
    return contents


def _action_names(actions: int | Sequence[str]) -> tuple[str, ...]:
    if isinstance(actions, str | bool) or not isinstance(actions, int | np.integer | Sequence):
        raise ValueError(f"actions={shown(actions)} is neither a number nor a sequence of names: give one of them")
    if isinstance(actions, int | np.integer):
        require_integer("actions", actions, least=1)
        if actions > MOST_ACTIONS:
            raise ValueError(f"actions={actions} is too many: an audit is of at most {MOST_ACTIONS:,}")
        return tuple(f"action {number}" for number in range(actions))
    return tuple(str(name) for name in actions)


def _gist(observation: Any, num_actions: int | None) -> str:
    """Return in words what sets the observations and actions of one environment apart from those of another."""
    parts = observation if isinstance(observation, dict) else {"": observation}
    shapes = ", ".join(f"{key} {array.dtype} {array.shape}".strip() for key, array in sorted(parts.items()))
    return f"observations {shapes} and {'continuous actions' if num_actions is None else f'{num_actions} actions'}"
