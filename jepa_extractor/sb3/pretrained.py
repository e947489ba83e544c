"""Loading a pretrained JEPA into a policy."""

from collections.abc import Mapping
from pathlib import Path

import torch
from stable_baselines3.common.base_class import BaseAlgorithm

from jepa_extractor.checkpoint import load_state
from jepa_extractor.checks import require_bool, require_type, shown
from jepa_extractor.jepa import JEPA
from jepa_extractor.sb3 import adapter
from jepa_extractor.sb3.extractor import JEPAExtractor
from jepa_extractor.train.pretraining import KIND, load_weights


def load_pretrained(model: BaseAlgorithm, pretrained: JEPA | str | Path, freeze: bool = False) -> None:
    """Give every ``JEPAExtractor`` of ``model``, those of target networks too, the weights of a pretrained JEPA.

    Args:
        model: built with the arguments of ``jepa_policy_kwargs`` that the pretrained JEPA was built with.
        pretrained: the JEPA, or the checkpoint of its ``pretrain``.
        freeze: whether to freeze the weights. This is not saved with the model: after loading it, call
            ``load_pretrained`` again.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        ValueError: an argument has the wrong type, the checkpoint is broken, the model has no extractor or one that
            was built otherwise, or ``freeze`` is asked of TRPO.
    """
    require_type("model", model, BaseAlgorithm, "give a model of Stable-Baselines3")
    weights: Mapping[str, torch.Tensor]
    if isinstance(pretrained, JEPA):
        weights = pretrained.state_dict()
    elif isinstance(pretrained, str | Path):
        weights = load_state(pretrained, KIND)["weights"]
    else:
        raise ValueError(f"pretrained={shown(pretrained)} is neither a JEPA nor the path of a checkpoint")
    require_bool("freeze", freeze)
    extractors = [module for module in model.policy.modules() if isinstance(module, JEPAExtractor)]
    if not extractors:
        raise ValueError(f"the policy {type(model.policy).__name__} has no JEPAExtractor: use jepa_policy_kwargs")
    if freeze:
        adapter.require_freezable(model)
    for extractor in extractors:
        load_weights(extractor.jepa, weights)
        extractor.is_alone = False
        if freeze:
            extractor.requires_grad_(False)
