"""When the auxiliary gradient is applied: together with the algorithm's own, within it, or between its rollouts."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from stable_baselines3.common.base_class import BaseAlgorithm
from torch.optim import Optimizer

from jepa_extractor.checks import require_integer
from jepa_extractor.sb3 import adapter
from jepa_extractor.sb3.algorithm_batch import OwnBatch, reads_algorithm
from jepa_extractor.sb3.algorithm_buffer import own_buffer, require_own_buffer
from jepa_extractor.sb3.extractor import JEPAExtractor
from jepa_extractor.sb3.recorder import Recorder
from jepa_extractor.train.step import Gradient, Transitions

MEASURE_EVERY = 8  # updates between two measurements of the algorithm's gradient


@dataclass
class Owned:
    """What an optimizer of the algorithm owns, and how often it has stepped.

    Attributes:
        extractors: those whose parameters the optimizer holds.
        steps: steps that the optimizer has made.
        answered: how many of ``steps`` ``Alternating`` has followed with steps of its own.
        optimizer: the optimizer of these steps of ``Alternating``.
        own_batch: what ``Shared`` watches during a training.
    """

    extractors: list[JEPAExtractor] = field(default_factory=list)
    steps: int = 0
    answered: int = 0
    optimizer: Optimizer | None = None
    own_batch: OwnBatch | None = None

    def state(self) -> dict[str, Any]:
        """Return what a resumed training needs, as plain values: see ``restore``."""
        optimizer = None if self.optimizer is None else self.optimizer.state_dict()
        return {"steps": self.steps, "answered": self.answered, "optimizer": optimizer}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what ``state`` of another returned."""
        self.steps, self.answered = state["steps"], state["answered"]
        if self.optimizer is not None:
            self.optimizer.load_state_dict(state["optimizer"])


def restore_owned(owned: Collection[Owned], states: Sequence[dict[str, Any]]) -> None:
    """Restore each of ``owned``; raise ``ValueError`` if another number was saved."""
    if len(states) != len(owned):
        raise ValueError(f"the saved state is of {len(states)} trained encoders, the model has {len(owned)}")
    for one, state in zip(owned, states, strict=True):
        one.restore(state)


def find_owned(model: BaseAlgorithm) -> dict[Optimizer, Owned]:
    """Return what each optimizer of ``model`` that trains a ``JEPAExtractor`` owns.

    Raises:
        ValueError: there is no such extractor, it was built for another action space, or it is frozen.
    """
    found: dict[Optimizer, Owned] = {}
    for extractor, owner in adapter.trained_extractors(model):
        if extractor.action_space != model.action_space:
            raise ValueError(
                f"action_space={extractor.action_space} was given to jepa_policy_kwargs, and the model acts in "
                f"{model.action_space}: give it env.action_space"
            )
        if not any(parameter.requires_grad for parameter in extractor.parameters()):
            raise ValueError("the JEPAExtractor is frozen, so nothing could be trained: train without JEPACallback")
        found.setdefault(owner, Owned()).extractors.append(extractor)
    return found


class Trainer(Protocol):
    """What computes and adds gradients: a ``JEPACallback``."""

    @property
    def recorder(self) -> Recorder:
        """What records the transitions of the model."""

    @property
    def is_training(self) -> bool:
        """Whether its training goes on."""

    def gradient(self, extractor: JEPAExtractor, transitions: Transitions) -> Gradient:
        """Return the gradient of the weighted losses on one batch."""

    def add(self, gradient: Gradient) -> None:
        """Add a gradient to the ``.grad`` of its parameters, and count it."""


class Schedule(Protocol):
    """When to add the auxiliary gradient. ``add_gradient`` adds it to the ``.grad`` of what is owned."""

    def prepare(self, model: BaseAlgorithm, owned: Owned) -> None:
        """Prepare for a model; raise ``ValueError`` if the schedule does not suit it."""

    def start(self, model: BaseAlgorithm, owned: Owned, trainer: Trainer) -> None:
        """Act when a training starts."""

    def stop(self, owned: Owned) -> None:
        """Act when a training ends, or before the next one starts if it was interrupted."""

    def measures_next(self, owned: Owned) -> bool:
        """Return whether the algorithm's gradient is to be measured at the owner's next step."""

    def before_optimizer_step(self, owned: Owned, add_gradient: Callable[[], None]) -> None:
        """Act before a step of the owner, which ``owned.steps`` already counts."""

    def before_rollout(self, model: BaseAlgorithm, owned: Owned, add_gradient: Callable[[], None]) -> None:
        """Act before the algorithm collects its next transitions."""


@dataclass(frozen=True)
class _Every:
    """A schedule of every ``every``-th step that does nothing yet; it has all methods but ``prepare``."""

    every: int = 1

    def __post_init__(self) -> None:
        require_integer("every", self.every, least=1)

    def start(self, model: BaseAlgorithm, owned: Owned, trainer: Trainer) -> None:
        """Do nothing when a training starts."""

    def stop(self, owned: Owned) -> None:
        """Do nothing when a training ends."""

    def measures_next(self, owned: Owned) -> bool:  # noqa: ARG002
        """Return False: the algorithm's gradient is not measured."""
        return False

    def before_optimizer_step(self, owned: Owned, add_gradient: Callable[[], None]) -> None:
        """Do nothing before a step of the algorithm's optimizer."""

    def before_rollout(self, model: BaseAlgorithm, owned: Owned, add_gradient: Callable[[], None]) -> None:
        """Do nothing before the algorithm collects transitions."""


@dataclass(frozen=True)
class Joint(_Every):
    """Add the auxiliary gradient to the algorithm's own, in the same step of its optimizer.

    With both clips off that is exactly ``(loss + auxiliary).backward()``. Not for TRPO. ``JEPACallback`` calls the
    methods, for each optimizer that trains an extractor.

    Args:
        every: only at every ``every``-th step of the optimizer, at least 1.

    Raises:
        ValueError: ``every`` is not an integer of at least 1.
    """

    def prepare(self, model: BaseAlgorithm, owned: Owned) -> None:  # noqa: ARG002
        """Check the model before its first training.

        Raises:
            ValueError: ``model`` is TRPO.
        """
        adapter.require_joint(model, "Joint()")

    def measures_next(self, owned: Owned) -> bool:
        """Return whether to measure the algorithm's gradient at the next step: at each ``8 * every``-th."""
        return (owned.steps + 1) % (self.every * MEASURE_EVERY) == 0

    def before_optimizer_step(self, owned: Owned, add_gradient: Callable[[], None]) -> None:
        """Add the auxiliary gradient to ``.grad`` at every ``every``-th step of the optimizer."""
        if owned.steps % self.every == 0:
            add_gradient()


@dataclass(frozen=True)
class Alternating(_Every):
    """Make steps on the auxiliary losses alone, with an optimizer of their own, before each rollout.

    ``JEPACallback`` calls the methods, for each optimizer that trains an extractor.

    Args:
        every: follow only every ``every``-th step of the algorithm's optimizer with steps of the auxiliary, at least 1.
        replay_ratio: auxiliary steps for each step that is followed, at least 1. More of them learn more from each
            environment step, and take longer.

    Raises:
        ValueError: ``every`` or ``replay_ratio`` is not an integer of at least 1.
    """

    replay_ratio: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        require_integer("replay_ratio", self.replay_ratio, least=1)

    def prepare(self, model: BaseAlgorithm, owned: Owned) -> None:
        """Make an optimizer for the auxiliary steps, of the kind and with the options that the policy uses."""
        parameters = [parameter for extractor in owned.extractors for parameter in extractor.parameters()]
        owned.optimizer = adapter.make_optimizer(model, parameters)

    def before_rollout(self, model: BaseAlgorithm, owned: Owned, add_gradient: Callable[[], None]) -> None:
        """Make ``replay_ratio`` auxiliary steps for every ``every`` new steps of the algorithm's optimizer.

        After a rollout it would be too late: the stored log-probabilities would belong to another encoder.
        """
        assert owned.optimizer is not None
        adapter.follow_learning_rate(model, owned.optimizer)
        while owned.steps - owned.answered >= self.every:
            owned.answered += self.every
            for _ in range(self.replay_ratio):
                owned.optimizer.zero_grad()
                add_gradient()
                owned.optimizer.step()


@dataclass(frozen=True)
class Shared(_Every):
    """Use the batch and the backward pass of the algorithm itself.

    The algorithm encodes each of its batches anyway; beyond that, the auxiliary encodes the observations that followed,
    without gradient. This takes a small part of the time of ``Joint``. The callback's ``batch_size`` and
    ``rewarded_fraction`` are not read. ``max_grad_norm`` bounds the gradient on transition, heads and latents together;
    the algorithm's own clip, if it has one, then sees the sum of both gradients.

    Where ``VecNormalize`` normalises rewards, an algorithm with a replay buffer shows the auxiliary normalised ones, as
    it learns from; PPO and its kin show the original ones. The callback's ``buffer_size`` must then hold a whole
    rollout.

    The extractor must read nothing else: ``horizon=1``, a target other than ``"online"``, tasks that read predicted
    latents such as ``RewardTask(latents="predicted")``, and no augmentation. Not for TRPO and RecurrentPPO.

    ``JEPACallback`` calls the methods, for each optimizer that trains an extractor. During the training it raises
    ``ValueError`` if the algorithm encodes another number of observations than its batch holds.

    Args:
        every: only at every ``every``-th step of the optimizer, at least 1.

    Raises:
        ValueError: ``every`` is not an integer of at least 1.
    """

    def prepare(self, model: BaseAlgorithm, owned: Owned) -> None:
        """Check the model before its first training.

        Raises:
            ValueError: the model is TRPO; its buffer does not give single transitions with the last observation of an
                episode; the extractor reads something else, or its encoder is frozen; or ``target="algorithm"`` and the
                encoder has no target network of its own.
        """
        adapter.require_joint(model, "Shared()")
        require_own_buffer(model)
        for extractor in owned.extractors:
            _require_shareable(extractor)
            if reads_algorithm(extractor):
                adapter.target_of(model, extractor)

    def start(self, model: BaseAlgorithm, owned: Owned, trainer: Trainer) -> None:
        """Begin to watch the batches that the algorithm draws, and their latents."""

        def is_active() -> bool:
            return trainer.is_training and (owned.steps + 1) % self.every == 0

        source = own_buffer(model, trainer.recorder)
        owned.own_batch = OwnBatch(model, source, owned.extractors, trainer.gradient, trainer.add, is_active)

    def stop(self, owned: Owned) -> None:
        """Watch no longer."""
        if owned.own_batch is not None:
            owned.own_batch.remove()
            owned.own_batch = None


def _require_shareable(extractor: JEPAExtractor) -> None:
    jepa = extractor.jepa
    reading = [task.name for task in jepa.tasks if task.reads_after or task.label is not None]
    if extractor.horizon != 1:
        problem = f"horizon={extractor.horizon} needs more than single transitions: give horizon=1"
    elif jepa.target.reads_after:
        problem = "target='online' needs a gradient on what followed: give target='detach', or 'algorithm'"
    elif reading:
        problem = f"the task {reading[0]!r} reads more than predicted latents: give RewardTask(latents='predicted')"
    elif jepa.augmentation.augments:
        problem = "augmentation would change only what followed: give augmentation=()"
    elif not any(parameter.requires_grad for parameter in jepa.encoder.parameters()):
        problem = "the encoder is frozen, so no backward pass goes through it: unfreeze it"
    else:
        return
    raise ValueError(f"schedule=Shared(): {problem}, or use Joint()")
