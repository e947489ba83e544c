"""When the auxiliary gradient is applied: together with the algorithm's own, or between its rollouts."""

import copy
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, ref

from stable_baselines3.common.base_class import BaseAlgorithm
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from jepa_extractor.checks import require_integer
from jepa_extractor.sb3 import adapter
from jepa_extractor.sb3.adapter import Trainee
from jepa_extractor.sb3.trainer import Trainer

COMPARE_EVERY = 8  # updates between two comparisons of the algorithm's gradient with the auxiliary's

S = TypeVar("S", bound="Schedule")


class Schedule:
    """Base schedule: every hook is a no-op.

    What a user makes names the settings. ``bound`` gives a copy that acts on one optimizer and holds the state of that.
    For a schedule of your own, subclass it and override the hooks.

    Args:
        every: act only at every ``every``-th step of the optimizer, at least 1.

    Attributes:
        trainee: what a bound schedule acts on.
        trainer: what computes and adds its gradients.
        steps: how often the trainee's optimizer has stepped.

    Raises:
        ValueError: ``every`` is not an integer of at least 1.
    """

    trainee: Trainee
    trainer: Trainer

    def __init__(self, every: int = 1) -> None:
        require_integer("every", every, least=1)
        self.every = every
        self._settings = {"every": every}
        self.steps = 0

    def __repr__(self) -> str:
        """Return the call that makes such a schedule."""
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in self._settings.items())})"

    def bound(self: S, trainee: Trainee, trainer: Trainer) -> S:
        """Return a schedule of the same settings that acts on ``trainee``.

        Raises:
            ValueError: the schedule does not suit it.
        """
        one = copy.copy(self)
        one.trainee, one.trainer, one.steps = trainee, trainer, 0
        one.prepare(trainer.model)
        return one

    def prepare(self, model: BaseAlgorithm) -> None:
        """Check the model before its first training; raise ``ValueError`` if the schedule does not suit it."""

    def start(self) -> None:
        """Act when a training starts."""

    def stop(self) -> None:
        """Act when a training ends, or before the next one starts if it was interrupted."""

    def before_optimizer_step(self) -> None:
        """Act before a step of the trainee's optimizer, which ``steps`` already counts."""

    def before_rollout(self) -> None:
        """Act before the algorithm collects its next transitions."""

    def after_step(self) -> None:
        """Act after a step of the environment, which has been recorded."""

    def after_rollout(self) -> None:
        """Act after the algorithm has collected, before it trains."""

    def state(self) -> dict[str, Any]:
        """Return what a resumed training needs, as plain values: see ``restore``."""
        return {"steps": self.steps}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what ``state`` of another returned."""
        self.steps = state["steps"]


class Joint(Schedule):
    """Add the auxiliary gradient to the algorithm's own, in the same step of its optimizer.

    With both clips off that is exactly ``(loss + auxiliary).backward()``. Not for TRPO.

    Args:
        every: only at every ``every``-th step of the optimizer, at least 1.

    Raises:
        ValueError: ``every`` is not an integer of at least 1.
    """

    def prepare(self, model: BaseAlgorithm) -> None:
        """Check the model; raise ``ValueError`` if it is TRPO."""
        adapter.require_joint(model, "Joint()")

    def before_optimizer_step(self) -> None:
        """Add the auxiliary gradient to ``.grad`` at every ``every``-th step of the optimizer."""
        if self.steps % self.every or not self.trainer.recorder.ring:
            return
        compared = self.steps % (self.every * COMPARE_EVERY) == 0
        for jepa in self.trainee.jepas:
            gradient = self.trainer.gradient(jepa)
            if compared:
                self.trainer.monitor.compare(self.trainee.optimizer, jepa.encoder, gradient)
            self.trainer.add(gradient)


class Alternating(Schedule):
    """Make steps on the auxiliary losses alone, with an optimizer of their own, before each rollout.

    Args:
        every: follow only every ``every``-th step of the algorithm's optimizer with steps of the auxiliary, at least 1.
        replay_ratio: auxiliary steps for each step that is followed, at least 1. More of them learn more from each
            environment step, and take longer.

    Raises:
        ValueError: ``every`` or ``replay_ratio`` is not an integer of at least 1.
    """

    def __init__(self, every: int = 1, replay_ratio: int = 1) -> None:
        super().__init__(every)
        require_integer("replay_ratio", replay_ratio, least=1)
        self.replay_ratio = replay_ratio
        self._settings["replay_ratio"] = replay_ratio

    def prepare(self, model: BaseAlgorithm) -> None:
        """Make an optimizer for the auxiliary steps, of the kind and with the options that the policy uses."""
        parameters = [parameter for jepa in self.trainee.jepas for parameter in jepa.parameters()]
        self._optimizer = adapter.make_optimizer(model, parameters)
        self._followed = 0  # steps of the algorithm that own steps have followed

    def before_rollout(self) -> None:
        """Make ``replay_ratio`` auxiliary steps for every ``every`` new steps of the algorithm's optimizer.

        After a rollout it would be too late: the stored log-probabilities would belong to another encoder.
        """
        if not self.trainer.recorder.ring:
            return
        adapter.follow_learning_rate(self.trainer.model, self._optimizer)
        while self.steps - self._followed >= self.every:
            self._followed += self.every
            for _ in range(self.replay_ratio):
                self._optimizer.zero_grad()
                for jepa in self.trainee.jepas:
                    self.trainer.add(self.trainer.gradient(jepa))
                self._optimizer.step()

    def state(self) -> dict[str, Any]:
        """Return what a resumed training needs."""
        return {**super().state(), "followed": self._followed, "optimizer": self._optimizer.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what ``state`` of another returned."""
        super().restore(state)
        self._followed = state["followed"]
        self._optimizer.load_state_dict(state["optimizer"])


_ACTING: "WeakKeyDictionary[Optimizer, tuple[ref[Schedule], RemovableHandle]]" = WeakKeyDictionary()


def attach(schedule: Schedule) -> None:
    """Let the optimizer of a bound schedule call it before each step; an earlier one, as of another training, goes.

    The hook acts while the training goes on. It does not keep a model alive, through its callback or its optimizer.

    Raises:
        ValueError: another schedule acts on the optimizer in the same training.
    """
    owner, this = schedule.trainee.optimizer, ref(schedule)
    if owner in _ACTING:
        other, handle = _ACTING.pop(owner)
        before = other()
        if before is not None and before is not schedule and before.trainer.is_training:
            _ACTING[owner] = other, handle
            raise ValueError("callback has two JEPACallbacks that train the same encoder: give one of them")
        handle.remove()

    def before_step(*_: Any) -> None:
        acting = this()
        if acting is not None and acting.trainer.is_training:
            acting.steps += 1
            acting.before_optimizer_step()

    _ACTING[owner] = this, owner.register_step_pre_hook(before_step)
