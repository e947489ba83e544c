"""One description of transitions: a ``Step`` goes into the ring, a ``Batch`` comes out of it."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from jepa_extractor.checks import require_mapping
from jepa_extractor.data.observations import Arrays, map_arrays

Tensors = torch.Tensor | dict[str, torch.Tensor]
Labels = Mapping[str, NDArray[np.floating[Any]]]


@dataclasses.dataclass(frozen=True)
class Step:
    """One step of n environments.

    Attributes:
        actions: ``(n, *action shape)``.
        rewards: (n,), of any number type.
        terminated: bool (n,), whether the step ended its episode other than by a time limit.
        ended: bool (n,), whether the step ended its episode in any way.
        arrived: the observations (n, ...) that the step led to; where it ended an episode, the last of that episode.
        restarted: the first observations (n, ...) of the next episodes where ``ended``; not read elsewhere.
        arrived_labels: numbers (n,) by name that belong to ``arrived``, NaN where unknown.
        restarted_labels: the same for ``restarted``.
    """

    actions: NDArray[Any]
    rewards: NDArray[Any]
    terminated: NDArray[np.bool_]
    ended: NDArray[np.bool_]
    arrived: Arrays
    restarted: Arrays
    arrived_labels: Labels = dataclasses.field(default_factory=dict)
    restarted_labels: Labels = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Batch:
    """B stretches of k steps.

    A ``TransitionRing`` gives observations and actions as they are stored, and ``JEPA.loss`` takes them so. The tasks
    take them preprocessed: observations as the encoder sees them, actions as features (one-hot where
    discrete), both float32.

    Attributes:
        observations: (B, k + 1, ...), before the first step and after each; a dict of these for a ``Dict`` space.
        actions: (B, k, ...).
        rewards: float32 (B, k).
        terminated: bool (B, k), whether the step ended its episode, time limits not counted.
        mask: (B, k), how much the step counts in a mean: bool, whether it belongs to the stretch, as the first always
            does; or float, a weight of at least 0, 0 where it does not belong. ``None``: all count alike.
        labels: numbers by name for each observation, float32 (B, k + 1), NaN where unknown.
        next_actions: the policy's action after each step, (B, k, ...), where a task needs it.
        discount: the algorithm's discount factor, in [0, 1]; ``None`` where there is no algorithm.
        first_latents: ``E(o)`` of the first observations, float32 (B, D), where the algorithm has computed them; it has
            computed ``later_latents`` too, then, and ``observations`` is ``None``.
        later_latents: the latents after each step, float32 (B, k, D), without gradient.
    """

    observations: Tensors | None
    actions: torch.Tensor
    rewards: torch.Tensor
    terminated: torch.Tensor
    mask: torch.Tensor | None = None
    labels: Mapping[str, torch.Tensor] = dataclasses.field(default_factory=dict)
    next_actions: torch.Tensor | None = None
    discount: float | None = None
    first_latents: torch.Tensor | None = None
    later_latents: torch.Tensor | None = None

    def require_shapes(
        self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any], latent_dim: int
    ) -> None:
        """Raise ``ValueError`` unless all attributes are tensors of the shapes above, B and k at least 1."""
        require_tensor("rewards", self.rewards, (None, None))
        count, steps = self.rewards.shape
        acted = (count, steps, *(action_space.shape or ()))
        require_tensor("terminated", self.terminated, (count, steps))
        if self.mask is not None:
            require_tensor("mask", self.mask, (count, steps))
        require_tensor("actions", self.actions, acted)
        if self.next_actions is not None:
            require_tensor("next_actions", self.next_actions, acted)
        require_mapping("labels", self.labels)
        for name, values in self.labels.items():
            require_tensor(f"labels[{name!r}]", values, (count, steps + 1))
        if self.first_latents is None:
            _require_observations(self.observations, observation_space, (count, steps + 1))
        else:
            require_tensor("first_latents", self.first_latents, (count, latent_dim))
            require_tensor("later_latents", self.later_latents, (count, steps, latent_dim))

    @property
    def observations_after(self) -> Tensors:
        """The observations after each step, (B, k, ...)."""
        assert self.observations is not None
        return map_arrays(lambda frames: frames[:, 1:], self.observations)

    def replace(self, **changes: Any) -> "Batch":
        """Return a batch with other values for the named attributes.

        Raises:
            TypeError: a batch has no attribute of that name.
        """
        return dataclasses.replace(self, **changes)

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on ``device``; latents stay where the algorithm computed them."""

        def move(tensor: torch.Tensor) -> torch.Tensor:
            return tensor.to(device, non_blocking=True)

        return self.replace(
            observations=None if self.observations is None else map_arrays(move, self.observations),
            actions=move(self.actions),
            rewards=move(self.rewards),
            terminated=move(self.terminated),
            mask=None if self.mask is None else move(self.mask),
            labels={name: move(values) for name, values in self.labels.items()},
            next_actions=None if self.next_actions is None else move(self.next_actions),
        )


def require_tensor(name: str, tensor: object, shape: tuple[int | None, ...]) -> None:
    """Raise ``ValueError`` unless ``tensor`` is one of ``shape``, in which ``None`` stands for any number above 0."""
    if isinstance(tensor, torch.Tensor) and len(tensor.shape) == len(shape):
        pairs = zip(tensor.shape, shape, strict=True)
        if all(size == wanted or (wanted is None and size) for size, wanted in pairs):
            return
    given = f"shape {tuple(tensor.shape)}" if isinstance(tensor, torch.Tensor) else f"type {type(tensor).__name__}"
    wanted = ", ".join("any" if size is None else str(size) for size in shape)
    raise ValueError(f"{name} is of {given}: give a tensor of shape ({wanted})")


def _require_observations(observations: Any, space: spaces.Space[Any], frames: tuple[int, int]) -> None:
    if not isinstance(space, spaces.Dict):
        require_tensor("observations", observations, (*frames, *(space.shape or ())))
        return
    if not isinstance(observations, dict) or not space.keys() <= observations.keys():
        raise ValueError(f"observations={type(observations).__name__} must be a dict with the keys {list(space)}")
    for key, part in space.items():
        require_tensor(f"observations[{key!r}]", observations[key], (*frames, *(part.shape or ())))


class Latents(NamedTuple):
    """The latents of a batch.

    Attributes:
        encoded: ``E(o)`` of each observation, float32 (B, k + 1, D); where no loss reads what comes after the first, of
            the first alone, (B, 1, D).
        predicted: the latent after each step, as the transition predicts it from the first, float32 (B, k, D).
    """

    encoded: torch.Tensor
    predicted: torch.Tensor

    @property
    def has_after(self) -> bool:
        """Whether more than the first observation was encoded."""
        return self.encoded.shape[1] > 1

    @property
    def before(self) -> torch.Tensor:
        """``E(o)`` before each step, (B, k, D); (B, 0, D) where only the first observation was encoded."""
        return self.encoded[:, :-1]

    @property
    def after(self) -> torch.Tensor:
        """``E(o')`` after each step, (B, k, D); (B, 0, D) where only the first observation was encoded."""
        return self.encoded[:, 1:]

    @property
    def imagined_before(self) -> torch.Tensor:
        """The latent before each step as it is unrolled, (B, k, D): the first encoded, the others predicted."""
        return torch.cat([self.encoded[:, :1], self.predicted[:, :-1]], dim=1)
