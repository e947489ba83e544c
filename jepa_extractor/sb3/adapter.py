"""Access to the internals of Stable-Baselines3's algorithms."""

from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecNormalize
from torch.optim import Optimizer

from jepa_extractor.data.observations import Arrays
from jepa_extractor.jepa import JEPA
from jepa_extractor.networks.modules import training_mode_kept
from jepa_extractor.sb3.extractor import JEPAExtractor

NETWORKS = ("actor", "q_net", "quantile_net", "critic")  # of a policy, that may have a target network


class Trainee(NamedTuple):
    """What an optimizer of an algorithm trains.

    Attributes:
        optimizer: holds all parameters of the extractors.
        extractors: at least one.
    """

    optimizer: Optimizer
    extractors: list[JEPAExtractor]

    @property
    def jepas(self) -> list[JEPA]:
        """The JEPA of each extractor."""
        return [extractor.jepa for extractor in self.extractors]


def find_trainees(model: BaseAlgorithm) -> list[Trainee]:
    """Return each optimizer of ``model`` that trains a ``JEPAExtractor``, with those that it trains.

    An optimizer trains an extractor if it holds all its parameters. Where two do (TD3 with a shared
    extractor), it is the critic's. Extractors of target networks are left out.

    Raises:
        ValueError: there is no such extractor, it was built for another action space or other images than the policy
            sees, or it is frozen.
    """
    policy: Any = model.policy
    owners: list[Any] = [getattr(policy, "critic", None), getattr(policy, "actor", None), policy]
    optimizers = [owner.optimizer for owner in owners if getattr(owner, "optimizer", None) is not None]
    held = [{id(parameter) for group in one.param_groups for parameter in group["params"]} for one in optimizers]
    found: dict[Optimizer, Trainee] = {}
    for extractor in (module for module in policy.modules() if isinstance(module, JEPAExtractor)):
        own = {id(parameter) for parameter in extractor.parameters()}
        owner = next((optimizer for optimizer, its in zip(optimizers, held, strict=True) if own <= its), None)
        if owner is not None:
            _require_fitting(model, extractor.jepa)
            extractor.is_alone = False
            found.setdefault(owner, Trainee(owner, [])).extractors.append(extractor)
    if not found:
        raise ValueError(
            f"the policy {type(policy).__name__} trains no JEPAExtractor: build the model with "
            "policy_kwargs=jepa_policy_kwargs(env)"
        )
    return list(found.values())


def _require_fitting(model: BaseAlgorithm, jepa: JEPA) -> None:
    if jepa.action_space != model.action_space:
        raise ValueError(
            f"action_space={jepa.action_space} was given to jepa_policy_kwargs, and the model acts in "
            f"{model.action_space}: give it env.action_space"
        )
    if jepa.normalize_images != model.policy.normalize_images:
        raise ValueError(
            f"normalize_images={model.policy.normalize_images} of the policy differs from that of its JEPAExtractor: "
            "give it to jepa_policy_kwargs, which passes it to both"
        )
    if not any(parameter.requires_grad for parameter in jepa.parameters()):
        raise ValueError("the JEPAExtractor is frozen, so nothing could be trained: train without JEPACallback")


def target_of(model: BaseAlgorithm, extractor: JEPAExtractor) -> JEPAExtractor | None:
    """Return the extractor of the target network that follows the one of ``extractor``, if there is one."""
    policy: Any = model.policy
    for network in NETWORKS:
        if extractor is getattr(getattr(policy, network, None), "features_extractor", None):
            found = getattr(getattr(policy, f"{network}_target", None), "features_extractor", None)
            if isinstance(found, JEPAExtractor):
                return found
    return None


def has_target(model: BaseAlgorithm) -> bool:
    """Return whether a network of the policy is followed by a target network."""
    return any(hasattr(model.policy, f"{network}_target") for network in NETWORKS)


def require_joint(model: BaseAlgorithm, schedule: str) -> None:
    """Raise ``ValueError`` if gradients cannot be added to the policy's own.

    TRPO moves its policy by conjugate gradients under a KL limit; its optimizer steps for the critic alone, so
    an auxiliary gradient there would move the shared encoder past that limit.
    """
    if _is_trpo(model):
        raise ValueError(f"schedule={schedule} would bypass the KL limit of TRPO: use JEPACallback(Alternating())")


def require_freezable(model: BaseAlgorithm) -> None:
    """Raise ``ValueError`` if the algorithm differentiates by every parameter, frozen or not."""
    if _is_trpo(model):
        raise ValueError("freeze=True: TRPO cannot train a policy with frozen parameters; use freeze=False")


def make_optimizer(model: BaseAlgorithm, parameters: list[torch.nn.Parameter]) -> Optimizer:
    """Return an optimizer for ``parameters`` of the kind, and with the options, that the policy uses."""
    policy: Any = model.policy
    optimizer: Optimizer = policy.optimizer_class(parameters, lr=model.lr_schedule(1.0), **policy.optimizer_kwargs)
    return optimizer


def follow_learning_rate(model: BaseAlgorithm, optimizer: Optimizer) -> None:
    """Set the learning rate of ``optimizer`` to the current one of the model's schedule."""
    rate = model.lr_schedule(model._current_progress_remaining)
    for group in optimizer.param_groups:
        group["lr"] = rate


def environment(model: BaseAlgorithm) -> VecEnv:
    """Return the model's vector environment."""
    env = model.get_env()
    assert env is not None
    return env


def normalizer(model: BaseAlgorithm) -> VecNormalize | None:
    """Return the ``VecNormalize`` that changes what the policy sees, if there is one."""
    wrapper = model.get_vec_normalize_env()
    return wrapper if wrapper is not None and wrapper.norm_obs else None


def policy_actions(model: BaseAlgorithm, observations: Arrays) -> NDArray[Any]:
    """Return the policy's deterministic actions at ``observations`` (N, ...), in the environment's scale.

    The training mode of every module is left as it was.
    """
    with training_mode_kept(model.policy):
        actions, _ = model.policy.predict(observations, deterministic=True)
    return actions


def _is_trpo(model: BaseAlgorithm) -> bool:
    return any(ancestor.__name__ == "TRPO" for ancestor in type(model).__mro__)  # sb3-contrib may not be installed
