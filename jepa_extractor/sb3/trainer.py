"""What computes, adds and counts the auxiliary gradients of a model."""

import warnings
from pathlib import Path

from stable_baselines3.common.base_class import BaseAlgorithm

from jepa_extractor.checkpoint import replace_file
from jepa_extractor.checks import shown
from jepa_extractor.data.batch import Batch
from jepa_extractor.jepa import JEPA
from jepa_extractor.sb3.monitor import Monitor
from jepa_extractor.sb3.recorder import Recorder
from jepa_extractor.train.step import AuxiliaryStep, Gradient


class Trainer:
    """Computes, adds and counts the auxiliary gradients of a model, and keeps the last good model.

    Args:
        model: the model.
        recorder: what records its transitions.
        step: how batches are drawn and gradients clipped.
        checkpoint_dir: folder in which the last model whose parameters were all finite is kept as ``last_good.zip``;
            ``None``: none is kept.

    Attributes:
        updates: auxiliary gradients added so far.
        monitor: what is logged of them.
        step: as given.
    """

    def __init__(
        self, model: BaseAlgorithm, recorder: Recorder, step: AuxiliaryStep, checkpoint_dir: Path | None
    ) -> None:
        self.model = model
        self.recorder = recorder
        self.monitor = Monitor()
        self.updates = 0
        self.step = step
        self._last_good = None if checkpoint_dir is None else checkpoint_dir / "last_good.zip"
        self._has_warned = False
        self._training: float = -1  # start time of the training that goes on

    @property
    def is_training(self) -> bool:
        """Whether the training that ``begin`` was called for is still the model's current one."""
        return self._training == self.model.start_time

    def begin(self) -> None:
        """Begin a training."""
        self.recorder.begin()
        self._training = self.model.start_time
        self.keep_model()

    def end(self) -> None:
        """End the training."""
        self._training = -1

    def gradient(self, jepa: JEPA, batch: Batch | None = None) -> Gradient:
        """Return the clipped gradient of the weighted losses of ``jepa`` on ``batch``, by default one from the ring.

        Raises:
            FloatingPointError: on a CPU, a loss is not finite.
        """
        if batch is None:
            batch = self.recorder.sample(self.step.batch_size, jepa.horizon, self.step.rewarded_fraction)
        gradient = self.step.gradient(jepa, batch)
        if self.model.device.type == "cpu":
            self.require_finite(gradient)
        return gradient

    def add(self, gradient: Gradient) -> None:
        """Add a gradient to the ``.grad`` of its parameters, and count it."""
        gradient.add()
        self.monitor.add(gradient)
        self.updates += 1

    def require_finite(self, gradient: Gradient) -> None:
        """Keep the model and raise ``FloatingPointError`` if a loss of ``gradient`` is not finite."""
        broken = gradient.not_finite()
        if broken is None:
            return
        self.keep_model()
        kept = self._last_good is not None and self._last_good.exists()
        raise FloatingPointError(
            f"{broken} at auxiliary update {self.updates}, step {self.model.num_timesteps}: training stops"
            + (f"; the last good model is in {self._last_good}" if kept else "")
        )

    def keep_model(self) -> None:
        """Save the model unless a parameter is no longer finite.

        If the disk is full or the folder cannot be written, the earlier file stays, and a warning is given once.
        """
        if self._last_good is None or not all(bool(p.isfinite().all()) for p in self.model.policy.parameters()):
            return
        try:
            replace_file(self._last_good, self.model.save)
        except OSError as error:
            if not self._has_warned:
                folder = str(self._last_good.parent)
                warnings.warn(f"checkpoint_dir={shown(folder)} cannot be written ({error})", stacklevel=2)
            self._has_warned = True
