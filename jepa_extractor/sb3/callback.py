"""JEPACallback: auxiliary gradients for any Stable-Baselines3 algorithm while it trains."""

import warnings
from pathlib import Path
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback

from jepa_extractor.checkpoint import load_state, save_state
from jepa_extractor.checks import optional_path, require_integer, require_key, require_type
from jepa_extractor.data.ring import TransitionRing
from jepa_extractor.sb3.adapter import Trainee, find_trainees
from jepa_extractor.sb3.monitor import record_probe, require_loggable
from jepa_extractor.sb3.recorder import Recorder
from jepa_extractor.sb3.schedules import Joint, Schedule, attach
from jepa_extractor.sb3.shared import Shared
from jepa_extractor.sb3.trainer import Trainer
from jepa_extractor.train.step import AuxiliaryStep

RECORD_EVERY = 16  # updates between two records of the losses in the logger
KEEP_EVERY = 64  # updates between two measurements of the probe, and two checkpoints
DELAY = 16  # updates of an algorithm after which every optimizer of it should have stepped
KIND = "state of a JEPACallback"
SETTINGS = ("verbose", "schedule", "step", "buffer_size", "seed", "probe", "checkpoint_dir")


class JEPACallback(BaseCallback):
    """Train the JEPA in a policy's features extractor while any Stable-Baselines3 algorithm trains the policy.

    The callback records transitions while the algorithm collects them, and draws batches from them. Its schedule says
    when to apply the gradient of the JEPA's weighted losses on a batch. The algorithm's code and the global random
    generators are not touched. A JEPA that several optimizers hold is trained with the critic's.

    It logs under ``jepa/``, after a rollout once there were 16 updates, means since the last record:

    - ``dynamics_loss`` and each ``<task>_loss``; ``grad_norm`` and ``grad_norm_clipped`` of the auxiliary gradient.
    - With ``Joint``, at every eighth update: ``policy_grad_norm``, of the gradient that the algorithm gives its
      optimizer, and ``gradient_angle`` between both gradients on the encoder, in degrees.
    - ``latent_std`` and ``effective_rank`` of the last batch; ``updates``, the number of auxiliary gradients so far.
    - With ``probe``, every 64 updates: ``probe_accuracy``, how well ``info[probe]`` can be read off the latents of the
      newest 512 observations: nearest-centroid accuracy on the newer half, with centroids from the older, in [0, 1].

    A copy or a pickle of a callback keeps its settings alone; ``save`` and ``load`` keep the state of a training.

    Args:
        schedule: ``Shared()``, which costs least, as it reuses what the algorithm draws and encodes; ``Joint()``, or
            ``Alternating()``, which TRPO needs. ``None``: ``Shared()`` where the algorithm and the options of the JEPA
            allow it, as those of ``jepa_policy_kwargs(env)`` do, elsewhere ``Joint()``.
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
        verbose: 1 prints a line at each record: whether the encoder lives, its rank, the losses, the error of the
            prediction, and how near the nearest two latents are whose rewards differ.

    Raises:
        ValueError: an argument is out of range, or does not suit the model; or no ``info`` of a whole episode holds
            ``probe``, or the label of a task.
        RuntimeError: the callback is not called at every step, as it must be to see every transition.
        FloatingPointError: a reward or an observation is not finite; or a loss. On a CPU, training stops before the
            step that would use that loss; on other devices, where such a check would delay each step, at the next
            record.

    Warns:
        UserWarning: at a record, all latents of a batch are equal: the encoder is dead, and no gradient will revive it;
            no ``info`` has held ``probe`` or a label so far; ``checkpoint_dir`` cannot be written; or the algorithm has
            trained, and the schedule has not acted.
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
    ) -> None:
        super().__init__(verbose)
        self.schedule = schedule
        if schedule is not None:
            require_type("schedule", schedule, Schedule, "give Shared(), Joint() or Alternating()")
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
        self._trainer: Trainer | None = None
        self._schedules: list[Schedule] = []  # one for each optimizer that trains a JEPA
        self._kept_at = 0  # updates at the last checkpoint
        self._saved: dict[str, Any] | None = None  # what load() read, until a training restores it

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in SETTINGS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        BaseCallback.__init__(self, state["verbose"])
        self.__dict__.update(state)
        self._forget_training()

    @property
    def trainer(self) -> Trainer:
        """What computes and counts the gradients, and holds the recorded transitions.

        Raises:
            RuntimeError: no training has begun yet.
        """
        if self._trainer is None or self._saved is not None:
            raise RuntimeError("there are no transitions before training: pass the callback to model.learn()")
        return self._trainer

    @property
    def ring(self) -> TransitionRing:
        """The transitions recorded so far.

        Raises:
            RuntimeError: no training has begun yet.
        """
        return self.trainer.recorder.ring

    @property
    def updates(self) -> int:
        """How many auxiliary gradients there were so far."""
        return 0 if self._trainer is None else self._trainer.updates

    def save(self, path: str | Path) -> None:
        """Save transitions, counters, generator and own optimizers at ``path``, beside ``model.save``.

        Raises:
            RuntimeError: no training has begun yet.
            OSError: ``path`` cannot be written.
        """
        state = {
            "schedule": repr(self.schedule),
            "updates": self.updates,
            "recorded": self.trainer.recorder.state(),
            "schedules": [schedule.state() for schedule in self._schedules],
        }
        save_state(state, path, KIND)

    def load(self, path: str | Path) -> "JEPACallback":
        """Restore what ``save`` saved when the next training starts; return the callback.

        Transitions that this callback has recorded are dropped.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file was not written by ``save``, or by a callback with another schedule; or, when the
                training starts, the model does not suit what was saved.
        """
        state = load_state(path, KIND)
        if state["schedule"] != repr(self.schedule):
            raise ValueError(f"{path} was saved with schedule={state['schedule']}, this callback has {self.schedule}")
        self._saved = state
        return self

    def _init_callback(self) -> None:
        trainees = find_trainees(self.model)
        if self._saved is None and [one.trainee for one in self._schedules] == trainees:
            return  # another training of the same model
        tasks = [task for trainee in trainees for jepa in trainee.jepas for task in jepa.tasks]
        require_loggable(tasks)
        recorder = Recorder(self.model, tasks, self.probe, self.buffer_size, self.seed)
        trainer = Trainer(self.model, recorder, self.step, self.checkpoint_dir)
        for schedule in self._schedules:
            schedule.stop()
        self._schedules = self._bound(trainees, trainer)
        self._trainer, self._kept_at = trainer, 0
        if self._saved is not None:
            self._restore(self._saved)
            self._saved = None

    def _bound(self, trainees: list[Trainee], trainer: Trainer) -> list[Schedule]:
        """Return a schedule for each trainee."""
        if self.schedule is None:
            try:
                return [Shared().bound(trainee, trainer) for trainee in trainees]
            except ValueError:  # it does not suit this algorithm, or these options
                return [Joint().bound(trainee, trainer) for trainee in trainees]
        return [self.schedule.bound(trainee, trainer) for trainee in trainees]

    def _restore(self, saved: dict[str, Any]) -> None:
        count = len(saved["schedules"])
        if count != len(self._schedules):
            raise ValueError(f"the saved state is of {count} trained encoders, the model has {len(self._schedules)}")
        assert self._trainer is not None
        self._trainer.recorder.restore(saved["recorded"])
        self._trainer.updates = saved["updates"]
        for schedule, state in zip(self._schedules, saved["schedules"], strict=True):
            schedule.restore(state)

    def _on_training_start(self) -> None:
        for schedule in self._schedules:
            schedule.stop()  # an interrupted training did not
        self._trained_before, self._is_idle = self.model._n_updates, False
        self.trainer.begin()
        for schedule in self._schedules:
            attach(schedule)
            schedule.start()

    def _on_rollout_start(self) -> None:
        for schedule in self._schedules:
            schedule.before_rollout()

    def _on_step(self) -> bool:
        self.trainer.recorder.record(self.locals)
        for schedule in self._schedules:
            schedule.after_step()
        return True

    def _on_rollout_end(self) -> None:
        for schedule in self._schedules:
            schedule.after_rollout()
        trainer = self.trainer
        if not trainer.updates and type(self._schedules[0]) is not Schedule:
            self._warn_if_idle()
        if trainer.monitor.last is None or trainer.monitor.updates < RECORD_EVERY:
            return
        trainer.require_finite(trainer.monitor.last)
        trainer.recorder.require_labels()
        line = trainer.monitor.record(self.logger)
        self.logger.record("jepa/updates", trainer.updates)
        if self.verbose:
            print(f"JEPA after {trainer.updates:,} updates: {line}")
        if trainer.updates - self._kept_at >= KEEP_EVERY or self._kept_at == 0:
            self._kept_at = trainer.updates
            trainer.keep_model()
            if self.probe is not None:
                record_probe(self.logger, self._schedules[0].trainee.jepas[0], trainer.recorder, self.probe)

    def _warn_if_idle(self) -> None:
        """Warn, once, if the algorithm has trained, and its schedules, which should have acted, have not."""
        steps = max(schedule.steps for schedule in self._schedules)
        updates = self.model._n_updates - self._trained_before
        # an optimizer that has made no step may wait for its turn, as that of a delayed policy does
        schedule = self._schedules[0]
        due = steps >= schedule.every if steps else updates >= DELAY or hasattr(self.model, "rollout_buffer")
        if due and not self._is_idle and updates:
            self._is_idle = True
            warnings.warn(
                f"schedule={schedule!r} has added no auxiliary gradient while {type(self.model).__name__} trained "
                "on a whole rollout: networks that are compiled call no hooks; use Joint(), or do not compile",
                stacklevel=2,
            )

    def _on_training_end(self) -> None:
        self.trainer.end()  # hooks stay attached; without a training they do nothing
        for schedule in self._schedules:
            schedule.stop()
