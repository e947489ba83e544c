"""JEPA: an encoder, a latent transition and auxiliary heads, and their losses on a batch."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from gymnasium import spaces
from torch import nn

from jepa_extractor.batch import Batch, Latents, Tensors
from jepa_extractor.checks import require_choice, require_integer, require_weight
from jepa_extractor.ema import MovingAverage
from jepa_extractor.encoders import EncoderName, MakeEncoder, make_encoder
from jepa_extractor.heads import LatentTransition, SimNorm
from jepa_extractor.losses import dynamics_loss
from jepa_extractor.modules import output_shape
from jepa_extractor.observations import each
from jepa_extractor.spaces import preprocessed_size
from jepa_extractor.tasks import AuxiliaryTask, make_tasks

TargetName = Literal["online", "detach", "ema"]
NormalizationName = Literal["none", "layer", "simnorm"]
# (latent_dim, action_dim, **arguments) -> a module that maps latents and action features to latents
MakeTransition = Callable[..., nn.Module]


class OnlineTarget(nn.Module):
    """The transition predicts the latents themselves, with gradient: the paper's choice."""

    def forward(self, encoder: nn.Module, observations: Tensors, latents: torch.Tensor) -> torch.Tensor:
        """Return ``latents`` (B, k, D)."""
        del encoder, observations
        return latents

    def update(self, encoder: nn.Module) -> None:
        """Do nothing: there is no other network."""


class DetachedTarget(OnlineTarget):
    """The transition predicts the latents, without gradient."""

    def forward(self, encoder: nn.Module, observations: Tensors, latents: torch.Tensor) -> torch.Tensor:
        """Return ``latents`` (B, k, D), detached."""
        return super().forward(encoder, observations, latents).detach()


class AveragedTarget(nn.Module):
    """The transition predicts the latents of a moving average of the encoder, which takes a second forward pass."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.average = MovingAverage(encoder)

    def forward(self, encoder: nn.Module, observations: Tensors, latents: torch.Tensor) -> torch.Tensor:
        """Encode ``observations`` (B, k, ...) to (B, k, D), without gradient."""
        target: torch.Tensor = self.average(encoder, each(lambda frames: frames.flatten(0, 1), observations))
        return target.reshape(latents.shape)

    def update(self, encoder: nn.Module) -> None:
        """Move the average towards ``encoder``."""
        self.average.update(encoder)


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
        normalization: of the latents, encoded and predicted: ``"none"`` (the paper), ``"layer"`` for LayerNorm, or
            ``"simnorm"`` (TD-MPC2).
        auxiliary: the auxiliary tasks, as names or objects.
        dynamics_weight: weight of the latent dynamics loss, at least 0.
        target: what the transition learns to predict: ``"online"`` latents with gradient (the paper), ``"detach"``
            without, or ``"ema"``: those of a moving average of the encoder.
        horizon: steps k for which the transition is unrolled in latent space, at least 1.

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
        normalization: NormalizationName,
        auxiliary: Sequence[str | AuxiliaryTask],
        dynamics_weight: float,
        target: TargetName,
        horizon: int,
    ) -> None:
        super().__init__()
        require_integer("latent_dim", latent_dim, least=1)
        require_integer("horizon", horizon, least=1)
        require_weight("dynamics_weight", dynamics_weight)
        require_choice("target", target, get_args(TargetName))
        require_choice("normalization", normalization, NORMALIZATIONS)
        self.horizon = horizon
        self.dynamics_weight = dynamics_weight
        self.tasks = make_tasks(auxiliary)
        normalize = NORMALIZATIONS[normalization]
        network = make_encoder(encoder, observation_space, latent_dim, encoder_kwargs)
        self.encoder = network if normalize is None else nn.Sequential(network, normalize(latent_dim))
        self.transition = _make_transition(transition, latent_dim, action_space, transition_kwargs)
        self.predicted_norm = nn.Identity() if normalize is None else normalize(latent_dim)
        self.target = self._make_target(target)
        self.heads = nn.ModuleDict(
            {task.name: task.make_head(latent_dim, observation_space, action_space) for task in self.tasks}
        )

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

        All observations go through the encoder in one pass. Nothing is changed; ``update_targets`` updates the targets.

        Args:
            batch: preprocessed.
        """
        size = batch.rewards.shape[0]
        encoded = self.encoder(each(lambda frames: frames.flatten(0, 1), batch.observations))
        encoded = encoded.reshape(size, -1, encoded.shape[-1])
        latents = Latents(encoded, self.unroll(encoded[:, 0], batch.actions))
        target = self.target(self.encoder, each(lambda frames: frames[:, 1:], batch.observations), latents.after)
        losses = {"dynamics": dynamics_loss(latents.predicted, target, batch.mask)}
        for task in self.tasks:
            losses[task.name] = task.loss(self.heads[task.name], latents, batch)
        return losses, latents

    def total(self, losses: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the weighted sum of ``losses``, a scalar."""
        weights = {"dynamics": self.dynamics_weight, **{task.name: task.weight for task in self.tasks}}
        return torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()

    def update_targets(self) -> None:
        """Update the moving average of the encoder, and the targets of tasks.

        The training loop calls this before each update.
        """
        self.target.update(self.encoder)
        for task in self.tasks:
            task.update_target(self.heads[task.name])

    def _make_target(self, name: TargetName) -> OnlineTarget | AveragedTarget:
        if name == "ema":
            return AveragedTarget(self.encoder)
        return OnlineTarget() if name == "online" else DetachedTarget()


NORMALIZATIONS: dict[str, Callable[[int], nn.Module] | None] = {
    "none": None,
    "layer": nn.LayerNorm,
    "simnorm": SimNorm,
}


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
