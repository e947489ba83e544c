"""The options of a JEPA: their types, defaults and meanings, listed here and nowhere else.

Signatures, ``help()``, the completion of editors, ``jepa_policy_kwargs``, saved files and the site's reference are made
from this list.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, cast, get_args, get_origin, get_type_hints

from torch import nn
from typing_extensions import TypedDict

from jepa_extractor.checks import shown
from jepa_extractor.networks.encoders import EncoderName, MakeEncoder
from jepa_extractor.networks.normalization import MakeNormalization, NormalizationName
from jepa_extractor.objectives.augmentation import Augment, AugmentName
from jepa_extractor.objectives.dynamics import DynamicsLoss, DynamicsName
from jepa_extractor.objectives.targets import MakeTarget, TargetName
from jepa_extractor.objectives.tasks import AuxiliaryTask

# (latent_dim, action_dim, **arguments) -> a module that maps latents and action features to latents
MakeTransition = Callable[..., nn.Module]


class Option(NamedTuple):
    """What belongs to an option beside its type.

    Attributes:
        default: its value where none is given.
        meaning: one sentence or more, for ``help()``.
        is_architecture: whether encoder and transition depend on it, so that a saved model names it.
    """

    default: Any
    meaning: str
    is_architecture: bool = False


class JEPAOptions(TypedDict, total=False):
    """The options of ``JEPA`` by name."""

    latent_dim: Annotated[int, Option(64, "width D of a latent, at least 1.", True)]
    encoder: Annotated[
        EncoderName | MakeEncoder,
        Option(
            "auto",
            """``"auto"`` picks by the observation space: ``"pooled"`` for images, ``"grid"`` for small grids,
            ``"combined"`` for a ``Dict``, ``"mlp"`` for the rest. Other names are ``"both"``, ``"places"``,
            ``"gated"``, ``"nature"`` and ``"resnet"`` for images, and ``"identity"`` for observations that are latents
            already.
            Images have at least 32x32 pixels, for ``"nature"`` 36x36; grids have at least 5x5 cells. Or a callable
            ``(observation_space, latent_dim) -> nn.Module`` that maps preprocessed observations (B, ...) to (B, width),
            such as a subclass of Stable-Baselines3's ``BaseFeaturesExtractor``; a linear layer follows if the width is
            not D.""",
            True,
        ),
    ]
    encoder_kwargs: Annotated[Mapping[str, Any], Option({}, "further arguments of the encoder.", True)]
    transition: Annotated[
        Literal["mlp"] | MakeTransition,
        Option(
            "mlp",
            """``"mlp"``, or a callable ``(latent_dim, action_dim) -> nn.Module`` that maps latents (B, D) and action
            features (B, A) to latents (B, D).""",
            True,
        ),
    ]
    transition_kwargs: Annotated[Mapping[str, Any], Option({}, "further arguments of the transition.", True)]
    normalization: Annotated[
        NormalizationName | MakeNormalization,
        Option(
            "none",
            """of the latents, encoded and predicted: ``"none"`` (the paper), ``"layer"`` (LayerNorm), ``"simnorm"``
            (TD-MPC2), ``"minmax"`` (SPR), or a callable ``(latent_dim) -> nn.Module`` that maps latents to latents.""",
            True,
        ),
    ]
    normalize_images: Annotated[
        bool,
        Option(
            True,
            """whether uint8 images become floats in [0, 1]. Under Stable-Baselines3 it must be the policy's own;
            ``jepa_policy_kwargs`` sees to that.""",
            True,
        ),
    ]
    auxiliary: Annotated[
        Sequence[str | AuxiliaryTask],
        Option(
            ("reward",),
            """tasks, any of ``"reward"`` (on the arriving latent), ``"action_reward"`` (on latent and action),
            ``"end"``, ``"q"``, ``"random"``, or ``AuxiliaryTask`` objects such as ``RewardTask(weight=1.0)``,
            ``LabelTask("count")`` and ``VICReg()``; may be empty.""",
        ),
    ]
    dynamics: Annotated[
        DynamicsName | DynamicsLoss,
        Option(
            "squared",
            """how predicted latents are compared with those that followed: ``"squared"`` (the paper), ``"cosine"``
            after a projection and a predictor (SPR), or a ``DynamicsLoss`` object such as
            ``CosineLoss(width=256)``.""",
        ),
    ]
    dynamics_weight: Annotated[float, Option(2.0, "weight of the latent dynamics loss, at least 0.")]
    target: Annotated[
        TargetName | MakeTarget,
        Option(
            "online",
            """what the latent transition learns to predict: ``"online"`` latents with gradient (the paper),
            ``"detach"`` without, ``"ema"``: those of a moving average of the encoder, or ``"copy"``: those of a copy
            made from time to time. Or a callable ``(embedding) -> nn.Module``, where ``embedding`` is an
            ``nn.Sequential`` of the encoder and the projection of ``dynamics``. The module maps ``embedding``, a
            ``Batch`` and its ``Latents`` to what is to be predicted, (B, k, P), with P the width of the projection. It
            has a method ``update(embedding)``, and an attribute ``reads_after``: whether gradient flows into latents
            after the first.""",
        ),
    ]
    target_kwargs: Annotated[
        Mapping[str, Any],
        Option(
            {},
            """further arguments of the target: ``{"rate": 0.01}`` of ``"ema"``, ``{"every": 250}`` of ``"copy"``, in
            updates.""",
        ),
    ]
    horizon: Annotated[int, Option(1, "steps k for which the transition is unrolled in latent space, at least 1.")]
    augmentation: Annotated[
        Sequence[AugmentName | Augment],
        Option(
            (),
            """random changes of the images that the losses see, any of ``"shift"`` and ``"intensity"``, or callables
            such as ``RandomShift(pad=3)``, applied in turn.""",
        ),
    ]


_HINTS = get_type_hints(JEPAOptions, include_extras=True)
OPTIONS: dict[str, Option] = {name: get_args(hint)[1] for name, hint in _HINTS.items()}
ARCHITECTURE = tuple(name for name, option in OPTIONS.items() if option.is_architecture)


def complete_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return all options, those that are not ``given`` at their defaults.

    Raises:
        ValueError: an option is unknown.
    """
    for name, value in given.items():
        if name not in OPTIONS:
            raise ValueError(f"{name}={shown(value)} is not an option of a JEPA: they are {', '.join(OPTIONS)}")
    return {name: given.get(name, option.default) for name, option in OPTIONS.items()}


T = TypeVar("T", bound=Callable[..., Any])


def takes_options(function: T) -> T:
    """Give a class or function that takes ``**options`` their signature, and their meanings in its docstring.

    The docstring has a line ``**options:`` under ``Args``, in whose place the list is put.
    """
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())
    listed = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=option.default, annotation=_bare(_HINTS[name]))
        for name, option in OPTIONS.items()
    ]
    named = [parameter for parameter in parameters if parameter.kind is not inspect.Parameter.VAR_KEYWORD]
    cast(Any, function).__signature__ = signature.replace(parameters=[*named, *listed])
    if function.__doc__:
        lines = [f"        {name}: {' '.join(option.meaning.split())}" for name, option in OPTIONS.items()]
        function.__doc__ = function.__doc__.replace("        **options:", "\n".join(lines))
    return function


def _bare(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint
