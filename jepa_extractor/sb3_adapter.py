"""What Stable-Baselines3 calls things: the one file that knows the insides of its algorithms.

Which encoders does a model train, by which optimizer; what happened in the step just taken; and how does the
policy see an observation?
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecNormalize
from torch.optim import Optimizer

from jepa_extractor.extractor import JEPAExtractor
from jepa_extractor.rollouts import label_numbers


class Trained(NamedTuple):
    """An extractor and the optimizer that trains it."""

    extractor: JEPAExtractor
    optimizer: Optimizer


class Step(NamedTuple):
    """One step of n environments, as ``TransitionRing.add`` takes it."""

    actions: NDArray[np.generic]
    rewards: NDArray[np.floating]
    terminated: NDArray[np.bool_]
    arrived: NDArray[np.generic]
    arrived_labels: NDArray[np.float32]
    ended: NDArray[np.bool_]
    restarted: NDArray[np.generic]
    restarted_labels: NDArray[np.float32]


def trained_extractors(model: BaseAlgorithm) -> list[Trained]:
    """Return each ``JEPAExtractor`` that an optimizer of ``model`` trains, with that optimizer.

    An optimizer trains an extractor if it holds all its parameters. Where two do (TD3 with a shared
    extractor), the critic's counts. Target networks belong to none.

    Raises:
        ValueError: there is no such extractor.
    """
    policy: Any = model.policy
    owners: list[Any] = [getattr(policy, "critic", None), getattr(policy, "actor", None), policy]
    optimizers = [owner.optimizer for owner in owners if getattr(owner, "optimizer", None) is not None]
    trained = []
    for extractor in (module for module in policy.modules() if isinstance(module, JEPAExtractor)):
        own = {id(parameter) for parameter in extractor.parameters()}
        for optimizer in optimizers:
            held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
            if own <= held:
                trained.append(Trained(extractor, optimizer))
                break
    if not trained:
        raise ValueError(
            f"the policy {type(policy).__name__} trains no JEPAExtractor: build the model with "
            "policy_kwargs=jepa_policy_kwargs(env.action_space)"
        )
    return trained


def require_joint(model: BaseAlgorithm) -> None:
    """Raise ``ValueError`` if gradients cannot be added to the policy's own.

    TRPO moves its policy by conjugate gradients under a KL limit; its optimizer steps for the critic alone, so
    an auxiliary gradient there would move the shared encoder past that limit.
    """
    if _is_trpo(model):
        raise ValueError("mode='joint' would bypass the KL limit of TRPO: use JEPACallback(mode='alternating')")


def require_freezable(model: BaseAlgorithm) -> None:
    """Raise ``ValueError`` if the algorithm differentiates by every parameter, frozen or not."""
    if _is_trpo(model):
        raise ValueError("freeze=True: TRPO cannot train a policy with frozen parameters; use freeze=False")


def batch_size(model: BaseAlgorithm) -> int:
    """Return how many transitions the algorithm learns from in one step of its optimizer."""
    own: int | None = getattr(model, "batch_size", None)
    return own if own is not None else model.n_envs * model.n_steps  # type: ignore[attr-defined]  # A2C: a rollout


def make_optimizer(model: BaseAlgorithm, parameters: list[torch.nn.Parameter]) -> Optimizer:
    """Return an optimizer for ``parameters`` of the kind, and with the options, that the policy uses."""
    policy: Any = model.policy
    optimizer: Optimizer = policy.optimizer_class(parameters, lr=model.lr_schedule(1.0), **policy.optimizer_kwargs)
    return optimizer


def follow_learning_rate(model: BaseAlgorithm, optimizer: Optimizer) -> None:
    """Set the learning rate of ``optimizer`` to that of the model's schedule now."""
    rate = model.lr_schedule(model._current_progress_remaining)
    for group in optimizer.param_groups:
        group["lr"] = rate


def environment(model: BaseAlgorithm) -> VecEnv:
    """Return the model's vector environment."""
    env = model.get_env()
    assert env is not None
    return env


def last_observations(model: BaseAlgorithm) -> NDArray[np.generic]:
    """Return the observations (n, ...), not normalised, at which the next actions will be taken."""
    normalizer = _normalizer(model)
    observations = model._last_obs if normalizer is None else normalizer.get_original_obs()
    if not isinstance(observations, np.ndarray):
        raise ValueError(
            f"observation_space={model.observation_space} is composed of several: flatten it, for instance with "
            "gymnasium.wrappers.FlattenObservation"
        )
    if normalizer is not None and observations.shape[1:] != model.observation_space.shape:
        raise ValueError(
            f"VecNormalize sees observations of shape {observations.shape[1:]}, the policy of "
            f"{model.observation_space.shape}: make VecNormalize the outermost wrapper"
        )
    return observations


def reset_labels(model: BaseAlgorithm, label: str | None) -> NDArray[np.float32]:
    """Return ``info[label]`` of each environment's last reset, (n,), NaN where it is missing."""
    return _labels(environment(model).unwrapped.reset_infos, label)  # wrappers keep empty copies


def read_step(model: BaseAlgorithm, local_variables: dict[str, Any], label: str | None) -> Step:
    """Return the step just taken, from the local variables of ``collect_rollouts`` in ``_on_step``.

    Under ``VecNormalize``, observations and rewards are the original ones, which do not drift; an episode's last
    observation comes from its normalised form, so there what ``VecNormalize`` clipped is lost. Rewards are copied:
    PPO adds a bootstrap value to them at a time limit, afterwards.
    """
    infos, ended = local_variables["infos"], local_variables["dones"]
    normalizer, vec_normalize = _normalizer(model), model.get_vec_normalize_env()
    restarted: Any = local_variables["new_obs"] if normalizer is None else normalizer.get_original_obs()
    rewards = local_variables["rewards"] if vec_normalize is None else vec_normalize.get_original_reward()
    arrived = restarted
    if ended.any():
        arrived = restarted.copy()
        for i in np.flatnonzero(ended):
            arrived[i] = _original(infos[i]["terminal_observation"], normalizer, restarted.dtype)
    truncated = np.array([info.get("TimeLimit.truncated", False) for info in infos], np.bool_)
    return Step(
        # on-policy algorithms keep the unclipped action as "actions"; the environment saw the clipped one
        actions=local_variables.get("clipped_actions", local_variables["actions"]),
        rewards=np.array(rewards),
        terminated=ended & ~truncated,
        arrived=arrived,
        arrived_labels=_labels(infos, label),
        ended=ended,
        restarted=restarted,
        restarted_labels=reset_labels(model, label),
    )


def as_the_policy_sees(model: BaseAlgorithm, observations: NDArray[np.generic]) -> NDArray[np.generic]:
    """Normalise stored observations (..., *observation shape) with today's statistics, under ``VecNormalize``."""
    normalizer = _normalizer(model)
    if normalizer is None:
        return observations
    normalized = normalizer.normalize_obs(observations)
    assert isinstance(normalized, np.ndarray)
    return normalized.astype(np.float32)


def policy_actions(model: BaseAlgorithm, observations: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return the policy's deterministic actions at ``observations`` (N, ...), in the environment's scale.

    The training mode of every module is left as it was.
    """
    with training_mode_kept(model.policy):
        actions, _ = model.policy.predict(observations, deterministic=True)
    return actions


@contextmanager
def training_mode_kept(policy: torch.nn.Module) -> Iterator[None]:
    """Leave the training mode of every module as it was."""
    modes = {module: module.training for module in policy.modules()}
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def _is_trpo(model: BaseAlgorithm) -> bool:
    return any(ancestor.__name__ == "TRPO" for ancestor in type(model).__mro__)  # sb3-contrib may not be installed


def _normalizer(model: BaseAlgorithm) -> VecNormalize | None:
    """Return the ``VecNormalize`` that changes what the policy sees, if there is one."""
    normalizer = model.get_vec_normalize_env()
    return normalizer if normalizer is not None and normalizer.norm_obs else None


def _original(
    observation: NDArray[np.generic], normalizer: VecNormalize | None, dtype: np.dtype[Any]
) -> NDArray[np.generic]:
    if normalizer is None:
        return observation
    original = normalizer.unnormalize_obs(observation)
    assert isinstance(original, np.ndarray)
    return np.rint(original).astype(dtype) if np.issubdtype(dtype, np.integer) else original.astype(dtype)


def _labels(infos: list[dict[str, Any]], label: str | None) -> NDArray[np.float32]:
    values = [np.nan if label is None else info.get(label, np.nan) for info in infos]
    return label_numbers(label, values).astype(np.float32)
