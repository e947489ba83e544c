"""Pretraining: a JEPA learns from transitions, without any policy."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from torch.optim.lr_scheduler import OneCycleLR
from tqdm import tqdm

from jepa_extractor import sb3_adapter
from jepa_extractor.auxiliary import AuxiliaryTask
from jepa_extractor.checkpoint import load_state, save_state
from jepa_extractor.checks import require_fraction, require_integer, require_positive
from jepa_extractor.diagnostics import effective_rank, latent_std, nearest_centroid_accuracy
from jepa_extractor.extractor import JEPAExtractor
from jepa_extractor.objective import Objective
from jepa_extractor.transitions import TransitionRing

Record = dict[str, float]
KIND = "pretraining"  # of the saved state


def pretrain(
    extractor: JEPAExtractor,
    transitions: TransitionRing,
    updates: int = 1_000,
    batch_size: int = 128,
    learning_rate: float = 4e-3,
    dynamics_weight: float = 2.0,
    auxiliary_weight: float | Mapping[str, float] = 10.0,
    rewarded_fraction: float = 0.0,
    max_grad_norm: float | None = None,
    discount: float = 0.99,
    measure: Callable[[JEPAExtractor], float] | None = None,
    stop_at: float | None = None,
    check_every: int = 100,
    checkpoint: str | Path | None = None,
    on_check: Callable[[Record], None] | None = None,
    progress_bar: bool = False,
) -> list[Record]:
    """Train ``extractor``, in place, with the same losses as ``JEPACallback``; what is frozen stays as it is.

    Adam under a one-cycle learning rate. With a checkpoint, a training that was cut off goes on where it was,
    to the same result as if it had not been; one that had finished returns at once.

    Args:
        extractor: what to train; parameters that do not require a gradient are left alone.
        transitions: what to train on; batches come from its generator.
        updates: steps of the optimizer.
        batch_size: stretches of ``extractor.horizon`` steps in a batch.
        learning_rate: the highest of the cycle.
        dynamics_weight: weight of the latent dynamics loss, at least 0.
        auxiliary_weight: weight of each auxiliary task's loss, at least 0; or a dict that names each.
        rewarded_fraction: the part of a batch that is drawn among transitions whose reward is not 0; see
            ``JEPACallback``.
        max_grad_norm: largest norm of the gradient; ``None`` for no clip.
        discount: discount factor of the task ``"q"``.
        measure: what tells how good the extractor is; see ``LabelAccuracy``. It must not draw random numbers
            from torch's global generator.
        stop_at: training stops at the first check whose measure is at least this.
        check_every: updates between two checks.
        checkpoint: file that keeps the state of the last check; see ``load_pretrained``.
        on_check: called with each record.
        progress_bar: whether to show one.

    Returns:
        One record for each check: ``"update"``; ``"dynamics_loss"`` and ``"<task>_loss"``, means since the last;
        ``"latent_std"`` and ``"effective_rank"`` of the last batch; and ``"measure"`` if there is one.

    Raises:
        ValueError: an argument is out of range, or ``checkpoint`` is broken or holds another training.
        FloatingPointError: a loss or a parameter is not finite; the checkpoint holds the last good state.
        KeyboardInterrupt: the message says where the last checkpoint is.
    """
    for name, value in (("updates", updates), ("batch_size", batch_size), ("check_every", check_every)):
        require_integer(name, value, least=1)
    require_positive("learning_rate", learning_rate)
    require_fraction("rewarded_fraction", rewarded_fraction)
    require_fraction("discount", discount)
    if stop_at is not None and measure is None:
        raise ValueError(f"stop_at={stop_at} needs a measure: give measure=, for instance a LabelAccuracy")
    settings = {
        "updates": int(updates),
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "dynamics_weight": dynamics_weight,
        "auxiliary_weight": dict(auxiliary_weight) if isinstance(auxiliary_weight, Mapping) else auxiliary_weight,
        "rewarded_fraction": rewarded_fraction,
        "max_grad_norm": max_grad_norm,
        "discount": discount,
        "stop_at": stop_at,
        "check_every": check_every,
    }
    objective = Objective(dynamics_weight, auxiliary_weight, max_grad_norm)
    path = None if checkpoint is None else Path(checkpoint)
    training = _Training(extractor, transitions, objective, settings, path)
    with tqdm(total=updates, initial=training.update, disable=not progress_bar) as bar:
        while training.update < updates and not training.stopped:
            record = training.advance(min(check_every, updates - training.update), bar.update)
            if measure is not None:
                record["measure"] = measure(extractor)
                training.stopped = stop_at is not None and record["measure"] >= stop_at
            training.records.append(record)
            training.save()
            if on_check is not None:
                on_check(record)
    return training.records


class LabelAccuracy:
    """A measure for ``pretrain``: how well the label can be read off the latents.

    Nearest-centroid accuracy on every second observation, with centroids from the others.

    Args:
        observations: held-out observations (N, ...), as the policy sees them, not yet scaled.
        labels: label of each (N,).
    """

    def __init__(self, observations: NDArray[np.generic], labels: NDArray[np.generic]) -> None:
        self._observations = observations
        self._labels = labels

    def __call__(self, extractor: JEPAExtractor) -> float:
        """Return the accuracy, in [0, 1]."""
        latents = extractor.encode(self._observations)
        return nearest_centroid_accuracy(latents[::2], self._labels[::2], latents[1::2], self._labels[1::2])


def load_pretrained(model: BaseAlgorithm, pretrained: JEPAExtractor | str | Path, freeze: bool = False) -> None:
    """Give every ``JEPAExtractor`` of ``model``, those of target networks too, the weights of a pretrained one.

    Args:
        model: built with the arguments of ``jepa_policy_kwargs`` that the pretrained extractor was built with.
        pretrained: the extractor, or the checkpoint of its ``pretrain``.
        freeze: whether the weights stay as they are from now on. A model that is saved and loaded again has
            forgotten this: load the pretrained weights anew.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        ValueError: the checkpoint is broken, or the model's extractors are built otherwise, or it has none; or
            it is to be frozen for TRPO.
    """
    if isinstance(pretrained, JEPAExtractor):
        weights: Mapping[str, torch.Tensor] = pretrained.state_dict()
    else:
        weights = load_state(Path(pretrained), KIND)["extractor"]
    extractors = [module for module in model.policy.modules() if isinstance(module, JEPAExtractor)]
    if not extractors:
        raise ValueError(f"the policy {type(model.policy).__name__} has no JEPAExtractor: use jepa_policy_kwargs")
    if freeze:
        sb3_adapter.require_freezable(model)
    for extractor in extractors:
        _load_weights(extractor, weights)
        if freeze:
            extractor.requires_grad_(False)


class _Training:
    """A training between two updates: all that must be kept to go on exactly there."""

    def __init__(
        self,
        extractor: JEPAExtractor,
        transitions: TransitionRing,
        objective: Objective,
        settings: dict[str, Any],
        path: Path | None,
    ) -> None:
        for task in extractor.jepa.tasks:
            if task.needs_next_actions(extractor.action_space):
                raise ValueError(f"the auxiliary task {task.name!r} needs the actions of a policy: there is none here")
            if task.needs_label and not transitions.has_labels:
                raise ValueError(
                    f"the auxiliary task {task.name!r} learns a label, and the transitions have none: name its key of "
                    "info, as in random_episodes(..., label='count')"
                )
        objective.require_weights(extractor.jepa.tasks)
        trained = {name: p for name, p in extractor.named_parameters() if p.requires_grad}
        if not trained:
            raise ValueError("every parameter of the extractor is frozen: extractor.requires_grad_(True) mends it")
        self.update = 0
        self.stopped = False
        self.records: list[Record] = []
        self._extractor = extractor
        self._transitions = transitions
        self._objective = objective
        self._path = path
        self._settings = {
            **settings,
            "horizon": extractor.horizon,
            "target": type(extractor.jepa.target).__name__,
            "auxiliary": {task.name: _plain_attributes(task) for task in extractor.jepa.tasks},
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
            sums, latents = self._step(count, on_update)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"interrupted at update {self.update}{self._kept()}") from None
        means = {f"{name}_loss": float(total) / count for name, total in sums.items()}
        for name, mean in means.items():
            if not math.isfinite(mean):
                raise FloatingPointError(f"{name} is {mean} at update {self.update}: training stops{self._kept()}")
        for name, parameter in self._extractor.named_parameters():  # a finite loss may have a gradient that is not
            if not parameter.isfinite().all():
                raise FloatingPointError(
                    f"{name} is no longer finite at update {self.update}: training stops{self._kept()}"
                )
        last = latents.flatten(0, 1).cpu().numpy()
        return {
            "update": self.update,
            **means,
            "latent_std": latent_std(last),
            "effective_rank": effective_rank(last),
        }

    def _step(self, count: int, on_update: Callable[[], object]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Make ``count`` updates and return the sum of each loss, and the last latents."""
        settings = self._settings
        parameters = [p for group in self._optimizer.param_groups for p in group["params"]]
        sums: dict[str, torch.Tensor] = {}
        for _ in range(count):
            batch = self._transitions.sample(settings["batch_size"], settings["horizon"], settings["rewarded_fraction"])
            losses, latents = self._extractor.losses(batch, discount=settings["discount"])
            gradient = self._objective.gradient(losses, parameters)
            for parameter, value in zip(gradient.parameters, gradient.values, strict=True):
                parameter.grad = value
            self._optimizer.step()
            self._schedule.step()
            self.update += 1
            sums = {name: loss.detach() + sums.get(name, 0.0) for name, loss in losses.items()}
            on_update()
        return sums, latents.detach()

    def save(self) -> None:
        if self._path is None:
            return
        state = {
            "settings": self._settings,
            "extractor": dict(self._extractor.state_dict()),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "generator": self._transitions.generator.bit_generator.state,
            "update": self.update,
            "stopped": self.stopped,
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
        _load_weights(self._extractor, state["extractor"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self._transitions.generator.bit_generator.state = state["generator"]
        self.update, self.stopped, self.records = state["update"], state["stopped"], state["records"]

    def _kept(self) -> str:
        saved = self._path is not None and self._path.exists()
        return f"; the state of the last check is in {self._path}" if saved else ""


def _plain_attributes(task: AuxiliaryTask) -> dict[str, Any]:
    return {name: value for name, value in vars(task).items() if isinstance(value, bool | int | float | str)}


def _load_weights(extractor: JEPAExtractor, weights: Mapping[str, torch.Tensor]) -> None:
    try:
        extractor.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(
            "the pretrained extractor was built otherwise: give both the same spaces, latent_dim, encoder, auxiliary "
            f"and target ({error})"
        ) from error
