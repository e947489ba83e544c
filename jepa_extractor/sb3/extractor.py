"""JEPAExtractor: a JEPA as the features extractor of a Stable-Baselines3 policy."""

import warnings
from typing import Any

import gymnasium as gym
import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv
from typing_extensions import Unpack

from jepa_extractor.checks import require_choice, shown
from jepa_extractor.data.batch import Tensors
from jepa_extractor.jepa import JEPA
from jepa_extractor.options import JEPAOptions, complete_options, takes_options
from jepa_extractor.recipes import RECIPES, RecipeName


@takes_options
class JEPAExtractor(BaseFeaturesExtractor):
    """A features extractor whose features are the latents of a JEPA's encoder.

    It holds the whole JEPA, so that the policy's own optimizer trains it, and it is saved and loaded with the model.
    The policy's loss gives transition and heads no gradient; ``JEPACallback`` does.

    Args:
        observation_space: as the policy sees it.
        action_space: the environment's action space; ``jepa_policy_kwargs`` passes it on.
        **options:

    Attributes:
        jepa: the JEPA.
        is_alone: whether neither ``JEPACallback`` nor ``load_pretrained`` has seen the extractor yet.

    Raises:
        ValueError: an argument is out of range or unknown; the message names it, its value and what to give instead.

    Warns:
        UserWarning: once, when a policy's gradient arrives and nothing trains the JEPA.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any] | None = None,
        **options: Unpack[JEPAOptions],
    ) -> None:
        super().__init__(observation_space, 1)
        self.jepa = JEPA(observation_space, action_space, **options)  # type: ignore[arg-type]  # it says what is missing
        self._features_dim = self.jepa.latent_dim
        self.is_alone = any([self.jepa.dynamics_weight, *(task.weight for task in self.jepa.tasks)])

    def forward(self, observations: Tensors) -> torch.Tensor:
        """Map preprocessed observations, float32 (B, ...) or a dict of these, to latents, float32 (B, D)."""
        latents: torch.Tensor = self.jepa.encoder(observations)
        if self.is_alone and latents.requires_grad:
            latents.register_hook(self._warn_if_alone)
        return latents

    def _warn_if_alone(self, _: torch.Tensor) -> None:
        if self.is_alone:
            warnings.warn(
                "the policy trains the encoder of its JEPAExtractor, and nothing trains the JEPA: call "
                "model.learn(..., callback=JEPACallback()), or build it with auxiliary=() and dynamics_weight=0",
                stacklevel=2,
            )
        self.is_alone = False


@takes_options
def jepa_policy_kwargs(
    env_or_space: gym.Env[Any, Any] | gym.vector.VectorEnv[Any, Any, Any] | VecEnv | spaces.Space[Any],
    recipe: RecipeName = "shared",
    **options: Unpack[JEPAOptions],
) -> dict[str, Any]:
    """Return the ``policy_kwargs`` that give a Stable-Baselines3 policy a ``JEPAExtractor``.

    Args:
        env_or_space: the environment, or its action space.
        recipe: a set of options: ``"shared"``, which costs least; ``"paper"`` (P-JEPA, arXiv 2509.12249), ``"spr"``
            (arXiv 2007.05929), ``"mrq"`` (MR.Q, arXiv 2501.16142) or ``"tdmpc2"`` (arXiv 2310.16828). Options given
            beside it win, and where none is given, ``JEPA``'s defaults hold.
        **options:

    Returns:
        A dict to which other policy arguments (``net_arch``, ``optimizer_class``, ...) may be added.

    Raises:
        ValueError: the environment, the recipe or an option is unknown; values are checked when the policy is built.
    """
    require_choice("recipe", recipe, RECIPES)
    complete_options(options)
    space = getattr(env_or_space, "single_action_space", getattr(env_or_space, "action_space", env_or_space))
    if not isinstance(space, spaces.Space):
        raise ValueError(
            f"env_or_space={shown(env_or_space)} is neither an environment nor a space: give the environment"
        )
    chosen = {**RECIPES[recipe](), **options}
    kwargs = {
        "features_extractor_class": JEPAExtractor,
        "features_extractor_kwargs": {"action_space": space, **chosen},
    }
    return kwargs if chosen.get("normalize_images", True) else {**kwargs, "normalize_images": False}
