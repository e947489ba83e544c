"""JEPA: the model. Raw observations in; latents, what follows them, and the losses of a batch out."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import one_hot
from typing_extensions import Unpack

from jepa_extractor.checks import (
    require_bool,
    require_choice,
    require_integer,
    require_mapping,
    require_type,
    require_weight,
    shown,
)
from jepa_extractor.data.batch import Batch, Latents, Tensors, require_tensor
from jepa_extractor.data.observations import Arrays, length, map_arrays
from jepa_extractor.data.spaces import (
    as_batch,
    is_image,
    policy_space,
    preprocessed_size,
    require_action_space,
    require_observation_space,
)
from jepa_extractor.networks.encoders import make_encoder
from jepa_extractor.networks.heads import LatentTransition
from jepa_extractor.networks.modules import evaluation_mode, in_chunks, made_module, of_each_frame, output_shape
from jepa_extractor.networks.normalization import NORMALIZATIONS
from jepa_extractor.objectives.augmentation import Augmentation
from jepa_extractor.objectives.dynamics import make_dynamics
from jepa_extractor.objectives.targets import TARGETS
from jepa_extractor.objectives.tasks import make_tasks
from jepa_extractor.options import JEPAOptions, MakeTransition, complete_options, takes_options


class Logs(NamedTuple):
    """What a loss was made of, without graph.

    Attributes:
        losses: each loss by name, before its weight, scalars: ``"dynamics"`` first, then each task's by its ``name``.
        latents: the encoded latents of the batch, float32 (B, k + 1, D); (B, 1, D) where no loss reads later ones.
        predicted: the latents that the transition predicts after each step, from the first, float32 (B, k, D).
    """

    losses: dict[str, torch.Tensor]
    latents: torch.Tensor
    predicted: torch.Tensor


@takes_options
class JEPA(nn.Module):
    """``z = E(o)``, ``z' = T(z, a)``, ``P(z) = p(o)``: encoder, latent transition, and the heads of auxiliary tasks.

    Observations and actions go in as an environment or a ``TransitionRing`` gives them. To train it:

        loss, logs = jepa.loss(batch)
        loss.backward()
        optimizer.step()

    In training mode each call of ``loss`` moves what follows slowly (copies of the encoder and of a Q head) and takes
    new random numbers. In evaluation mode, ``jepa.eval()``, it changes nothing.

    Args:
        observation_space: of the environment, or of a policy: images have their channels first or last.
        action_space: of the environment: ``Box``, ``MultiBinary``, ``Discrete`` or ``MultiDiscrete`` from 0.
        **options:

    Attributes:
        observation_space: in which images have their channels first.
        action_space: as given.
        options: all options, as given or by default.
        encoder: maps preprocessed observations, float32 (B, ...) or a dict of these, to latents (B, D).
        transition: maps latents (B, D) and action features (B, A) to latents (B, D), before their normalisation.
        heads: the network of each task by its name.
        tasks: the auxiliary tasks.
        updates: how often a loss was asked for in training mode, or ``fit_transition`` made an update; int64 scalar.

    Raises:
        ValueError: an argument is out of range or unknown; the message names it, its value and what to give instead.
    """

    updates: torch.Tensor

    def __init__(
        self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any], **options: Unpack[JEPAOptions]
    ) -> None:
        super().__init__()
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))
        require_observation_space("observation_space", observation_space)
        self.observation_space = policy_space(observation_space)
        self.action_space = _checked_action_space(action_space)
        self.options = chosen = complete_options(options)
        require_integer("latent_dim", chosen["latent_dim"], least=1)
        require_integer("horizon", chosen["horizon"], least=1)
        require_weight("dynamics_weight", chosen["dynamics_weight"])
        require_bool("normalize_images", chosen["normalize_images"])
        for name in ("encoder_kwargs", "transition_kwargs", "target_kwargs"):
            require_mapping(name, {} if chosen[name] is None else chosen[name])
        self.latent_dim = int(chosen["latent_dim"])
        self.horizon: int = chosen["horizon"]
        self.dynamics_weight: float = chosen["dynamics_weight"]
        self.tasks = make_tasks(chosen["auxiliary"])
        self.dynamics = make_dynamics(chosen["dynamics"])
        self.augmentation = Augmentation(chosen["augmentation"], self.observation_space)
        make_target = _chosen("target", chosen["target"], TARGETS)
        normalize = _chosen("normalization", chosen["normalization"], NORMALIZATIONS)
        network = make_encoder(chosen["encoder"], self.observation_space, self.latent_dim, chosen["encoder_kwargs"])
        is_normalized = chosen["normalization"] != "none"
        self.encoder = (
            nn.Sequential(network, made_module("normalization", normalize, self.latent_dim))
            if is_normalized
            else network
        )
        self.transition = _make_transition(
            chosen["transition"], self.latent_dim, self.action_space, chosen["transition_kwargs"] or {}
        )
        self.predicted_norm = made_module("normalization", normalize, self.latent_dim)
        self.projection = self.dynamics.make_projection(self.latent_dim)
        self.predictor = self.dynamics.make_predictor(self.latent_dim)
        self.target = made_module("target", make_target, self._embedding, **(chosen["target_kwargs"] or {}))
        self.heads = nn.ModuleDict(
            {
                task.name: task.make_head(self.latent_dim, self.observation_space, self.action_space)
                for task in self.tasks
            }
        )

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters(), torch.empty(0)).device

    @property
    def normalize_images(self) -> bool:
        """Whether uint8 images become floats in [0, 1]."""
        return bool(self.options["normalize_images"])

    @property
    def needs_one_latent(self) -> bool:
        """Whether no gradient flows into latents encoded after the first, so that these need not be encoded."""
        return not (self.target.reads_after or any(task.reads_after for task in self.tasks))

    @property
    def _embedding(self) -> nn.Sequential:
        """The encoder and the projection; built anew, so that neither is a part of the JEPA twice."""
        return nn.Sequential(self.encoder, self.projection)

    def encode(self, observations: Arrays) -> NDArray[np.float32]:
        """Map observations to latents, float32 (N, D), without gradient, in evaluation mode.

        Args:
            observations: ``(N, *shape of the observation space)``, N at least 1, as the environment gives them, images
                with channels first or last; a dict of such arrays for a ``Dict`` space.

        Raises:
            ValueError: there is no observation, or they are not of the observation space.
        """
        batch, is_batch = as_batch(observations, self.observation_space)
        if not is_batch:
            raise ValueError("observations is one observation: give a batch, as in np.stack([observation])")
        if length(batch) == 0:
            raise ValueError("observations are empty: give at least one")
        with evaluation_mode(self):
            return in_chunks(
                lambda seen: self.encoder(preprocess(seen, self.observation_space, self.normalize_images)),
                lambda rows: map_arrays(lambda array: array[rows], batch),
                length(batch),
                self.device,
            )

    def _require_latents(self, latents: torch.Tensor) -> None:
        require_tensor("latents", latents, (None, self.latent_dim))
        kind = next((parameter.dtype for parameter in self.transition.parameters()), latents.dtype)
        if latents.dtype != kind:
            raise ValueError(f"latents are of {latents.dtype}, and the transition of {kind}: give such latents")

    def action_features(self, actions: torch.Tensor) -> torch.Tensor:
        """Map actions ``(N, *action shape)`` to features, float32 (N, A): one-hot where discrete."""
        features = preprocess(actions.to(self.device), self.action_space, normalize_images=False)
        assert isinstance(features, torch.Tensor)
        return features.flatten(1)

    def predict(self, latents: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Predict the latents (B, D) that follow latents (B, D) after actions ``(B, *action shape)``.

        Raises:
            ValueError: latents or actions are not tensors of such shapes, or actions are not of the action space.
        """
        self._require_latents(latents)
        require_tensor("actions", actions, (len(latents), *_shape(self.action_space)))
        return self.next(latents, self.action_features(actions))

    def next(self, latents: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Predict the latents (B, D) that follow latents (B, D) after actions given as features (B, A)."""
        predicted: torch.Tensor = self.predicted_norm(self.transition(latents, features))
        return predicted

    def unroll(self, latents: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Predict k steps: latents (B, D) and actions ``(B, k, *action shape)`` to the latent after each, (B, k, D).

        Raises:
            ValueError: as ``predict``; or k is 0.
        """
        self._require_latents(latents)
        require_tensor("actions", actions, (len(latents), None, *_shape(self.action_space)))
        return self._unroll(latents, self._step_features(actions))

    def _step_features(self, actions: torch.Tensor) -> torch.Tensor:
        return self.action_features(actions.flatten(0, 1)).reshape(*actions.shape[:2], -1)

    def _unroll(self, latents: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        predicted = []
        for step in range(features.shape[1]):
            latents = self.next(latents, features[:, step])
            predicted.append(latents)
        return torch.stack(predicted, dim=1)

    def loss(self, batch: Batch) -> tuple[torch.Tensor, Logs]:
        """Return the weighted sum of all losses on a batch, a float32 scalar with gradient, and what it was made of.

        Args:
            batch: B stretches of k steps, as ``TransitionRing.sample`` gives them, on any device.

        Raises:
            ValueError: the batch lacks what the target or a task reads, or has an array of another shape.
        """
        losses, latents = self.losses(batch)
        of_each = {name: loss.detach() for name, loss in losses.items()}
        return self.total(losses), Logs(of_each, latents.encoded.detach(), latents.predicted.detach())

    def losses(self, batch: Batch) -> tuple[dict[str, torch.Tensor], Latents]:
        """Return each loss by name, before its weight, with gradient, and the latents; otherwise as ``loss``."""
        require_type("batch", batch, Batch, "TransitionRing.sample gives one")
        batch.require_shapes(self.observation_space, self.action_space, self.latent_dim)
        if self.training:
            self.updates += 1
            self._move_targets()
        batch = self._preprocessed(batch)
        if batch.first_latents is not None:
            assert batch.later_latents is not None
            encoded = torch.cat([batch.first_latents.unsqueeze(1), batch.later_latents], dim=1)
        elif self.needs_one_latent:
            encoded = self.encoder(map_arrays(lambda frames: frames[:, 0], batch.observations)).unsqueeze(1)
        else:
            assert batch.observations is not None
            encoded = of_each_frame(self.encoder, batch.observations)
        latents = Latents(encoded, self._unroll(encoded[:, 0], batch.actions))
        target = self.target(self._embedding, batch, latents)
        predicted = self.predictor(self.projection(latents.predicted))
        losses = {"dynamics": self.dynamics.loss(predicted, target, batch.mask)}
        for task in self.tasks:
            losses[task.name] = task.loss(self.heads[task.name], latents, batch)
        return losses, latents

    def total(self, losses: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the weighted sum of ``losses``, scalars by name, as a scalar.

        Raises:
            KeyError: there is no loss of that name.
        """
        weights = {"dynamics": self.dynamics_weight, **{task.name: task.weight for task in self.tasks}}
        return torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()

    def _preprocessed(self, batch: Batch) -> Batch:
        """Return the batch on the JEPA's device, images as floats and augmented, actions as features.

        Images are moved as they are stored and become float there, as a policy's own do.
        """
        batch = batch.to(self.device)
        batch = batch.replace(
            actions=self._step_features(batch.actions),
            next_actions=None if batch.next_actions is None else self._step_features(batch.next_actions),
        )
        if batch.observations is None:
            return batch
        frames = map_arrays(lambda tensor: tensor.flatten(0, 1), batch.observations)
        seen = preprocess(frames, self.observation_space, self.normalize_images)
        stretched: Any = map_arrays(_stretched, seen, batch.observations)
        return batch.replace(observations=self.augmentation(stretched) if self.augmentation.augments else stretched)

    def _move_targets(self) -> None:
        self.target.update(self._embedding)  # type: ignore[operator]  # see OnlineTarget
        self.augmentation.update()
        for task in self.tasks:
            task.update_target(self.heads[task.name])


def preprocess(values: Tensors, space: spaces.Space[Any], normalize_images: bool) -> Tensors:
    """Preprocess a batch (B, ...) as Stable-Baselines3 does: images to [0, 1], discrete values to one-hot, all float32.

    Images become float in one pass, with their channels last in memory, as convolutions want them.
    """
    if isinstance(values, dict):
        assert isinstance(space, spaces.Dict)
        return {key: preprocess(values[key], space[key], normalize_images) for key in space}  # type: ignore[misc]
    if normalize_images and is_image(space):
        return values.to(torch.float32, memory_format=torch.channels_last).div_(255)
    if isinstance(space, spaces.Discrete):
        return _one_hot(values.long().reshape(-1), int(space.n), space)
    if isinstance(space, spaces.MultiDiscrete):
        parts = values.long().flatten(1).unbind(1)
        return torch.cat([_one_hot(part, int(n), space) for part, n in zip(parts, space.nvec.flat, strict=True)], dim=1)
    return values.float()


def _one_hot(numbers: torch.Tensor, count: int, space: spaces.Space[Any]) -> torch.Tensor:
    try:
        return one_hot(numbers, count).float()
    except RuntimeError as error:  # on a GPU nothing can be caught, and torch's own check reports it
        raise ValueError(f"actions or observations of {space} hold numbers that are not in 0..{count - 1}") from error


def _shape(space: spaces.Space[Any]) -> tuple[int, ...]:
    assert space.shape is not None
    return space.shape


def _stretched(frames: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return frames (B * k, ...) as (B, k, ...), the first two dimensions of ``like``."""
    return frames.view(*like.shape[:2], *frames.shape[1:])


def _checked_action_space(space: spaces.Space[Any] | None) -> spaces.Space[Any]:
    if not isinstance(space, spaces.Space):
        raise ValueError(
            f"action_space={shown(space)} is not a space, and the latent transition needs the environment's: give "
            "env.action_space, or policy_kwargs=jepa_policy_kwargs(env)"
        )
    require_action_space("action_space", space)
    return space


T = TypeVar("T")


def _chosen(name: str, value: object, named: Mapping[str, T]) -> T:
    """Return ``value`` if it is callable, otherwise what it names."""
    if callable(value):
        return cast(T, value)
    require_choice(name, value, named)
    return named[cast(str, value)]


def _make_transition(
    transition: str | MakeTransition, latent_dim: int, action_space: spaces.Space[Any], kwargs: Mapping[str, Any]
) -> nn.Module:
    is_mlp = isinstance(transition, str) and transition == "mlp"
    make: Callable[..., nn.Module] | str = LatentTransition if is_mlp else transition
    if not callable(make):
        raise ValueError(
            f"transition={shown(transition)} is unknown: give 'mlp', or a callable "
            "(latent_dim, action_dim) -> nn.Module"
        )
    action_dim = preprocessed_size(action_space)
    module = made_module("transition", make, latent_dim, action_dim, **kwargs)
    shape = output_shape(module, torch.zeros(2, latent_dim), torch.zeros(2, action_dim))
    if shape != (2, latent_dim):
        raise ValueError(
            f"transition={shown(transition)} maps 2 latents of width {latent_dim} to shape {shape}: its output must "
            "have the shape of the latents"
        )
    return module
