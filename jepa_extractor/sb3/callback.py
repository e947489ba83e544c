"""JEPACallback: auxiliary gradients for any Stable-Baselines3 algorithm while it trains."""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.callbacks import BaseCallback
from torch.optim import Optimizer

from jepa_extractor.checkpoint import load_state, save_state
from jepa_extractor.checks import optional_path, require_integer, require_key
from jepa_extractor.data.ring import TransitionRing
from jepa_extractor.sb3 import optimizer_hooks
from jepa_extractor.sb3.extractor import JEPAExtractor
from jepa_extractor.sb3.last_good import LastGood
from jepa_extractor.sb3.monitor import Monitor, record_probe
from jepa_extractor.sb3.recorder import Recorder
from jepa_extractor.sb3.schedules import Joint, Owned, Schedule, find_owned, restore_owned
from jepa_extractor.train.step import AuxiliaryStep, Gradient, Transitions

RECORD_EVERY = 16  # updates between two records of the losses in the logger
KEEP_EVERY = 64  # updates between two measurements of the probe, and two checkpoints
KIND = "state of a JEPACallback"
SETTINGS = ("verbose", "schedule", "step", "buffer_size", "seed", "probe", "checkpoint_dir")
MOVED = {
    "dynamics_weight": "it belongs to the model: jepa_policy_kwargs(..., dynamics_weight=2.0)",
    "auxiliary_weight": "weights belong to the tasks: jepa_policy_kwargs(..., auxiliary=(RewardTask(weight=10.0),))",
    "label": "a task names its label, LabelTask('count'); what the logs measure is probe='count'",
    "mode": "give a schedule: JEPACallback(Joint()) or JEPACallback(Alternating())",
    "every": "it belongs to the schedule: Joint(every=2)",
    "replay_ratio": "it belongs to the schedule: Alternating(replay_ratio=12)",
}


class JEPACallback(BaseCallback):
    """Train the JEPA in a policy's features extractor while any Stable-Baselines3 algorithm trains the policy.

    The callback records transitions while the algorithm collects them, and draws batches from them. Its schedule says
    when to apply the gradient of the extractor's weighted losses on a batch. The algorithm's code and the global random
    generators are not touched. An extractor that several optimizers hold is trained with the critic's.

    It logs under ``jepa/``, after a rollout once there were 16 updates, means since the last record:

    - ``dynamics_loss`` and each ``<task>_loss``; ``grad_norm`` and ``grad_norm_clipped`` of the auxiliary gradient.
    - With ``Joint``, measured at every eighth update: ``policy_grad_norm`` and ``policy_grad_norm_clipped`` over all
      parameters of the optimizer, and ``gradient_angle`` between both gradients on the encoder, in degrees.
    - ``latent_std`` and ``effective_rank`` of the last batch; ``updates``, the number of auxiliary gradients so far.
    - With ``probe``, every 64 updates: ``probe_accuracy``, how well ``info[probe]`` can be read off the latents of the
      newest 512 observations: nearest-centroid accuracy on the newer half, with centroids from the older, in [0, 1].

    A copy or a pickle of a callback keeps its settings alone; ``save`` and ``load`` keep the state of a training.

    Args:
        schedule: ``Joint()``, ``Alternating()``, or ``Shared()``, which reuses the algorithm's own batches; TRPO
            takes only ``Alternating()``. ``None``: ``Joint()``.
        batch_size: stretches in an auxiliary batch, at least 1. A larger one trains the encoder faster and takes more
            time.
        rewarded_fraction: the part of a batch, in [0, 1], that is drawn among transitions whose reward is not 0, once
            there are any (UNREAL's skewed sampling, arXiv 1611.05397); 0 draws all of it uniformly.
        max_grad_norm: largest Euclidean norm of the auxiliary gradient, which is clipped by itself; positive, or
            ``None`` for no clip.
        buffer_size: frames the ring keeps, at least three for each environment; see ``TransitionRing`` for its memory.
        seed: seed of the generator that draws batches, at least 0.
        probe: key of ``info`` whose value is a number; the logs say how well the latents predict it.
        checkpoint_dir: folder in which the last good model is kept as ``last_good.zip``.
        verbose: as in Stable-Baselines3.

    Raises:
        ValueError: an argument is out of range, or does not suit the model; or no ``info`` of a whole episode holds
            ``probe``.
        TypeError: an argument is unknown, or has moved: the message says where.
        RuntimeError: the callback is not called at every step, as it must be to see every transition.
        FloatingPointError: a loss is not finite. On a CPU, training stops before the step that would use it; on other
            devices, where such a check would delay each step, at the next record.

    Warns:
        UserWarning: at a record, all latents of a batch are equal: the encoder is dead, and no gradient will revive it;
            or ``checkpoint_dir`` cannot be written.
    """

    def __init__(
        self,
        schedule: Schedule | None = None,
        batch_size: int = 64,
        rewarded_fraction: float = 0.5,
        max_grad_norm: float | None = 0.5,
        buffer_size: int = 20_000,
        seed: int = 0,
        probe: str | None = None,
        checkpoint_dir: str | Path | None = None,
        verbose: int = 0,
        **moved: Any,
    ) -> None:
        super().__init__(verbose)
        _refuse(moved)
        self.schedule = Joint() if schedule is None else schedule
        if not hasattr(self.schedule, "before_optimizer_step"):
            raise ValueError(f"schedule={schedule!r} is not a schedule: give Joint(), Alternating() or Shared()")
        self.step = AuxiliaryStep(batch_size, rewarded_fraction, max_grad_norm)
        require_integer("buffer_size", buffer_size, least=1)
        require_integer("seed", seed, least=0)
        require_key("probe", probe)
        self.buffer_size = buffer_size
        self.seed = seed
        self.probe = probe
        self.checkpoint_dir = optional_path("checkpoint_dir", checkpoint_dir)
        self._forget_training()

    def _forget_training(self) -> None:
        self.updates = 0
        self._kept_at = 0  # updates at the last checkpoint
        self._owned: dict[Optimizer, Owned] = {}
        self._recorder: Recorder | None = None
        self._monitor = Monitor()
        self._last_good = LastGood(self.checkpoint_dir)
        self._saved: dict[str, Any] | None = None  # what load() read, until a training restores it
        self._training: float = -1  # start time of the training in which the hooks act

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in SETTINGS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        BaseCallback.__init__(self, state["verbose"])
        self.__dict__.update(state)
        self._forget_training()

    @property
    def ring(self) -> TransitionRing:
        """The transitions recorded so far.

        Raises:
            RuntimeError: no training has begun yet.
        """
        return self.recorder.ring

    @property
    def recorder(self) -> Recorder:
        """What records the transitions of the model.

        Raises:
            RuntimeError: no training has begun yet.
        """
        if self._recorder is None:
            raise RuntimeError("there are no transitions before training: pass the callback to model.learn()")
        return self._recorder

    def save(self, path: str | Path) -> None:
        """Save transitions, counters, generator and own optimizers at ``path``, beside ``model.save``.

        Raises:
            RuntimeError: no training has begun yet.
            OSError: ``path`` cannot be written.
        """
        state = {
            "schedule": repr(self.schedule),
            "updates": self.updates,
            "recorded": self.recorder.state(),
            "owned": [owned.state() for owned in self._owned.values()],
        }
        save_state(state, Path(path), KIND)

    def load(self, path: str | Path) -> "JEPACallback":
        """Restore what ``save`` saved when the next training starts; return the callback.

        Transitions that this callback has recorded are dropped.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file was not written by ``save``, or by a callback with another schedule; or, when the
                training starts, the model does not suit what was saved.
        """
        state = load_state(Path(path), KIND)
        if state["schedule"] != repr(self.schedule):
            raise ValueError(f"{path} was saved with schedule={state['schedule']}, this callback has {self.schedule}")
        self._saved, self._recorder = state, None
        return self

    def _init_callback(self) -> None:
        found, saved = find_owned(self.model), self._saved
        if found.keys() != self._owned.keys():  # the first training, or that of another model
            for owned in found.values():
                self.schedule.prepare(self.model, owned)
            self._forget_training()
            self._owned, self._saved = found, saved

    def _on_training_start(self) -> None:
        if self._recorder is None:
            tasks = [task for owned in self._owned.values() for one in owned.extractors for task in one.jepa.tasks]
            self._recorder = Recorder(self.model, tasks, self.probe, self.buffer_size, self.seed)
        if self._saved is not None:
            self._recorder.restore(self._saved["recorded"])
            self.updates = self._saved["updates"]
            restore_owned(self._owned.values(), self._saved["owned"])
            self._saved = None
        self._recorder.begin()
        self._training = self.model.start_time
        self._stop_schedule()  # an interrupted training did not
        for owner, owned in self._owned.items():
            optimizer_hooks.attach(owner, self)
            self.schedule.start(self.model, owned, self)
        self._last_good.keep(self.model)

    def _on_rollout_start(self) -> None:
        if self.ring:
            for owned in self._owned.values():
                self.schedule.before_rollout(self.model, owned, partial(self._add_gradient, owned))

    def _on_step(self) -> bool:
        self.recorder.record(self.locals)
        return True

    def _on_rollout_end(self) -> None:
        if self._monitor.last is None or self._monitor.updates < RECORD_EVERY:
            return
        self._last_good.require_finite(self._monitor.last, self.model, self.updates)
        self._monitor.record(self.logger)
        self.logger.record("jepa/updates", self.updates)
        if self.updates - self._kept_at >= KEEP_EVERY or self._kept_at == 0:
            self._kept_at = self.updates
            self._last_good.keep(self.model)
            if self.probe is not None:
                extractor = next(iter(self._owned.values())).extractors[0]
                record_probe(self.logger, extractor, self.recorder, self.probe)

    def _on_training_end(self) -> None:
        self._training = -1  # hooks stay attached; without a training they do nothing
        self._stop_schedule()

    def _stop_schedule(self) -> None:
        for owned in self._owned.values():
            self.schedule.stop(owned)

    @property
    def is_training(self) -> bool:
        """Whether the training that this callback was passed to is still the model's current one."""
        return self._training == self.model.start_time

    def measures_next(self, owner: Optimizer) -> bool:
        """Return whether the norm of the algorithm's gradient is to be measured at the next step of ``owner``."""
        return self.schedule.measures_next(self._owned[owner])

    def before_step(self, owner: Optimizer, policy_norm: torch.Tensor | None) -> None:
        """Count a step of ``owner``, an optimizer that is about to make it, and let the schedule act.

        Args:
            owner: holds the parameters of an extractor.
            policy_norm: norm of the algorithm's gradient before it was clipped, a scalar, where it was measured.
        """
        owned = self._owned[owner]
        owned.steps += 1
        if self.ring:
            if policy_norm is not None:
                self._monitor.add_policy_norms(owner, policy_norm)
            add_gradient = partial(self._add_gradient, owned, measure_angle=policy_norm is not None)
            self.schedule.before_optimizer_step(owned, add_gradient)

    def gradient(self, extractor: JEPAExtractor, transitions: Transitions) -> Gradient:
        """Return the clipped gradient of the weighted losses on one batch that is drawn from ``transitions``.

        Raises:
            FloatingPointError: on a CPU, a loss is not finite.
        """
        gradient = self.step.gradient(extractor, transitions)
        if self.model.device.type == "cpu":
            self._last_good.require_finite(gradient, self.model, self.updates)
        return gradient

    def add(self, gradient: Gradient) -> None:
        """Add a gradient to the ``.grad`` of its parameters, and count it."""
        gradient.add()
        self._monitor.add(gradient)
        self.updates += 1

    def _add_gradient(self, owned: Owned, measure_angle: bool = False) -> None:
        """Add the gradient on one batch of the ring for each owned extractor."""
        for extractor in owned.extractors:
            gradient = self.gradient(extractor, self.recorder)
            if measure_angle:
                self._monitor.add_angle(extractor.jepa.encoder, gradient)
            self.add(gradient)


def _refuse(moved: dict[str, Any]) -> None:
    for name, value in moved.items():
        raise TypeError(f"JEPACallback takes no {name}={value!r}: {MOVED.get(name, 'see help(JEPACallback)')}")
