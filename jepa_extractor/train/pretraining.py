"""Pretraining: a JEPA learns from transitions, without any policy."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from jepa_extractor.checkpoint import load_state, save_state
from jepa_extractor.checks import (
    optional_path,
    require_bool,
    require_callable,
    require_integer,
    require_number,
    require_positive,
    require_type,
)
from jepa_extractor.data.observations import Arrays, length
from jepa_extractor.data.ring import TransitionRing
from jepa_extractor.diagnostics import effective_rank, latent_std, nearest_centroid_accuracy, warn_if_dead
from jepa_extractor.jepa import JEPA
from jepa_extractor.train.step import AuxiliaryStep
from jepa_extractor.train.transition_fit import fit_transition

KIND = "pretraining"  # of the state that ``pretrain`` saves
LEARNING_RATE = 5e-4  # of encoders that name none

Record = dict[str, float]


def pretrain(
    jepa: JEPA,
    transitions: TransitionRing,
    updates: int = 500,
    batch_size: int = 64,
    learning_rate: float | None = None,
    rewarded_fraction: float = 0.5,
    max_grad_norm: float | None = 0.5,
    transition_updates: int = 1_000,
    measure: Callable[[JEPA], float] | None = None,
    stop_at: float | None = None,
    check_every: int = 100,
    checkpoint: str | Path | None = None,
    on_check: Callable[[Record], None] | None = None,
    progress_bar: bool = False,
) -> list[Record]:
    """Train ``jepa``, in place, with the same losses as ``JEPACallback``; what is frozen stays as it is.

    Adam under a one-cycle learning rate. At the end ``fit_transition`` makes the latent transition exact. With a
    checkpoint, a training that was cut off goes on where it was, to the same result as if it had not been; one that had
    finished returns at once.

    Args:
        jepa: what to train; parameters that do not require a gradient are left alone.
        transitions: what to train on; batches come from its generator.
        updates: steps of the optimizer, at least 1.
        batch_size: stretches of ``jepa.horizon`` steps in a batch, at least 1.
        learning_rate: the highest of the cycle, positive. By default the encoder's attribute ``learning_rate``: 4e-3
            for those of this package that normalise their features. Without the attribute it is 5e-4, since a higher
            one can leave a network like NatureCNN with latents that are all alike.
        rewarded_fraction: the part of a batch, in [0, 1], that is drawn among transitions whose reward is not 0, if
            there are any.
        max_grad_norm: largest Euclidean norm of the gradient, positive; ``None`` for no clip.
        transition_updates: updates of ``fit_transition`` at the end, at the JEPA's horizon but at least 2; 0 for
            none.
        measure: what tells how good the JEPA is; see ``LabelAccuracy``. It must not draw random numbers
            from torch's global generator.
        stop_at: training stops at the first check whose measure is at least this.
        check_every: updates between two checks, at least 1.
        checkpoint: file that keeps the state of the last check; see ``load_pretrained``.
        on_check: called with each record.
        progress_bar: whether to show one.

    Returns:
        One record for each check: ``"update"``; ``"dynamics_loss"`` and ``"<task>_loss"``, means since the last;
        ``"latent_std"`` and ``"effective_rank"`` of the last batch; and ``"measure"`` if there is one.

    Warns:
        UserWarning: at a check, all latents are equal: the encoder is dead, and no gradient will revive it.

    Raises:
        ValueError: an argument is out of range; ``transitions`` is empty, or lacks the label of a task; a task or the
            target needs a policy; every parameter is frozen; or ``checkpoint`` is broken or holds another training.
        OSError: ``checkpoint`` cannot be written.
        FloatingPointError: a loss or a parameter is not finite; the checkpoint holds the last good state.
        KeyboardInterrupt: the message says where the last checkpoint is.
    """
    for name, value in (("updates", updates), ("batch_size", batch_size), ("check_every", check_every)):
        require_integer(name, value, least=1)
    require_type("jepa", jepa, JEPA, "build one; that of a policy is model.policy.features_extractor.jepa")
    require_type("transitions", transitions, TransitionRing, "TransitionRing.from_episodes makes one")
    if learning_rate is None:
        learning_rate = _learning_rate(jepa.encoder)
    require_positive("learning_rate", learning_rate)
    require_integer("transition_updates", transition_updates, least=0)
    require_bool("progress_bar", progress_bar)
    for name, function in (("measure", measure), ("on_check", on_check)):
        if function is not None:
            require_callable(name, function, "the JEPA" if name == "measure" else "a record")
    if stop_at is not None:
        require_number("stop_at", stop_at)
    if stop_at is not None and measure is None:
        raise ValueError(f"stop_at={stop_at} needs a measure: give measure=, for instance a LabelAccuracy")
    settings = {
        "updates": int(updates),
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "rewarded_fraction": rewarded_fraction,
        "max_grad_norm": max_grad_norm,
        "transition_updates": int(transition_updates),
        "stop_at": stop_at,
        "check_every": check_every,
    }
    path = optional_path("checkpoint", checkpoint)
    if path is not None and path.is_dir():
        raise ValueError(f"checkpoint={str(checkpoint)!r} is a folder: give the path of a file")
    training = _Training(jepa, transitions, settings, path)
    from tqdm import tqdm  # loaded where it is needed

    with tqdm(total=updates, initial=training.update, disable=not progress_bar) as bar:
        while training.update < updates and not training.stopped:
            record = training.advance(min(check_every, updates - training.update), bar.update)
            if measure is not None:
                record["measure"] = measure(jepa)
                training.stopped = stop_at is not None and record["measure"] >= stop_at
            training.records.append(record)
            training.save()
            if on_check is not None:
                on_check(record)
    training.finish()
    return training.records


class LabelAccuracy:
    """A measure for ``pretrain``: how well the label can be read off the latents.

    Nearest-centroid accuracy on every second observation, with centroids from the others. Called with a JEPA, it
    returns the accuracy, a float in [0, 1].

    Args:
        observations: held-out observations (N, ...), N at least 2, as the environment gives them; a dict of
            such arrays for a ``Dict`` space.
        labels: the class of each, numbers or strings (N,), none of them NaN.

    Raises:
        ValueError: there are fewer than two observations, or not one label for each.
    """

    def __init__(self, observations: Arrays, labels: NDArray[np.generic]) -> None:
        count = length(observations)
        if count < 2 or len(labels) != count:
            raise ValueError(f"{count} observations have {len(labels)} labels: give at least two, and a label for each")
        self._observations = observations
        self._labels = np.asarray(labels)

    def __call__(self, jepa: JEPA) -> float:
        """Return the accuracy, in [0, 1]."""
        latents = jepa.encode(self._observations)
        return nearest_centroid_accuracy(latents[::2], self._labels[::2], latents[1::2], self._labels[1::2])


class _Training:
    """A training between two updates: all that must be kept to go on exactly there."""

    def __init__(
        self,
        jepa: JEPA,
        transitions: TransitionRing,
        settings: dict[str, Any],
        path: Path | None,
    ) -> None:
        for task in jepa.tasks:
            if task.needs_next_actions(jepa.action_space):
                raise ValueError(f"the auxiliary task {task.name!r} needs the actions of a policy: there is none here")
            if task.label is not None and not transitions.has_label(task.label):
                raise ValueError(
                    f"the auxiliary task {task.name!r} learns the label {task.label!r}, and the transitions lack it: "
                    f"name it, as in random_episodes(..., labels=({task.label!r},))"
                )
        trained = {name: p for name, p in jepa.named_parameters() if p.requires_grad}
        if not trained:
            raise ValueError("every parameter of the JEPA is frozen: jepa.requires_grad_(True) mends it")
        self.update = 0
        self.stopped = False
        self.finished = False
        self.records: list[Record] = []
        self._jepa = jepa
        self._transitions = transitions
        self._step = AuxiliaryStep(settings["batch_size"], settings["rewarded_fraction"], settings["max_grad_norm"])
        self._path = path
        self._settings = {
            **settings,
            "horizon": jepa.horizon,
            "dynamics_weight": jepa.dynamics_weight,
            "dynamics": _described(jepa.dynamics),
            "target": _described(getattr(jepa.target, "copy", jepa.target)),
            "augmentation": [_described(augment) for augment in jepa.augmentation.augments],
            "auxiliary": {task.name: _described(task) for task in jepa.tasks},
            "trained": list(trained),
            "transitions": transitions.digest(),
        }
        self._optimizer = torch.optim.Adam(trained.values(), settings["learning_rate"])
        self._schedule = OneCycleLR(self._optimizer, settings["learning_rate"], total_steps=settings["updates"] + 1)
        if path is not None and path.exists():
            self._restore(path)

    def advance(self, count: int, on_update: Callable[[], object]) -> Record:
        """Make ``count`` updates and return their record."""
        try:
            sums, latents = self._make_updates(count, on_update)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"interrupted at update {self.update}{self._kept()}") from None
        means = {f"{name}_loss": float(total) / count for name, total in sums.items()}
        for name, mean in means.items():
            if not math.isfinite(mean):
                raise FloatingPointError(f"{name} is {mean} at update {self.update}: training stops{self._kept()}")
        for name, parameter in self._jepa.named_parameters():  # a finite loss may have a gradient that is not
            if not parameter.isfinite().all():
                raise FloatingPointError(
                    f"{name} is no longer finite at update {self.update}: training stops{self._kept()}"
                )
        last = latents.flatten(0, 1).cpu().numpy()
        warn_if_dead(last, f"at update {self.update}")
        return {
            "update": self.update,
            **means,
            "latent_std": latent_std(last),
            "effective_rank": effective_rank(last),
        }

    def _make_updates(
        self, count: int, on_update: Callable[[], object]
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Make ``count`` updates and return the sum of each loss, and the last latents."""
        step = self._step
        sums: dict[str, torch.Tensor] = {}
        for _ in range(count):
            self._optimizer.zero_grad()
            batch = self._transitions.sample(step.batch_size, self._jepa.horizon, step.rewarded_fraction)
            gradient = step.gradient(self._jepa, batch)
            gradient.add()
            self._optimizer.step()
            self._schedule.step()
            self.update += 1
            sums = {name: loss + sums.get(name, 0.0) for name, loss in gradient.losses.items()}
            on_update()
        return sums, gradient.latents

    def finish(self) -> None:
        """Fit the transition, and save, unless that has been done."""
        if self.finished:
            return
        updates, horizon = self._settings["transition_updates"], max(2, self._settings["horizon"])
        if updates:
            try:
                fit_transition(self._jepa, self._transitions, updates, horizon)
            except KeyboardInterrupt:
                raise KeyboardInterrupt(f"interrupted while the transition was fitted{self._kept()}") from None
        self.finished = True
        self.save()

    def save(self) -> None:
        if self._path is None:
            return
        state = {
            "settings": self._settings,
            "weights": dict(self._jepa.state_dict()),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "generator": self._transitions.generator.bit_generator.state,
            "update": self.update,
            "stopped": self.stopped,
            "finished": self.finished,
            "records": self.records,
        }
        save_state(state, self._path, KIND)

    def _restore(self, path: Path) -> None:
        state = load_state(path, KIND)
        differing = [name for name, value in self._settings.items() if state["settings"].get(name) != value]
        if differing:
            raise ValueError(
                f"checkpoint {path} is of another training: {', '.join(differing)} differ; give another file, or "
                "remove it"
            )
        load_weights(self._jepa, state["weights"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self._transitions.generator.bit_generator.state = state["generator"]
        self.update, self.records = state["update"], state["records"]
        self.stopped, self.finished = state["stopped"], state["finished"]

    def _kept(self) -> str:
        saved = self._path is not None and self._path.exists()
        return f"; the state of the last check is in {self._path}" if saved else ""


def _learning_rate(encoder: nn.Module) -> float:
    """Return the rate that the encoder, or the one that a normalisation wraps, names for itself."""
    named = (part.learning_rate for part in encoder.modules() if hasattr(part, "learning_rate"))
    return cast(float, next(named, LEARNING_RATE))


def _described(one: object) -> list[object]:
    """Return the name of an object's class, and its attributes that are plain values."""
    held = getattr(one, "__dict__", {})
    plain = {name: value for name, value in held.items() if isinstance(value, bool | int | float | str)}
    return [type(one).__name__, plain]


def load_weights(jepa: JEPA, weights: Mapping[str, torch.Tensor]) -> None:
    """Load what ``state_dict`` of another JEPA returned; raise ``ValueError`` where that was built otherwise."""
    try:
        jepa.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(
            "the pretrained JEPA was built otherwise: give both the same spaces and options, or the same recipe "
            f"({error})"
        ) from error
