"""JEPA: an encoder, a latent transition and auxiliary heads, and their losses on a batch."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, TypeVar, cast

import torch
from gymnasium import spaces
from torch import nn
from typing_extensions import TypedDict

from jepa_extractor.checks import require_choice, require_integer, require_weight
from jepa_extractor.data.batch import Batch, Latents, Tensors
from jepa_extractor.data.observations import map_arrays
from jepa_extractor.data.spaces import preprocessed_size
from jepa_extractor.networks.copies import MovingAverage, NetworkCopy, PeriodicCopy
from jepa_extractor.networks.encoders import EncoderName, MakeEncoder, make_encoder
from jepa_extractor.networks.heads import LatentTransition, MinMax, SimNorm
from jepa_extractor.networks.modules import output_shape
from jepa_extractor.objectives.augmentation import Augment, Augmentation, AugmentName
from jepa_extractor.objectives.dynamics import DynamicsLoss, DynamicsName, make_dynamics
from jepa_extractor.objectives.tasks import AuxiliaryTask, make_tasks

TargetName = Literal["online", "detach", "ema", "copy", "algorithm"]
NormalizationName = Literal["none", "layer", "simnorm", "minmax"]
# (latent_dim, action_dim, **arguments) -> a module that maps latents and action features to latents
MakeTransition = Callable[..., nn.Module]
MakeNormalization = Callable[[int], nn.Module]  # latent_dim -> a module that maps latents to latents
# (embedding, **arguments) -> a module with the members of OnlineTarget
MakeTarget = Callable[..., nn.Module]


class OnlineTarget(nn.Module):
    """The transition predicts the latents themselves, with gradient: the paper's choice.

    Attributes:
        reads_after: whether gradient flows into latents after the first.

    Args:
        embedding: what the target may copy: the encoder, and after it the projection of the dynamics loss.
    """

    reads_after = True

    def __init__(self, embedding: nn.Sequential) -> None:
        del embedding
        super().__init__()

    def forward(self, embedding: nn.Sequential, batch: Batch, latents: Latents) -> torch.Tensor:
        """Return the projected latents after each step, (B, k, P)."""
        del batch
        projected: torch.Tensor = embedding[1](latents.after)
        return projected

    def update(self, embedding: nn.Sequential) -> None:
        """Do nothing: there is no other network."""


class DetachedTarget(OnlineTarget):
    """The transition predicts the latents, without gradient."""

    reads_after = False

    @torch.no_grad()
    def forward(self, embedding: nn.Sequential, batch: Batch, latents: Latents) -> torch.Tensor:
        """Return the projected latents after each step, (B, k, P), without gradient."""
        if latents.has_after:
            return super().forward(embedding, batch, latents)
        return _of_each_frame(embedding, batch.observations_after)


class CopiedTarget(nn.Module):
    """The transition predicts the latents of a copy of the encoder, which takes a second forward pass.

    Args:
        copy: follows the embedding.
    """

    reads_after = False

    def __init__(self, copy: NetworkCopy) -> None:
        super().__init__()
        self.copy = copy

    def forward(self, embedding: nn.Sequential, batch: Batch, latents: Latents) -> torch.Tensor:
        """Return the copy's projected latents after each step, (B, k, P), without gradient."""
        del latents
        return _of_each_frame(partial(self.copy, embedding), batch.observations_after)

    def update(self, embedding: nn.Sequential) -> None:
        """Move the copy towards ``embedding``."""
        self.copy.update(embedding)


class AveragedTarget(CopiedTarget):
    """A ``CopiedTarget`` that follows at ``rate``; see ``MovingAverage``."""

    def __init__(self, embedding: nn.Sequential, rate: float = 0.01) -> None:
        super().__init__(MovingAverage(embedding, rate))


class PeriodicTarget(CopiedTarget):
    """A ``CopiedTarget`` that is copied at every ``every``-th update; see ``PeriodicCopy``."""

    def __init__(self, embedding: nn.Sequential, every: int = 250) -> None:
        super().__init__(PeriodicCopy(embedding, every))


class AlgorithmTarget(DetachedTarget):
    """The transition predicts the latents of the algorithm's own target network, which the batch must hold."""

    def forward(self, embedding: nn.Sequential, batch: Batch, latents: Latents) -> torch.Tensor:
        """Return ``batch.targets``, (B, k, P)."""
        del embedding, latents
        if batch.targets is None:
            raise ValueError("target='algorithm' needs the batches of an algorithm: use JEPACallback(Shared())")
        return batch.targets


TARGETS: dict[str, MakeTarget] = {
    "online": OnlineTarget,
    "detach": DetachedTarget,
    "ema": AveragedTarget,
    "copy": PeriodicTarget,
    "algorithm": AlgorithmTarget,
}
NORMALIZATIONS: dict[str, MakeNormalization | None] = {
    "none": None,
    "layer": nn.LayerNorm,
    "simnorm": SimNorm,
    "minmax": MinMax,
}


class JEPAOptions(TypedDict, total=False):
    """The options of a JEPA, which ``JEPAExtractor`` describes."""

    latent_dim: int
    encoder: EncoderName | MakeEncoder
    encoder_kwargs: Mapping[str, Any] | None
    transition: Literal["mlp"] | MakeTransition
    transition_kwargs: Mapping[str, Any] | None
    normalization: NormalizationName | MakeNormalization
    auxiliary: Sequence[str | AuxiliaryTask]
    dynamics: DynamicsName | DynamicsLoss
    dynamics_weight: float
    target: TargetName | MakeTarget
    target_kwargs: Mapping[str, Any] | None
    horizon: int
    augmentation: Sequence[AugmentName | Augment]


class JEPA(nn.Module):
    """``z = E(o)``, ``z' = T(z, a)``, ``P(z) = p(o)``, and the weight of each loss.

    Observations and actions are preprocessed: images float32 in [0, 1], channels first; discrete values one-hot.

    Args:
        observation_space: space of observations, before they are preprocessed.
        action_space: space of actions, before they are preprocessed.
        latent_dim: width D of a latent, at least 1.
        encoder: name of an encoder, or ``(observation_space, latent_dim) -> nn.Module``: see ``make_encoder``.
        encoder_kwargs: further arguments of the encoder.
        transition: ``"mlp"``, or ``(latent_dim, action_dim) -> nn.Module`` that maps latents (B, D) and action features
            (B, A) to latents (B, D).
        transition_kwargs: further arguments of the transition.
        normalization: of the latents, encoded and predicted: ``"none"`` (the paper), ``"layer"`` for LayerNorm,
            ``"simnorm"`` (TD-MPC2), ``"minmax"`` (SPR), or ``(latent_dim) -> nn.Module``.
        auxiliary: the auxiliary tasks, as names or objects.
        dynamics: how predicted latents are compared with those that followed, a name or an object.
        dynamics_weight: weight of the latent dynamics loss, at least 0.
        target: what the transition learns to predict: ``"online"`` latents with gradient (the paper), ``"detach"``
            without, those of a copy of the encoder, ``"ema"`` or ``"copy"``, or of the ``"algorithm"``'s own target
            network; or ``(embedding) -> nn.Module``.
        target_kwargs: further arguments of the target.
        horizon: steps k for which the transition is unrolled in latent space, at least 1.
        augmentation: random changes of the images, as names or callables.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        latent_dim: int,
        encoder: EncoderName | MakeEncoder,
        encoder_kwargs: Mapping[str, Any],
        transition: Literal["mlp"] | MakeTransition,
        transition_kwargs: Mapping[str, Any],
        normalization: NormalizationName | MakeNormalization,
        auxiliary: Sequence[str | AuxiliaryTask],
        dynamics: DynamicsName | DynamicsLoss,
        dynamics_weight: float,
        target: TargetName | MakeTarget,
        target_kwargs: Mapping[str, Any],
        horizon: int,
        augmentation: Sequence[AugmentName | Augment],
    ) -> None:
        super().__init__()
        require_integer("latent_dim", latent_dim, least=1)
        require_integer("horizon", horizon, least=1)
        require_weight("dynamics_weight", dynamics_weight)
        self.horizon = horizon
        self.dynamics_weight = dynamics_weight
        self.tasks = make_tasks(auxiliary)
        self.dynamics = make_dynamics(dynamics)
        self.augmentation = Augmentation(augmentation, observation_space)
        make_target = _chosen("target", target, TARGETS)
        normalize = _chosen("normalization", normalization, NORMALIZATIONS)
        network = make_encoder(encoder, observation_space, latent_dim, encoder_kwargs)
        self.encoder = network if normalize is None else nn.Sequential(network, normalize(latent_dim))
        self.transition = _make_transition(transition, latent_dim, action_space, transition_kwargs)
        self.predicted_norm = nn.Identity() if normalize is None else normalize(latent_dim)
        self.projection = self.dynamics.make_projection(latent_dim)
        self.predictor = self.dynamics.make_predictor(latent_dim)
        self.target = make_target(self._embedding, **target_kwargs)
        self.heads = nn.ModuleDict(
            {task.name: task.make_head(latent_dim, observation_space, action_space) for task in self.tasks}
        )

    @property
    def needs_one_latent(self) -> bool:
        """Whether no gradient flows into latents encoded after the first, so that these need not be encoded."""
        return not (self.target.reads_after or any(task.reads_after for task in self.tasks))

    @property
    def _embedding(self) -> nn.Sequential:
        """The encoder and the projection; built anew, so that neither is a part of the JEPA twice."""
        return nn.Sequential(self.encoder, self.projection)

    def next(self, latents: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Predict the latents after one action: (B, D) and action features (B, A) to (B, D)."""
        predicted: torch.Tensor = self.predicted_norm(self.transition(latents, actions))
        return predicted

    def unroll(self, latents: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Predict the latents after each of k actions, (B, D) and (B, k, A) to (B, k, D), without observations."""
        predicted = []
        for step in range(actions.shape[1]):
            latents = self.next(latents, actions[:, step])
            predicted.append(latents)
        return torch.stack(predicted, dim=1)

    def losses(self, batch: Batch) -> tuple[dict[str, torch.Tensor], Latents]:
        """Return every loss by name, scalars, ``"dynamics"`` first, and the latents that they were computed from.

        Observations whose latents need a gradient go through the encoder in one pass. Nothing is changed;
        ``update_targets`` updates the targets.

        Args:
            batch: preprocessed.
        """
        batch = batch.replace(observations=self.augmentation(batch.observations))
        if self.needs_one_latent:
            first = batch.first_latents
            if first is None:
                first = self.encoder(map_arrays(lambda frames: frames[:, 0], batch.observations))
            encoded = first.unsqueeze(1)
        else:
            encoded = _of_each_frame(self.encoder, batch.observations)
        latents = Latents(encoded, self.unroll(encoded[:, 0], batch.actions))
        target = self.target(self._embedding, batch, latents)
        predicted = self.predictor(self.projection(latents.predicted))
        losses = {"dynamics": self.dynamics.loss(predicted, target, batch.mask)}
        for task in self.tasks:
            losses[task.name] = task.loss(self.heads[task.name], latents, batch)
        return losses, latents

    def total(self, losses: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the weighted sum of ``losses``, a scalar."""
        weights = {"dynamics": self.dynamics_weight, **{task.name: task.weight for task in self.tasks}}
        return torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()

    def update_targets(self) -> None:
        """Update the copy of the encoder, the targets of tasks, and what the losses draw.

        The training loop calls this before each update.
        """
        self.target.update(self._embedding)  # type: ignore[operator]  # see OnlineTarget
        self.augmentation.update()
        for task in self.tasks:
            task.update_target(self.heads[task.name])


def _of_each_frame(network: Callable[[Tensors], torch.Tensor], observations: Tensors) -> torch.Tensor:
    """Return what ``network`` maps observations (B, k, ...) to, (B, k, width)."""
    size = (next(iter(observations.values())) if isinstance(observations, dict) else observations).shape[:2]
    mapped = network(map_arrays(lambda frames: frames.flatten(0, 1), observations))
    return mapped.reshape(*size, mapped.shape[-1])


T = TypeVar("T")


def _chosen(name: str, value: object, named: Mapping[str, T]) -> T:
    """Return ``value`` if it is callable, otherwise what it names."""
    if callable(value):
        return cast(T, value)
    require_choice(name, value, named)
    return named[cast(str, value)]


def _make_transition(
    transition: Literal["mlp"] | MakeTransition,
    latent_dim: int,
    action_space: spaces.Space[Any],
    kwargs: Mapping[str, Any],
) -> nn.Module:
    make = {"mlp": LatentTransition}.get(transition, transition) if isinstance(transition, str) else transition
    if not callable(make):
        raise ValueError(
            f"transition={transition!r} is unknown: give 'mlp', or a callable (latent_dim, action_dim) -> nn.Module"
        )
    action_dim = preprocessed_size(action_space)
    module = make(latent_dim, action_dim, **kwargs)
    shape = output_shape(module, torch.zeros(2, latent_dim), torch.zeros(2, action_dim))
    if shape != (2, latent_dim):
        raise ValueError(
            f"transition={transition!r} maps 2 latents of width {latent_dim} to shape {shape}: its output must "
            "have the shape of the latents"
        )
    return module
