"""JEPACallback: auxiliary gradients for any Stable-Baselines3 algorithm while it trains."""

import math
from collections import defaultdict
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from jepa_extractor.checkpoint import save_model
from jepa_extractor.checks import require_choice, require_integer, require_weight
from jepa_extractor.diagnostics import effective_rank, latent_std, nearest_centroid_accuracy
from jepa_extractor.extractor import JEPAExtractor
from jepa_extractor.sb3_adapter import last_observations, read_step, reset_labels, trained_extractors
from jepa_extractor.transitions import TransitionRing

NEWEST = 512  # transitions on which the label's nearest-centroid accuracy is measured

# One hook for each optimizer, whichever callbacks and interrupted trainings came before.
_HOOKS: "WeakKeyDictionary[Optimizer, RemovableHandle]" = WeakKeyDictionary()


class JEPACallback(BaseCallback):
    """Add the JEPA's gradient to the policy's, each time the optimizer that owns the encoder steps.

    The callback records transitions while the algorithm collects them, and draws a batch from them just
    before an optimizer step: the sum of weighted losses is differentiated, its gradient clipped by a norm
    of its own and added to the gradient that the algorithm left. With both clips off that is exactly
    ``(loss + auxiliary).backward()``. Neither the algorithm nor the global random streams are touched.

    Logged with each rollout, over the updates since the last: ``jepa/dynamics_loss``,
    ``jepa/<task>_loss``, ``jepa/grad_norm`` (before its clip), ``jepa/latent_std``,
    ``jepa/effective_rank``, ``jepa/updates`` and, with ``label``, ``jepa/label_accuracy``: nearest-centroid
    accuracy on the newer half of the newest 512 observations, centroids from the older half; on-policy
    algorithms have not trained on these yet.

    Args:
        dynamics_weight: weight of the latent dynamics loss, at least 0.
        auxiliary_weight: weight of each auxiliary task's loss, at least 0.
        batch_size: transitions in an auxiliary batch.
        every: add the gradient at every ``every``-th optimizer step.
        mode: ``"joint"``.
        max_grad_norm: largest norm of the auxiliary gradient; ``None`` for no clip.
        buffer_size: frames the ring keeps; see ``TransitionRing`` for its memory.
        seed: seed of the generator that draws batches.
        label: key of ``info`` whose value, a number, labels the observation.
        checkpoint_dir: folder in which the last good model is kept as ``last_good.zip``.
        verbose: as in Stable-Baselines3.

    Raises:
        ValueError: an argument is out of range, or the policy has no ``JEPAExtractor``.
        FloatingPointError: a loss is not finite; training stops before the step that would use it.
    """

    def __init__(
        self,
        dynamics_weight: float = 2.0,
        auxiliary_weight: float = 10.0,
        batch_size: int = 64,
        every: int = 1,
        mode: str = "joint",
        max_grad_norm: float | None = 0.5,
        buffer_size: int = 20_000,
        seed: int = 0,
        label: str | None = None,
        checkpoint_dir: str | Path | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(verbose)
        require_weight("dynamics_weight", dynamics_weight)
        require_weight("auxiliary_weight", auxiliary_weight)
        require_integer("batch_size", batch_size, least=1)
        require_integer("every", every, least=1)
        require_choice("mode", mode, ("joint",))
        require_integer("buffer_size", buffer_size, least=1)
        require_integer("seed", seed, least=0)
        if max_grad_norm is not None and not max_grad_norm > 0:
            raise ValueError(f"max_grad_norm={max_grad_norm!r} is not a positive number; None means no clip")
        self.dynamics_weight = dynamics_weight
        self.auxiliary_weight = auxiliary_weight
        self.batch_size = batch_size
        self.every = every
        self.max_grad_norm = max_grad_norm
        self.buffer_size = buffer_size
        self.seed = seed
        self.label = label
        self.checkpoint_dir = None if checkpoint_dir is None else Path(checkpoint_dir)
        self.updates = 0
        self._optimizer_steps = 0
        self._ring: TransitionRing | None = None
        self._training: float = -1  # start time of the training that the hooks belong to
        self._sums: dict[str, float] = defaultdict(float)
        self._summed_updates = 0
        self._last_latents: torch.Tensor | None = None

    @property
    def ring(self) -> TransitionRing:
        """The transitions recorded so far."""
        if self._ring is None:
            raise RuntimeError("there are no transitions before training: pass the callback to model.learn()")
        return self._ring

    def _init_callback(self) -> None:
        trained_extractors(self.model)  # an unsuitable policy is an error before the first step
        if self._ring is None:
            assert isinstance(self.model.observation_space, spaces.Box)
            self._ring = TransitionRing(
                self.model.observation_space, self.model.action_space, self.model.n_envs, self.buffer_size, self.seed
            )

    def _on_training_start(self) -> None:
        self.ring.begin(last_observations(self.model), reset_labels(self.model, self.label))
        self._training = self.model.start_time
        extractors: dict[Optimizer, list[JEPAExtractor]] = defaultdict(list)
        for extractor, optimizer in trained_extractors(self.model):
            extractors[optimizer].append(extractor)
        for optimizer, owned in extractors.items():
            if optimizer in _HOOKS:
                _HOOKS[optimizer].remove()
            _HOOKS[optimizer] = optimizer.register_step_pre_hook(_Hook(self, owned))
        self._keep_last_good()

    def _on_step(self) -> bool:
        self.ring.add(*read_step(self.model, self.locals, self.label))
        return True

    def _on_rollout_end(self) -> None:
        if self._summed_updates == 0:
            return
        self._record()
        self._keep_last_good()

    def _on_training_end(self) -> None:
        self._training = -1  # hooks stay, and rest: one of another training must not act either

    def is_training(self) -> bool:
        """Whether the training that this callback was passed to is still the model's current one."""
        return self._training == self.model.start_time

    def add_gradient(self, extractors: list[JEPAExtractor]) -> None:
        """Add the auxiliary gradient of one batch to the ``.grad`` of the extractors' parameters."""
        self._optimizer_steps += 1
        if self._optimizer_steps % self.every or len(self.ring) == 0:
            return
        batch = self.ring.sample(self.batch_size)
        for extractor in extractors:
            losses, latents = extractor.losses(batch, self.model.policy.normalize_images)
            self._require_finite(losses)
            total = sum(self._weight(name) * loss for name, loss in losses.items())
            parameters = [parameter for parameter in extractor.parameters() if parameter.requires_grad]
            gradients = torch.autograd.grad(total, parameters, allow_unused=True)  # type: ignore[arg-type]
            pairs = [(p, g) for p, g in zip(parameters, gradients, strict=True) if g is not None]
            norm = torch.nn.utils.get_total_norm([gradient for _, gradient in pairs])
            scale = 1.0 if self.max_grad_norm is None else (self.max_grad_norm / (norm + 1e-6)).clamp(max=1.0)
            for parameter, gradient in pairs:
                if parameter.grad is None:
                    parameter.grad = gradient * scale
                else:
                    parameter.grad += gradient * scale
            for name, loss in losses.items():
                self._sums[f"{name}_loss"] += loss.item()
            self._sums["grad_norm"] += norm.item()
            self._summed_updates += 1
            self._last_latents = latents.detach()
        self.updates += 1

    def _weight(self, loss: str) -> float:
        return self.dynamics_weight if loss == "dynamics" else self.auxiliary_weight

    def _require_finite(self, losses: dict[str, torch.Tensor]) -> None:
        for name, loss in losses.items():
            if not math.isfinite(loss.item()):
                self._keep_last_good()
                where = "" if self.checkpoint_dir is None else f"; the last good model is in {self._last_good_path()}"
                raise FloatingPointError(
                    f"{name}_loss is {loss.item()} at auxiliary update {self.updates}, step {self.num_timesteps}: "
                    f"training stops before it is used{where}"
                )

    def _keep_last_good(self) -> None:
        """Save the model where a checkpoint folder was given, unless a parameter is no longer finite."""
        if self.checkpoint_dir is None:
            return
        if all(bool(parameter.isfinite().all()) for parameter in self.model.policy.parameters()):
            save_model(self.model, self._last_good_path())

    def _last_good_path(self) -> Path:
        assert self.checkpoint_dir is not None
        return self.checkpoint_dir / "last_good.zip"

    def _record(self) -> None:
        for name, total in self._sums.items():
            self.logger.record(f"jepa/{name}", total / self._summed_updates)
        assert self._last_latents is not None
        latents = self._last_latents.flatten(0, 1).cpu().numpy()
        self.logger.record("jepa/latent_std", latent_std(latents))
        self.logger.record("jepa/effective_rank", effective_rank(latents))
        self.logger.record("jepa/updates", self.updates)
        if self.label is not None:
            self._record_label_accuracy()
        self._sums.clear()
        self._summed_updates = 0

    def _record_label_accuracy(self) -> None:
        newest = self.ring.newest(NEWEST)
        labels = newest.labels[:, 1]
        known = np.isfinite(labels)
        if known.sum() < 2:
            raise ValueError(
                f"label={self.label!r} is not in info, or not a number: name a key of the environment's info"
            )
        extractor = trained_extractors(self.model)[0].extractor
        latents = extractor.encode(newest.observations[known, 1], self.model.policy.normalize_images)
        half = (len(latents) + 1) // 2
        labels = labels[known]
        accuracy = nearest_centroid_accuracy(latents[:half], labels[:half], latents[half:], labels[half:])
        self.logger.record("jepa/label_accuracy", accuracy)


class _Hook:
    """What an optimizer calls before each step."""

    def __init__(self, callback: JEPACallback, extractors: list[JEPAExtractor]) -> None:
        self._callback = callback
        self._extractors = extractors

    def __call__(self, _optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        if self._callback.is_training():
            self._callback.add_gradient(self._extractors)
