"""What Stable-Baselines3 calls things: the one file that knows the insides of its algorithms.

Which encoders does a model train, by which optimizer, and what happened in the step just taken?
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from torch.optim import Optimizer

from jepa_extractor.extractor import JEPAExtractor


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

    An optimizer trains an extractor if it holds its whole encoder. Where two do (TD3 with a shared
    extractor), the critic's counts. Target networks belong to none.

    Raises:
        ValueError: there is no such extractor.
    """
    policy: Any = model.policy
    owners: list[Any] = [getattr(policy, "critic", None), getattr(policy, "actor", None), policy]
    optimizers = [owner.optimizer for owner in owners if getattr(owner, "optimizer", None) is not None]
    trained = []
    for extractor in (module for module in policy.modules() if isinstance(module, JEPAExtractor)):
        encoder = {id(parameter) for parameter in extractor.jepa.encoder.parameters()}
        for optimizer in optimizers:
            held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
            if encoder <= held:
                trained.append(Trained(extractor, optimizer))
                break
    if not trained:
        raise ValueError(
            f"the policy {type(policy).__name__} trains no JEPAExtractor: build the model with "
            "policy_kwargs=jepa_policy_kwargs(env.action_space)"
        )
    return trained


def last_observations(model: BaseAlgorithm) -> NDArray[np.generic]:
    """Return the observations (n, ...) at which the next actions will be taken."""
    observations = model._last_obs
    assert isinstance(observations, np.ndarray)
    return observations


def reset_labels(model: BaseAlgorithm, label: str | None) -> NDArray[np.float32]:
    """Return ``info[label]`` of each environment's last reset, (n,), NaN where it is missing."""
    env = model.get_env()
    assert env is not None
    return _labels(env.unwrapped.reset_infos, label)  # wrappers keep empty copies


def read_step(model: BaseAlgorithm, local_variables: dict[str, Any], label: str | None) -> Step:
    """Return the step just taken, from the local variables of ``collect_rollouts`` in ``_on_step``.

    Rewards are copied: PPO adds a bootstrap value to them at a time limit, afterwards.
    """
    infos, ended = local_variables["infos"], local_variables["dones"]
    restarted = local_variables["new_obs"]
    arrived = restarted
    if ended.any():
        arrived = restarted.copy()
        for i in np.flatnonzero(ended):
            arrived[i] = infos[i]["terminal_observation"]
    truncated = np.array([info.get("TimeLimit.truncated", False) for info in infos], np.bool_)
    return Step(
        # on-policy algorithms keep the unclipped action as "actions"; the environment saw the clipped one
        actions=local_variables.get("clipped_actions", local_variables["actions"]),
        rewards=np.array(local_variables["rewards"]),
        terminated=ended & ~truncated,
        arrived=arrived,
        arrived_labels=_labels(infos, label),
        ended=ended,
        restarted=restarted,
        restarted_labels=reset_labels(model, label),
    )


def _labels(infos: list[dict[str, Any]], label: str | None) -> NDArray[np.float32]:
    return np.array([np.nan if label is None else info.get(label, np.nan) for info in infos], np.float32)
