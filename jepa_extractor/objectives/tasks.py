"""Auxiliary tasks: what a head must predict from the latent, besides the next latent.

A task is a small picklable object without modules of its own. To write one, subclass ``AuxiliaryTask``:
give it a name, a head, and a loss.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from gymnasium import spaces
from torch import nn
from typing_extensions import TypedDict, Unpack

from jepa_extractor.checks import (
    require_choice,
    require_fraction,
    require_integer,
    require_mapping,
    require_positive_fraction,
    require_weight,
    shown,
)
from jepa_extractor.data.batch import Batch, Latents
from jepa_extractor.data.observations import map_arrays
from jepa_extractor.data.spaces import preprocessed_size
from jepa_extractor.networks.heads import BinaryHead, NumberHead, QHead, RandomMapHead, TwoHotHead, make_head
from jepa_extractor.networks.modules import made_module
from jepa_extractor.objectives.losses import mean_over_steps, squared_error

LatentsName = Literal["encoded", "predicted", "both"]
HeadName = Literal["number", "binary", "two-hot"]
MakeNumberHead = Callable[..., nn.Module]  # (in_features, **arguments) -> a head; see NumberTask
HEADS: dict[str, MakeNumberHead] = {"number": NumberHead, "binary": BinaryHead, "two-hot": TwoHotHead}


class NumberOptions(TypedDict, total=False):
    """The options of ``NumberTask``, which describes them."""

    latents: LatentsName
    head: HeadName | MakeNumberHead
    head_kwargs: Mapping[str, Any] | None
    discount: float


class AuxiliaryTask(ABC):
    """The interface of an auxiliary task.

    ``JEPA`` checks names and weights, and raises ``ValueError``.

    Attributes:
        name: names the head, and the loss in the logs: ``jepa/<name>_loss``. A string without dots that no other
            task of the JEPA has; neither ``"dynamics"`` nor an attribute of ``torch.nn.ModuleDict``.
        weight: weight of the loss, finite and at least 0.
        label: key of ``info`` whose value the loss reads from ``Batch.labels``; ``None``: it reads none.
        reads_after: whether the loss reads more of ``Latents.encoded`` than the first. Where no loss does, later
            observations need not be encoded with gradient, which saves most of the time.
        reads_after_detached: whether the loss of a stretch of one step needs no gradient on what it reads there.
    """

    name: str
    weight: float = 1.0
    label: str | None = None
    reads_after: bool = True
    reads_after_detached: bool = False

    @abstractmethod
    def make_head(
        self, latent_dim: int, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]
    ) -> nn.Module:
        """Return the task's head, which is trained, saved and loaded with the JEPA.

        Args:
            latent_dim: width D of a latent.
            observation_space: space of observations, before they are preprocessed.
            action_space: space of actions, before they are preprocessed.
        """

    @abstractmethod
    def loss(self, head: nn.Module, latents: Latents, batch: Batch) -> torch.Tensor:
        """Return the task's loss, a scalar, with gradient into ``head`` and the latents.

        It changes nothing; ``update_target`` is for what must be updated during training.

        Args:
            head: what ``make_head`` returned.
            latents: of the batch: B stretches of k steps, of width D.
            batch: preprocessed: float32 observations (B, k + 1, ...) and action features (B, k, A).
        """

    def update_target(self, head: nn.Module) -> None:  # noqa: B027  # most tasks have none
        """Update the target of ``head``, such as a moving average of it; called before each update."""

    def needs_next_actions(self, action_space: spaces.Space[Any]) -> bool:  # noqa: ARG002
        """Whether the loss reads ``Batch.next_actions``, which takes a pass through the policy."""
        return False


class NumberTask(AuxiliaryTask):
    """Predict a number that belongs to each step, from latents that were encoded, or that the transition predicts.

    A subclass says what the number is, and from what it is read.

    Args:
        weight: weight of the loss, at least 0.
        latents: ``"encoded"``; ``"predicted"``, unrolled from the first as the dynamics are; or ``"both"``, the mean of
            the two losses. A planner reads heads off predicted latents, so they must know them.
        head: ``"number"`` for the squared error, ``"binary"`` for the cross-entropy of a probability, ``"two-hot"`` for
            that of a distribution over bins (``TwoHotHead``), or a callable ``(in_features) -> nn.Module`` that maps
            (..., in_features) to the number (..., 1), with a method ``errors`` as ``NumberHead`` has it.
        head_kwargs: further arguments of the head.
        discount: factor for each step of the horizon after the first, in (0, 1]; TD-MPC2 has 0.5.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        weight: float,
        latents: LatentsName = "encoded",
        head: HeadName | MakeNumberHead = "number",
        head_kwargs: Mapping[str, Any] | None = None,
        discount: float = 1.0,
    ) -> None:
        require_choice("latents", latents, get_args(LatentsName))
        require_positive_fraction("discount", discount)
        if not callable(head):
            require_choice("head", head, HEADS)
        head_kwargs = {} if head_kwargs is None else head_kwargs
        require_mapping("head_kwargs", head_kwargs)
        self.weight = weight
        self.latents = latents
        self.head = head
        self.head_kwargs = dict(head_kwargs)
        self.discount = discount
        self.reads_after = latents != "predicted"

    @abstractmethod
    def numbers(self, batch: Batch) -> torch.Tensor:
        """Return what is predicted, float32 (B, k)."""

    def in_features(self, latent_dim: int, action_space: spaces.Space[Any]) -> int:  # noqa: ARG002
        """Return the width of what ``inputs`` returns."""
        return latent_dim

    def inputs(self, before: torch.Tensor, after: torch.Tensor, batch: Batch) -> torch.Tensor:  # noqa: ARG002
        """Return what the head reads, (B, k, F), from the latents before and after each step, both (B, k, D)."""
        return after

    def make_head(
        self, latent_dim: int, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]
    ) -> nn.Module:
        """Return a head (..., F) -> (..., 1)."""
        del observation_space
        make = HEADS[self.head] if isinstance(self.head, str) else self.head
        return made_module("head", make, self.in_features(latent_dim, action_space), **self.head_kwargs)

    def loss(self, head: nn.Module, latents: Latents, batch: Batch) -> torch.Tensor:
        """Return the mean error over the steps that count."""
        numbers: Any = self.numbers(batch)
        losses = []
        if self.latents != "predicted":
            errors = head.errors(self.inputs(latents.before, latents.after, batch), numbers)  # type: ignore[operator]
            losses.append(mean_over_steps(errors, batch.mask, self.discount))
        if self.latents != "encoded":
            inputs = self.inputs(latents.imagined_before, latents.predicted, batch)
            losses.append(mean_over_steps(head.errors(inputs, numbers), batch.mask, self.discount))  # type: ignore[operator]
        return sum(losses[1:], losses[0]) / len(losses)


class RewardTask(NumberTask):
    """Predict the reward from the latent of the observation it arrived with: the paper's ``p(o)``.

    Exact where the reward is a function of the arriving observation.

    Args:
        weight: weight of the loss, at least 0.
        **options: the four that follow.
        latents: what the head reads: ``"encoded"`` latents (the default), ``"predicted"`` ones, unrolled from the first
            as the dynamics are, or ``"both"``: the loss is then the mean of the two. ``LatentPlanner`` reads
            heads off predicted latents.
        head: ``"number"`` for the squared error (the default), ``"binary"`` for the cross-entropy of a probability,
            ``"two-hot"`` for that of a distribution over bins. Or a callable ``(in_features) -> nn.Module`` that maps
            (..., in_features) to the number (..., 1), with a method ``errors`` that maps (..., in_features) and the
            true numbers (...) to errors (...).
        head_kwargs: further arguments of the head: ``hidden`` and ``layers`` as for ``make_head``; of ``"two-hot"``
            also ``bins``, ``limit`` (largest number, as ``log(1 + number)``) and ``interpolate`` (``"symlog"`` or
            ``"raw"``).
        discount: factor for each step of the horizon after the first, in (0, 1], by default 1; TD-MPC2 has 0.5.

    Raises:
        ValueError: ``latents``, ``head`` or ``discount`` is none of these.
        TypeError: an option is unknown.
    """

    name = "reward"

    def __init__(self, weight: float = 10.0, **options: Unpack[NumberOptions]) -> None:
        super().__init__(weight, **options)

    def numbers(self, batch: Batch) -> torch.Tensor:
        """Return the rewards, float32 (B, k)."""
        return batch.rewards


class ActionRewardTask(RewardTask):
    """Predict the reward from the latent and the action that earned it, for rewards of leaving, not arriving.

    The head reads the latent and the action's features, in_features = D + A.

    Args:
        weight: weight of the loss, at least 0.
        **options: those of ``RewardTask``, with the same errors.
    """

    name = "action_reward"

    def in_features(self, latent_dim: int, action_space: spaces.Space[Any]) -> int:
        """Return D + A: the widths of a latent and of an action's features."""
        return latent_dim + preprocessed_size(action_space)

    def inputs(self, before: torch.Tensor, after: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Return the latents ``before`` each step, (B, k, D), beside its action features: float32 (B, k, D + A)."""
        del after
        return torch.cat([before, batch.actions], dim=-1)


class EndTask(NumberTask):
    """Predict the probability that a step ended its episode, time limits not counted, from the latent arrived at.

    Args:
        weight: weight of the loss, at least 0.
        **options: those of ``RewardTask``, with the same errors; ``head`` is by default ``"binary"``.
    """

    name = "end"

    def __init__(self, weight: float = 1.0, **options: Unpack[NumberOptions]) -> None:
        options.setdefault("head", "binary")
        super().__init__(weight, **options)

    def numbers(self, batch: Batch) -> torch.Tensor:
        """Return 1 where the step ended the episode, otherwise 0, float32 (B, k)."""
        return batch.terminated.float()


class QTask(AuxiliaryTask):
    """Predict the value of the action taken, by temporal differences with a target that follows slowly.

    ``E|Q(E(o), a) - (r + discount * Q_target(E(o'), a'))|^2``, where ``a'`` is the best discrete action, or
    otherwise the policy's own; no value follows a termination. The target sends no gradient.

    Args:
        weight: weight of the loss, at least 0.
        discount: discount factor, in [0, 1]; ``None`` takes that of the algorithm that ``JEPACallback`` serves.

    Raises:
        ValueError: ``discount`` is out of range; or, when the loss is computed, nobody has named it.
    """

    name = "q"
    reads_after_detached = True

    def __init__(self, weight: float = 10.0, discount: float | None = None) -> None:
        if discount is not None:
            require_fraction("discount", discount)
        self.weight = weight
        self.discount = discount

    def make_head(
        self, latent_dim: int, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]
    ) -> nn.Module:
        """Return a Q head that holds its target too.

        For ``Discrete(n)`` it maps latents (..., D) to the values of all actions (..., n); for other spaces latents and
        action features (..., D + A) to a value (..., 1).
        """
        del observation_space
        if isinstance(action_space, spaces.Discrete):
            return QHead(latent_dim, int(action_space.n))
        return QHead(latent_dim + preprocessed_size(action_space), 1)

    def needs_next_actions(self, action_space: spaces.Space[Any]) -> bool:
        """Return whether actions are not discrete; of discrete ones, the loss finds the best itself."""
        return not isinstance(action_space, spaces.Discrete)

    def loss(self, head: nn.Module, latents: Latents, batch: Batch) -> torch.Tensor:
        """Return the mean squared temporal-difference error over the steps that count, a scalar.

        Args:
            head: what ``make_head`` returned.
            latents: encoded before and after each step, float32 (B, k + 1, D).
            batch: with ``next_actions`` (B, k, A) where actions are not discrete.
        """
        assert isinstance(head, QHead)
        discount = batch.discount if self.discount is None else self.discount
        if discount is None:
            raise ValueError("discount=None of the task 'q', and there is no algorithm: give QTask(discount=0.99)")
        if batch.next_actions is None:
            predicted = (head(latents.before) * batch.actions).sum(-1)
            following = head.target_values(latents.after).amax(-1)
        else:
            predicted = head(torch.cat([latents.before, batch.actions], dim=-1)).squeeze(-1)
            following = head.target_values(torch.cat([latents.after, batch.next_actions], dim=-1)).squeeze(-1)
        target = batch.rewards + discount * torch.where(batch.terminated, 0.0, following)
        return squared_error(predicted, target, batch.mask)

    def update_target(self, head: nn.Module) -> None:
        """Move the target network towards the head."""
        assert isinstance(head, QHead)
        head.update_target()


class RandomTask(AuxiliaryTask):
    """Predict a fixed random linear map of the observation: the paper's random ``p(o)``.

    Args:
        size: number of outputs of the map, at least 1.
        seed: seed of the map, at least 0.
        weight: weight of the loss, at least 0.

    Raises:
        ValueError: ``size`` or ``seed`` is out of range.
    """

    name = "random"

    def __init__(self, size: int = 256, seed: int = 0, weight: float = 1.0) -> None:
        require_integer("size", size, least=1)
        require_integer("seed", seed, least=0)
        self.size = size
        self.seed = seed
        self.weight = weight

    def make_head(
        self, latent_dim: int, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]
    ) -> nn.Module:
        """Return a head (..., D) -> (..., size) that holds the map too."""
        del action_space
        return RandomMapHead(latent_dim, preprocessed_size(observation_space), self.size, self.seed)

    def loss(self, head: nn.Module, latents: Latents, batch: Batch) -> torch.Tensor:
        """Return ``E|P(E(o')) - p(o')|^2 / size``, a scalar."""
        assert isinstance(head, RandomMapHead)
        target = head.target(map_arrays(lambda frames: frames[:, 1:], batch.observations))
        return squared_error(head(latents.after), target, batch.mask)


class LabelTask(AuxiliaryTask):
    """Predict a number that the environment's ``info`` holds for the observation; missing numbers are left out.

    Args:
        label: key of ``info``, not empty. The task's name is ``label_`` and the key, with ``_`` for each dot.
        weight: weight of the loss, at least 0.

    Raises:
        ValueError: ``label`` is not such a string.
    """

    def __init__(self, label: str, weight: float = 10.0) -> None:
        if not isinstance(label, str) or not label:
            raise ValueError(f"label={shown(label)} is not a key of info: give a string, as in LabelTask('count')")
        self.label = label
        self.name = f"label_{label.replace('.', '_')}"
        self.weight = weight

    def make_head(
        self, latent_dim: int, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]
    ) -> nn.Module:
        """Return a head (..., D) -> (..., 1)."""
        del observation_space, action_space
        return make_head(latent_dim, 1)

    def loss(self, head: nn.Module, latents: Latents, batch: Batch) -> torch.Tensor:
        """Return ``E|P(E(o')) - label|^2`` over the steps whose label is known, a scalar; 0 if none is."""
        assert self.label is not None
        predicted = head(latents.after).squeeze(-1)
        labels = (
            batch.labels[self.label][:, 1:] if self.label in batch.labels else torch.full_like(predicted, torch.nan)
        )
        known = labels.isfinite()
        if batch.mask is not None:
            known = known * batch.mask
        return squared_error(predicted, labels, known)


TASKS: dict[str, type[AuxiliaryTask]] = {
    "reward": RewardTask,
    "action_reward": ActionRewardTask,
    "end": EndTask,
    "q": QTask,
    "random": RandomTask,
}


def make_tasks(auxiliary: Sequence[str | AuxiliaryTask]) -> tuple[AuxiliaryTask, ...]:
    """Turn names and task objects into task objects.

    Raises:
        ValueError: a name is unknown, an entry is neither name nor task, a weight is out of range, two tasks share a
            name, or a task's name cannot be one of ``torch.nn.ModuleDict``.
    """
    if isinstance(auxiliary, str) or not isinstance(auxiliary, Sequence):
        raise ValueError(f"auxiliary={shown(auxiliary)} is not a sequence of tasks: give a tuple, as in ('reward',)")
    tasks = tuple(_make_task(entry) for entry in auxiliary)
    names = [getattr(task, "name", None) for task in tasks]
    for name in names:
        if not isinstance(name, str) or not name or "." in name or hasattr(nn.ModuleDict, name):
            raise ValueError(f"auxiliary has a task with name={shown(name)}: give it another, a string without dots")
        if names.count(name) > 1 or name == "dynamics":
            raise ValueError(f"auxiliary has two losses named {name!r}: give each task a name of its own")
    return tasks


def _make_task(entry: object) -> AuxiliaryTask:
    if isinstance(entry, str) and entry in TASKS:
        return TASKS[entry]()
    if isinstance(entry, AuxiliaryTask):
        require_weight(f"weight of the auxiliary task {getattr(entry, 'name', None)!r}", entry.weight)
        return entry
    mend = (
        "a label is named by LabelTask('count')"
        if isinstance(entry, str) and entry == "label"
        else "or give an AuxiliaryTask"
    )
    raise ValueError(f"auxiliary={shown(entry)} is unknown: choose among {', '.join(TASKS)}, {mend}")
