"""The audit of an encoder: it collects the observations itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
from gymnasium.vector import VectorEnv
from numpy.typing import ArrayLike
from stable_baselines3.common.vec_env import VecNormalize

from jepa_extractor.audit.audit_set import AuditSet
from jepa_extractor.audit.collapse import CollapseReport, collapse_audit
from jepa_extractor.audit.latents import Encoder, encode
from jepa_extractor.audit.separation import DifferentClasses, require_mdp
from jepa_extractor.checks import require_integer
from jepa_extractor.data.collection import random_episodes
from jepa_extractor.data.episodes import Episode

Envs = VectorEnv[Any, Any, Any]
Mdp = tuple[ArrayLike, ArrayLike]


def audit_encoder(
    model: Encoder,
    envs: str | Envs,
    classes_from: str,
    mdp: Mdp | None = None,
    observations: int = 2_000,
    seed: int = 0,
    vec_normalize: VecNormalize | None = None,
) -> CollapseReport:
    """Audit an encoder on observations under uniformly random actions.

    Args:
        model: a model, a policy or an extractor. Of several features extractors of a policy, the first is audited.
        envs: a Gymnasium vector environment, or the id of an environment, with the wrappers that the model was trained
            with. ``VecNormalize`` is not among them: see ``vec_normalize``.
        classes_from: key of ``info``, whose number is the class that the observation belongs to; with ``mdp``, the
            state.
        mdp: successors (n, k) and values (n,) or (n, m) of the states that ``info`` names, as for
            ``largest_bisimulation``: then the classes are those of its largest bisimulation, every one is required, and
            the latents' distances are compared with the bisimulation metric.
        observations: number of steps to collect, at least 1; there may be a few more, and the first observation of each
            episode is added.
        seed: seed of environments and actions, at least 0.
        vec_normalize: normalises observations before they are encoded, and is not changed; by default that of the
            model's own environment, if it has one. A policy, an extractor, or a model that was loaded without
            environment has none, even if it was trained under one.

    Returns:
        The audit; classes are named by the numbers in ``info``, with ``mdp`` by the first state of each.

    Raises:
        ValueError: an argument has the wrong type or is out of range, ``info`` has no such number, it names no state
            of ``mdp``, a class was seen fewer than two times, or the policy does not take such observations.
        gymnasium.error.Error: there is no environment of that id.
    """
    check_audit(classes_from, mdp, observations, seed)
    with opened(envs) as vector_env:
        audit_set = AuditSet.from_classes(collect(vector_env, classes_from, observations, seed), classes_from, mdp)
    required = audit_set.required
    assert isinstance(required, DifferentClasses)
    if required.counts.min() < 2:
        rare = ", ".join(str(name) for name in required.names[required.counts < 2][:10])
        mend = "collect more" + ("" if mdp is None else ", or leave them out of mdp")
        raise ValueError(f"observations={observations} showed the states {rare} less than twice: {mend}")
    rows, names, distances = required.seen_twice()
    return collapse_audit(encode(model, audit_set, vec_normalize)[rows], names, distances)


def check_audit(classes_from: str, mdp: Mdp | None, observations: int, seed: int) -> None:
    """Raise ``ValueError`` if an argument of ``audit_encoder`` is wrong for every environment."""
    if not isinstance(classes_from, str):
        raise ValueError(
            f"classes_from={classes_from!r} is not a string: name the key of info whose number is the class"
        )
    require_mdp(mdp)
    require_integer("observations", observations, least=1)
    require_integer("seed", seed, least=0)


def make_envs(envs: str | Envs) -> Envs:
    """Return ``envs``, or eight environments of that id.

    Raises:
        ValueError: ``envs`` is neither.
        gymnasium.error.Error: there is no environment of that id.
    """
    if isinstance(envs, str):
        return gym.make_vec(envs, num_envs=8, vectorization_mode="sync")
    if not isinstance(envs, VectorEnv):
        raise ValueError(
            f"envs={envs!r} is not a vector environment: give the id of an environment, or gym.make_vec(...)"
        )
    return envs


@contextmanager
def opened(envs: str | Envs) -> Iterator[Envs]:
    """Give ``make_envs(envs)``, and close it if it was made here."""
    made = make_envs(envs)
    try:
        yield made
    finally:
        if made is not envs:
            made.close()


def collect(envs: Envs, label: str, observations: int, seed: int) -> list[Episode]:
    """Return episodes of random actions whose observations are labelled by the number ``info[label]``.

    Raises:
        ValueError: ``info`` never has a number under the key ``label``.
    """
    try:
        return list(random_episodes(envs, observations, seed, (label,)))
    except ValueError as error:
        raise ValueError(f"classes_from={label!r} names no class: {error}") from error
