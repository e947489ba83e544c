"""What an audit collects from an environment: episodes, and what there is to know of it."""

import enum
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv

from jepa_extractor.checks import require_integer, shown
from jepa_extractor.data import collection as data
from jepa_extractor.data.collection import Policy
from jepa_extractor.data.episodes import Episode
from jepa_extractor.data.observations import Arrays, map_arrays
from jepa_extractor.data.spaces import channels_first

Envs = VectorEnv[Any, Any, Any]


class World(NamedTuple):
    """What the audit needs to know of an environment.

    Attributes:
        name: its id, "" if unknown.
        observation: one of its observations, as policies see them; ``None`` where no environment was made.
        actions: a name for each, ``None`` if they are not one number of a few.
        mdp: its ``class_mdp``, ``None`` if it has none, or outcomes are random.
        keys: the keys of ``info`` that hold a number after a reset.
    """

    name: str
    observation: Arrays | None
    actions: Sequence[str] | None
    mdp: Any
    keys: list[str]


def look_at(env: str | Envs) -> World:
    """Return what there is to know of an environment, given by its id or as a vector environment.

    Raises:
        ValueError: ``env`` is neither.
        gymnasium.error.Error: there is no environment of that id.
    """
    if isinstance(env, VectorEnv):
        name = "" if env.spec is None else env.spec.id
        first = getattr(env.unwrapped, "envs", [env])[0]
        return World(name, None, action_names(first, env.single_action_space), class_mdp(first), [])
    if not isinstance(env, str):
        raise ValueError(f"env={shown(env)} is not a vector environment: give the id of one, or gym.make_vec(...)")
    made = make(env)
    try:
        observation, info = made.reset(seed=0)
        seen = channels_first(map_arrays(np.asarray, observation), made.observation_space)
        keys = sorted(key for key, value in info.items() if _is_number(value))
        return World(env, seen, action_names(made, made.action_space), class_mdp(made), keys)
    finally:
        made.close()


def _is_number(value: Any) -> bool:
    return np.ndim(value) == 0 and np.asarray(value).dtype.kind in "biuf"


def make(env_id: str) -> gym.Env[Any, Any]:
    """Return the environment of that id; an error says how to name a module that registers it."""
    try:
        return gym.make(env_id)
    except (gym.error.NameNotFound, gym.error.NamespaceNotFound) as error:
        if ":" in env_id:
            raise
        raise gym.error.NameNotFound(
            f"there is no environment {env_id!r}. If a module registers it, name the module as well: "
            f"module:{env_id} ({error})"
        ) from error


def action_names(env: Any, space: spaces.Space[Any]) -> Sequence[str] | None:
    """Return a name for each action, by ``get_action_meanings`` (Atari) or the enumeration ``actions`` (Minigrid)."""
    if not isinstance(space, spaces.Discrete):
        return None
    count = int(space.n)
    world: Any = env.unwrapped
    known: list[str] = []
    if callable(getattr(world, "get_action_meanings", None)):
        known = [str(name).lower() for name in world.get_action_meanings()]
    elif isinstance(getattr(world, "actions", None), enum.EnumMeta):
        known = [str(action.name) for action in world.actions]
    return known if len(known) == count else [f"action {number}" for number in range(count)]


def class_mdp(env: Any) -> Any:
    """Return the attribute ``class_mdp`` of an environment, or ``None`` if it has none or its outcomes are random."""
    try:
        if hasattr(env, "get_wrapper_attr"):
            return env.get_wrapper_attr("class_mdp")
        return getattr(env, "class_mdp", None)
    except (AttributeError, ValueError):
        return None


def collected(
    env: str | Envs,
    steps: int,
    policy: Policy | str,
    labels: Sequence[str],
    episodes: int | None,
    seed: int,
    world: World,
) -> Iterator[Episode]:
    """Yield episodes as ``AuditSet.collect`` wants them."""
    from tqdm import tqdm

    require_integer("steps", steps, least=1)
    if episodes is not None:
        require_integer("episodes", episodes, least=1)
    if not (isinstance(policy, str) and policy == "random") and not callable(getattr(policy, "predict", None)):
        raise ValueError(f"policy={shown(policy)} is neither 'random' nor has it predict(observations): give a model")
    with _opened(env) as envs:
        actor = None if isinstance(policy, str) else policy
        try:
            if episodes is None:
                with tqdm(total=steps, desc="observations", disable=None) as bar:
                    for episode in data.episodes(envs, steps, seed, actor, labels):
                        bar.update(len(episode.rewards))
                        yield episode
            else:
                endless = data.episodes(envs, sys.maxsize, seed, actor, labels)
                yield from tqdm(islice(endless, episodes), "episodes", episodes, disable=None)
        except ValueError as error:
            if not labels or "label" not in str(error):
                raise
            known = f"; info holds the numbers {', '.join(world.keys)}" if world.keys else ""
            raise ValueError(f"classes_from={labels[-1]!r} names no class{known}: {error}") from error


@contextmanager
def _opened(env: str | Envs) -> Iterator[Envs]:
    """Give ``env``, or the environment of that id, and close what was made here."""
    if isinstance(env, VectorEnv):
        yield env
        return
    made = gym.make_vec(env, num_envs=1, vectorization_mode="sync")  # of several, short episodes would be first
    try:
        yield made
    finally:
        made.close()
