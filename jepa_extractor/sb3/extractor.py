"""JEPAExtractor: a JEPA as the features extractor of a Stable-Baselines3 policy."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.preprocessing import preprocess_obs
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from typing_extensions import Unpack

from jepa_extractor.checks import require_choice, require_type
from jepa_extractor.data.batch import Batch, Latents, Tensors
from jepa_extractor.data.observations import Arrays, length, map_arrays
from jepa_extractor.data.spaces import is_image
from jepa_extractor.jepa import (
    JEPA,
    JEPAOptions,
    MakeNormalization,
    MakeTarget,
    MakeTransition,
    NormalizationName,
    TargetName,
)
from jepa_extractor.networks.encoders import EncoderName, MakeEncoder
from jepa_extractor.networks.modules import evaluation_mode, in_chunks
from jepa_extractor.objectives.augmentation import Augment, AugmentName
from jepa_extractor.objectives.dynamics import DynamicsLoss, DynamicsName
from jepa_extractor.objectives.tasks import AuxiliaryTask
from jepa_extractor.recipes import RECIPES, RecipeName


class JEPAExtractor(BaseFeaturesExtractor):
    """A features extractor whose features are the latents of a JEPA's encoder.

    It holds the JEPA's transition and heads too, so that the policy's own optimizer trains them and they are saved and
    loaded with the model. The policy's loss gives them no gradient; ``JEPACallback`` does.

    Args:
        observation_space: as the policy sees it: images have their channels first (Stable-Baselines3 moves them).
        action_space: the environment's action space: ``Box``, ``MultiBinary``, or ``Discrete`` or ``MultiDiscrete``
            that start at 0; ``jepa_policy_kwargs`` passes it on.
        latent_dim: width D of the latent, the number of features, at least 1.
        encoder: ``"auto"`` picks by the observation space: ``"pooled"`` for images, ``"grid"`` for small grids,
            ``"combined"`` for a ``Dict``, ``"mlp"`` for the rest. Other names are ``"places"``, ``"gated"``,
            ``"nature"`` and ``"resnet"`` for images, and ``"identity"`` for observations that are latents already.
            Images have at least 32x32 pixels, for ``"nature"`` 36x36; grids have at least 5x5 cells.
            Or a callable ``(observation_space, latent_dim) -> nn.Module`` that maps preprocessed observations (B, ...)
            to (B, width), such as a subclass of Stable-Baselines3's ``BaseFeaturesExtractor``; a linear layer follows
            if the width is not D.
        encoder_kwargs: further arguments of the encoder.
        transition: ``"mlp"``, or a callable ``(latent_dim, action_dim) -> nn.Module`` that maps latents (B, D) and
            action features (B, A) to latents (B, D).
        transition_kwargs: further arguments of the transition.
        normalization: of the latents: ``"none"`` (the paper), ``"layer"`` (LayerNorm), ``"simnorm"`` (TD-MPC2),
            ``"minmax"`` (SPR), or a callable ``(latent_dim) -> nn.Module`` that maps latents to latents.
        auxiliary: tasks, any of ``"reward"`` (on the arriving latent), ``"action_reward"`` (on latent and
            action), ``"end"``, ``"q"``, ``"random"``, or ``AuxiliaryTask`` objects such as ``RewardTask(weight=1.0)``,
            ``LabelTask("count")`` and ``VICRegTask()``; may be empty.
        dynamics: how predicted latents are compared with those that followed: ``"squared"`` (the paper), ``"cosine"``
            after a projection and a predictor (SPR), or a ``DynamicsLoss`` object such as ``CosineLoss(width=256)``.
        dynamics_weight: weight of the latent dynamics loss, at least 0.
        target: what the latent transition learns to predict: ``"online"`` latents with gradient (the paper),
            ``"detach"`` without, ``"ema"``: those of a moving average of the encoder, ``"copy"``: those of a copy made
            from time to time, or ``"algorithm"``: those of the algorithm's own target network, where it has one and the
            schedule is ``Shared()``. Or a callable ``(embedding) -> nn.Module``, where ``embedding`` is an
            ``nn.Sequential`` of the encoder and the projection of ``dynamics``. The module maps ``embedding``, a
            ``Batch`` and its ``Latents`` to what is to be predicted, (B, k, P), with P the width of the projection. It
            has a method ``update(embedding)``, and an attribute ``reads_after``: whether gradient flows into latents
            after the first.
        target_kwargs: further arguments of the target: ``{"rate": 0.01}`` of ``"ema"``, ``{"every": 250}`` of
            ``"copy"``, in updates.
        horizon: steps k for which the transition is unrolled in latent space, at least 1.
        augmentation: random changes of the images that the auxiliary losses see, any of ``"shift"`` and
            ``"intensity"``, or callables such as ``RandomShift(pad=3)``, applied in turn.

    Attributes:
        action_space: as given.
        architecture: the arguments from ``latent_dim`` to ``normalization``, as given.

    Raises:
        ValueError: an argument is out of range; the message names it, its value and what to give instead.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any] | None = None,
        latent_dim: int = 64,
        encoder: EncoderName | MakeEncoder = "auto",
        encoder_kwargs: Mapping[str, Any] | None = None,
        transition: Literal["mlp"] | MakeTransition = "mlp",
        transition_kwargs: Mapping[str, Any] | None = None,
        normalization: NormalizationName | MakeNormalization = "none",
        auxiliary: Sequence[str | AuxiliaryTask] = ("reward",),
        dynamics: DynamicsName | DynamicsLoss = "squared",
        dynamics_weight: float = 2.0,
        target: TargetName | MakeTarget = "online",
        target_kwargs: Mapping[str, Any] | None = None,
        horizon: int = 1,
        augmentation: Sequence[AugmentName | Augment] = (),
    ) -> None:
        require_type("observation_space", observation_space, spaces.Space, "give the environment's observation space")
        super().__init__(observation_space, 1)
        self.action_space = _checked_action_space(action_space)
        self.jepa = JEPA(
            observation_space,
            self.action_space,
            latent_dim,
            encoder,
            encoder_kwargs or {},
            transition,
            transition_kwargs or {},
            normalization,
            auxiliary,
            dynamics,
            dynamics_weight,
            target,
            target_kwargs or {},
            horizon,
            augmentation,
        )
        self._features_dim = int(latent_dim)
        self.architecture = {
            "latent_dim": int(latent_dim),
            "encoder": encoder,
            "encoder_kwargs": dict(encoder_kwargs or {}),
            "transition": transition,
            "transition_kwargs": dict(transition_kwargs or {}),
            "normalization": normalization,
        }

    @property
    def observation_space(self) -> spaces.Space[Any]:
        """The space of observations as the policy sees them."""
        return self._observation_space

    @property
    def horizon(self) -> int:
        """Steps for which the transition is unrolled in training."""
        return self.jepa.horizon

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters(), torch.empty(0)).device

    def forward(self, observations: Tensors) -> torch.Tensor:
        """Map preprocessed observations, float32 (B, ...) or a dict of these, to latents, float32 (B, D)."""
        latents: torch.Tensor = self.jepa.encoder(observations)
        return latents

    def encode(self, observations: Arrays, normalize_images: bool = True) -> NDArray[np.float32]:
        """Map observations, as the policy sees them, to latents, float32 (N, D), without gradient, in evaluation mode.

        Args:
            observations: ``(N, *shape of the observation space)``, N at least 1, not yet preprocessed; a dict of
                arrays for a ``Dict`` space.
            normalize_images: whether uint8 images become floats in [0, 1]: the policy's ``normalize_images``.

        Raises:
            ValueError: there is no observation.
        """
        if length(observations) == 0:
            raise ValueError("observations are empty: give at least one")
        with evaluation_mode(self):
            return in_chunks(
                lambda seen: self(_preprocess(seen, self.observation_space, normalize_images)),
                lambda rows: map_arrays(lambda array: array[rows], observations),
                length(observations),
                self.device,
            )

    def losses(self, batch: Batch) -> tuple[dict[str, torch.Tensor], Latents]:
        """Return every loss on a batch, and the latents that they were computed from. Nothing is changed.

        Images are moved to the device as they are stored and become float there, as the policy's own do.

        Args:
            batch: B stretches of k steps, as ``TransitionRing.sample`` gives them.

        Returns:
            The losses, float32 scalars with gradient: ``"dynamics"`` first, then each task's by its ``name``. And the
            latents, whose ``encoded`` is (B, 1, D) where no loss sends a gradient into later ones.

        Raises:
            ValueError: with ``target="algorithm"``, the batch holds no ``targets``.
        """
        batch = batch.to(self.device)
        frames = map_arrays(lambda tensor: tensor.flatten(0, 1), batch.observations)
        seen = _preprocess(frames, self.observation_space, batch.normalize_images)
        return self.jepa.losses(
            batch.replace(
                observations=map_arrays(_stretched, seen, batch.observations),
                actions=self.action_features(batch.actions),
                next_actions=None if batch.next_actions is None else self.action_features(batch.next_actions),
            )
        )

    def total(self, losses: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the weighted sum of ``losses``, scalars by name, as a scalar.

        Raises:
            KeyError: there is no loss of that name.
        """
        return self.jepa.total(losses)

    def update_targets(self) -> None:
        """Update the copy of the encoder and the targets of the tasks, and go on to the next random numbers.

        The training loop calls this before each update.
        """
        self.jepa.update_targets()

    def action_features(self, actions: torch.Tensor) -> torch.Tensor:
        """Map actions ``(B, k, *action shape)`` to features, float32 (B, k, A): one-hot where discrete."""
        features = _preprocess(actions.flatten(0, 1), self.action_space, normalize_images=False)
        assert isinstance(features, torch.Tensor)
        return features.reshape(*actions.shape[:2], -1)


def jepa_policy_kwargs(
    action_space: spaces.Space[Any], recipe: RecipeName = "paper", **options: Unpack[JEPAOptions]
) -> dict[str, Any]:
    """Return the ``policy_kwargs`` that give a Stable-Baselines3 policy a ``JEPAExtractor``.

    Args:
        action_space: the environment's action space.
        recipe: a set of options: ``"paper"`` (P-JEPA, arXiv 2509.12249: the defaults), ``"spr"`` (arXiv 2007.05929),
            ``"mrq"`` (MR.Q, arXiv 2501.16142) or ``"tdmpc2"`` (arXiv 2310.16828).
        **options: those of ``JEPAExtractor`` from ``latent_dim`` on; they win over the recipe's.

    Returns:
        A dict to which other policy arguments (``net_arch``, ``optimizer_class``, ...) may be added.

    Raises:
        ValueError: the recipe or an option is unknown. ``JEPAExtractor`` checks the values when the policy is built.
    """
    require_choice("recipe", recipe, RECIPES)
    unknown = sorted(options.keys() - JEPAOptions.__annotations__.keys())
    if unknown:
        raise ValueError(
            f"{unknown[0]}={options[unknown[0]]!r} is not an option of JEPAExtractor: "  # type: ignore[literal-required]
            f"they are {', '.join(JEPAOptions.__annotations__)}"
        )
    return {
        "features_extractor_class": JEPAExtractor,
        "features_extractor_kwargs": {"action_space": action_space, **RECIPES[recipe](), **options},
    }


def _checked_action_space(space: spaces.Space[Any] | None) -> spaces.Space[Any]:
    if not isinstance(space, spaces.Space):
        raise ValueError(
            f"action_space={space!r} is not a space, and the latent transition needs the environment's: "
            "use policy_kwargs=jepa_policy_kwargs(env.action_space)"
        )
    if not isinstance(space, spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary) or (
        isinstance(space, spaces.Discrete | spaces.MultiDiscrete) and np.any(space.start)
    ):
        raise ValueError(
            f"action_space={space} is not one in which Stable-Baselines3's policies act: give Box, "
            "MultiBinary, or Discrete or MultiDiscrete that start at 0"
        )
    return space


def _stretched(frames: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return frames (B * k, ...) as (B, k, ...), the first two dimensions of ``like``."""
    return frames.view(*like.shape[:2], *frames.shape[1:])


def _preprocess(values: Tensors, space: spaces.Space[Any], normalize_images: bool) -> Tensors:
    """Preprocess a batch (B, ...) as Stable-Baselines3 does: images to [0, 1], discrete values to one-hot.

    Images become float in one pass, with their channels last in memory, as convolutions want them.
    """
    if isinstance(space, spaces.Dict) and isinstance(values, dict):
        return {key: _preprocess(values[key], space[key], normalize_images) for key in space}  # type: ignore[misc]
    if normalize_images and is_image(space) and isinstance(values, torch.Tensor):
        return values.to(torch.float32, memory_format=torch.channels_last).div_(255)
    return preprocess_obs(values, space, normalize_images=normalize_images)
