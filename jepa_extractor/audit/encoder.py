"""The audit of an encoder: it collects the observations itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import VectorEnv
from numpy.typing import ArrayLike, NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.preprocessing import preprocess_obs
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecNormalize

from jepa_extractor.audit.report import CollapseReport, collapse_audit
from jepa_extractor.checks import require_integer
from jepa_extractor.modules import training_mode_kept
from jepa_extractor.rollouts import random_episodes
from jepa_extractor.sb3.extractor import CHUNK, JEPAExtractor
from jepa_extractor.spaces import policy_space

Envs = VectorEnv[Any, Any, Any]
Mdp = tuple[ArrayLike, ArrayLike]


def audit_encoder(
    model: BaseAlgorithm | BasePolicy | JEPAExtractor,
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
        mdp: successors (n, k) and values (n,) of the states that ``info`` names: then the classes are those of its
            largest bisimulation, every one is required, and the latents' distances are compared with the bisimulation
            metric.
        observations: number of observations to collect; there may be a few more.
        seed: seed of environments and actions.
        vec_normalize: normalises observations before they are encoded, and is not changed; by default that of the
            model's own environment, if it has one. A policy, an extractor, or a model that was loaded without
            environment has none, even if it was trained under one.

    Raises:
        ValueError: an argument has the wrong type or is out of range, ``info`` has no such number, it names no state
            of ``mdp``, a class was seen fewer than two times, or the policy does not take such observations.
    """
    if not isinstance(model, BaseAlgorithm | BasePolicy | JEPAExtractor):
        raise ValueError(
            f"model is a {type(model).__name__}, not a model, policy or JEPAExtractor: load a saved model first, as by "
            "PPO.load(path)"
        )
    check_audit(classes_from, mdp, observations, seed)
    if vec_normalize is None and isinstance(model, BaseAlgorithm):
        vec_normalize = model.get_vec_normalize_env()
    policy = model.policy if isinstance(model, BaseAlgorithm) else model
    with opened(envs) as vector_env:
        own = policy._observation_space if isinstance(policy, JEPAExtractor) else policy.observation_space
        seen = policy_space(vector_env.single_observation_space)
        if seen.shape is None or own.shape != seen.shape:
            raise ValueError(
                f"envs show observations {describe(seen)}, the encoder takes observations {describe(own)}: give "
                "environments with the wrappers of the training"
            )
        raw, labels = collect(vector_env, classes_from, observations, seed)
    shown = raw if vec_normalize is None else normalized(raw, vec_normalize)
    states = np.rint(labels).astype(np.int64)
    are_integers = np.array_equal(states, labels)
    if mdp is None:
        return collapse_audit(encode(policy, shown), states if are_integers else labels)
    if not are_integers:
        raise ValueError(f"info[{classes_from!r}] is not always an integer, and so names no state: leave mdp out")
    classes, distances = exact_classes(*mdp)
    if states.min() < 0 or states.max() >= len(classes):
        raise ValueError(
            f"info[{classes_from!r}] reaches from {states.min()} to {states.max()}, but mdp has states 0 to "
            f"{len(classes) - 1}: give the mdp of this environment"
        )
    counts = np.bincount(classes[states], minlength=len(distances))
    if counts.min() < 2:
        rare = ", ".join(str(state) for state in np.flatnonzero(counts[classes] < 2)[:10])
        raise ValueError(
            f"observations={observations} showed the states {rare} less than twice: collect more, or leave them out "
            "of mdp"
        )
    return collapse_audit(encode(policy, shown), classes[states], distances)


def check_audit(classes_from: str, mdp: Mdp | None, observations: int, seed: int) -> None:
    """Raise ``ValueError`` if an argument of ``audit_encoder`` is wrong for every environment."""
    if not isinstance(classes_from, str):
        raise ValueError(
            f"classes_from={classes_from!r} is not a string: name the key of info whose number is the class"
        )
    if mdp is not None and not (isinstance(mdp, tuple | list) and len(mdp) == 2):
        raise ValueError(f"mdp={mdp!r} is not a pair: give successors (n, k) and values (n,), or None")
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


def describe(space: gym.Space[Any]) -> str:
    """Return the shape of a space in words, or its type where it has none."""
    return f"of type {type(space).__name__}" if space.shape is None else f"of shape {space.shape}"


def collect(
    envs: Envs, classes_from: str, observations: int, seed: int
) -> tuple[NDArray[np.generic], NDArray[np.float64]]:
    """Return observations (N, ...), as policies see them, and their labels (N,), without the unlabelled ones.

    Raises:
        ValueError: ``info`` never has a number under the key ``classes_from``.
    """
    try:
        episodes = list(random_episodes(envs, observations, seed, (classes_from,)))
    except ValueError as error:
        raise ValueError(f"classes_from={classes_from!r} names no class: {error}") from error
    seen = np.concatenate([episode.observations for episode in episodes])
    labels = np.concatenate([episode.labels[classes_from] for episode in episodes])
    known = np.isfinite(labels)
    if not known.any():
        raise ValueError(
            f"classes_from={classes_from!r} is in no info of {len(seen)} observations: name a key whose number is the "
            "class"
        )
    return seen[known], labels[known]


def normalized(observations: NDArray[np.generic], vec_normalize: VecNormalize) -> NDArray[np.generic]:
    """Return observations (N, ...) as ``vec_normalize`` normalises them."""
    if not isinstance(vec_normalize, VecNormalize):
        raise ValueError(
            f"vec_normalize is a {type(vec_normalize).__name__}, not a VecNormalize: give that of the training, or None"
        )
    taken = vec_normalize.observation_space.shape
    if vec_normalize.norm_obs and taken != observations.shape[1:]:
        raise ValueError(
            f"vec_normalize takes observations of shape {taken}, the encoder {observations.shape[1:]}: an audit can "
            "apply only a VecNormalize that is the last wrapper before the policy"
        )
    return np.asarray(vec_normalize.normalize_obs(observations))


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


@torch.no_grad()
def encode(policy: BasePolicy | JEPAExtractor, observations: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return the features (N, D) of observations (N, ...), as policies see them."""
    if isinstance(policy, JEPAExtractor):
        return policy.encode(observations)
    extractor = next(module for module in policy.modules() if isinstance(module, BaseFeaturesExtractor))
    features = []
    with training_mode_kept(policy):
        policy.set_training_mode(False)
        for start in range(0, len(observations), CHUNK):
            chunk = torch.from_numpy(observations[start : start + CHUNK]).to(policy.device)
            pixels = preprocess_obs(chunk, policy.observation_space, normalize_images=policy.normalize_images)
            features.append(extractor(pixels).cpu().numpy())
    return np.concatenate(features)
