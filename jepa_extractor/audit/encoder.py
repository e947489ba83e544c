"""The audit of an encoder: it collects the observations itself."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import VectorEnv
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.preprocessing import preprocess_obs
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

from jepa_extractor.audit.report import CollapseReport, collapse_audit
from jepa_extractor.bisimulation import bisimulation_metric, largest_bisimulation, quotient_mdp
from jepa_extractor.checks import require_integer
from jepa_extractor.sb3.extractor import CHUNK, JEPAExtractor
from jepa_extractor.rollouts import random_episodes
from jepa_extractor.spaces import policy_space
from jepa_extractor.modules import training_mode_kept

Mdp = tuple[ArrayLike, ArrayLike]


def audit_encoder(
    model: BaseAlgorithm | BasePolicy | JEPAExtractor,
    envs: str | VectorEnv[Any, Any, Any],
    classes_from: str,
    mdp: Mdp | None = None,
    observations: int = 2_000,
    seed: int = 0,
) -> CollapseReport:
    """Audit an encoder on observations under uniformly random actions.

    Args:
        model: a model, a policy or an extractor. Of a policy with several features extractors, the first counts.
        envs: environments without ``VecNormalize`` or frame stacks beyond their own wrappers, or the id of one.
        classes_from: key of ``info``, whose number is the class that the observation belongs to; with ``mdp``, the
            state.
        mdp: successors (n, k) and values (n,) of the states that ``info`` names: then the classes are those of its
            largest bisimulation, every one is required, and the latents' distances are compared with the bisimulation
            metric.
        observations: observations to collect, about.
        seed: seed of environments and actions.

    Raises:
        ValueError: an argument is out of range, ``info`` has no such number, it names no state of ``mdp``, a class was
            seen less than twice, or the policy does not take such observations.
    """
    if isinstance(envs, str):
        envs = gym.make_vec(envs, num_envs=8, vectorization_mode="sync")
    require_integer("observations", observations, least=1)
    policy = model.policy if isinstance(model, BaseAlgorithm) else model
    own = policy._observation_space if isinstance(policy, JEPAExtractor) else policy.observation_space
    seen = policy_space(envs.single_observation_space)
    if own.shape != seen.shape:
        raise ValueError(
            f"envs show observations of shape {seen.shape}, the encoder takes {own.shape}: wrap them alike"
        )
    images, labels = collect(envs, classes_from, observations, seed)
    states = np.rint(labels).astype(np.int64)
    are_integers = np.array_equal(states, labels)
    if mdp is None:
        return collapse_audit(encode(policy, images), states if are_integers else labels)
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
    return collapse_audit(encode(policy, images), classes[states], distances)


def collect(
    envs: VectorEnv[Any, Any, Any], label: str, observations: int, seed: int
) -> tuple[NDArray[np.generic], NDArray[np.float64]]:
    """Return observations (N, ...), as policies see them, and their labels (N,); those without one are left out."""
    episodes = list(random_episodes(envs, observations, seed, (label,)))
    seen = np.concatenate([episode.observations for episode in episodes])
    labels = np.concatenate([episode.labels[label] for episode in episodes])
    known = np.isfinite(labels)
    return seen[known], labels[known]


def exact_classes(successors: ArrayLike, values: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the class of each state, (n,), and the bisimulation metric of the c classes, (c, c)."""
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
