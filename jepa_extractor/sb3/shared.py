"""Shared: the auxiliary gradient on the algorithm's own batch, within the algorithm's own backward pass.

No algorithm is subclassed: hooks are set on a method of its buffer and on the extractors, and taken off again.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from torch.utils.hooks import RemovableHandle

from jepa_extractor.data.observations import map_arrays
from jepa_extractor.jepa import JEPA
from jepa_extractor.objectives.targets import AlgorithmTarget
from jepa_extractor.sb3 import adapter
from jepa_extractor.sb3.algorithm_buffer import AlgorithmBuffer, algorithm_buffer, require_buffer
from jepa_extractor.sb3.extractor import JEPAExtractor
from jepa_extractor.sb3.schedules import Schedule


class Shared(Schedule):
    """Use the batch and the backward pass of the algorithm itself.

    The algorithm encodes the first observations of its batch, with gradient. From these latents, cut off from the
    encoder, the auxiliary losses are computed at once. When the algorithm's backward pass arrives at the latents, the
    auxiliary's gradient is added there, so both go through the encoder in one pass. Beyond that, the auxiliary encodes
    the observations that followed, without gradient; with ``target="algorithm"`` it takes what the algorithm's target
    network has made of them. This takes a small part of the time of ``Joint``.

    The callback's ``batch_size`` and ``rewarded_fraction`` are not read. ``max_grad_norm`` bounds the gradient on
    transition, heads and latents together; the algorithm's own clip, if it has one, then sees the sum of both.
    Off-policy algorithms pass normalised rewards, on-policy ones raw. With the latter, the callback's ``buffer_size``
    must hold a whole rollout.

    The JEPA must read nothing else: ``horizon=1``, a target other than ``"online"``, tasks that read predicted latents
    such as ``RewardTask(latents="predicted")``, and no augmentation. Not for TRPO and RecurrentPPO. During the training
    it raises ``ValueError`` if the algorithm encodes another number of observations than its batch holds.

    Args:
        every: only at every ``every``-th step of the optimizer, at least 1.

    Raises:
        ValueError: ``every`` is not an integer of at least 1.
    """

    def prepare(self, model: BaseAlgorithm) -> None:
        """Check the model before its first training.

        Raises:
            ValueError: the model is TRPO; its buffer does not give single transitions with the last observation of an
                episode; the JEPA reads something else, or its encoder is frozen; or ``target="algorithm"`` and the
                encoder has no target network of its own.
        """
        adapter.require_joint(model, "Shared()")
        require_buffer(model)
        self._target_of: dict[JEPAExtractor, JEPAExtractor] = {}  # of those whose target is the algorithm's
        self._handles: list[RemovableHandle] = []
        for extractor in self.trainee.extractors:
            _require_shareable(extractor.jepa)
            if isinstance(extractor.jepa.target, AlgorithmTarget):
                self._target_of[extractor] = adapter.target_of(model, extractor)

    def start(self) -> None:
        """Begin to watch the batches that the algorithm draws, and their latents."""
        source = self._source = algorithm_buffer(self.trainer.model, self.trainer.recorder)
        self._drawn: Any = None  # what the algorithm drew last
        self._arguments: Sequence[Any] = ()  # with which it did
        self._waiting: list[JEPAExtractor] = []  # extractors that have not encoded it yet
        self._targets: dict[JEPAExtractor, torch.Tensor] = {}  # by target extractor, of what was drawn last
        self._draw = getattr(source.buffer, source.method)
        setattr(source.buffer, source.method, _Watched(source, self._sample))
        self._handles = [one.register_forward_hook(_Hook(self._encoded)) for one in self.trainee.extractors]
        for target in self._target_of.values():
            self._handles.append(target.register_forward_hook(_Hook(self._target_encoded)))

    def stop(self) -> None:
        """Watch no longer; others that watch the same buffer must be stopped too."""
        if self._handles:
            self._source.buffer.__dict__.pop(self._source.method, None)
        for handle in self._handles:
            handle.remove()
        self._handles = []

    @property
    def _is_active(self) -> bool:
        return self.trainer.is_training and (self.steps + 1) % self.every == 0

    def _sample(self, *arguments: Any, **options: Any) -> Any:
        self._drawn, self._arguments = self._draw(*arguments, **options), arguments
        self._waiting, self._targets = (list(self.trainee.extractors) if self._is_active else []), {}
        return self._drawn

    def _target_encoded(self, target: JEPAExtractor, _inputs: Any, latents: torch.Tensor) -> None:
        if self._waiting and self._is_active:
            with torch.no_grad():
                self._targets[target] = target.jepa.projection(latents)

    def _encoded(self, extractor: JEPAExtractor, _inputs: Any, latents: torch.Tensor) -> None:
        if not (self._is_active and extractor in self._waiting and latents.requires_grad):
            return
        self._waiting.remove(extractor)
        size = len(self._drawn.actions)
        if len(latents) != size:
            raise ValueError(
                f"schedule=Shared(): {type(self.trainer.model).__name__} encodes {len(latents)} observations at once, "
                f"of a batch of {size}: use Joint()"
            )
        first = latents.detach().requires_grad_()
        batch = self._source.transitions(self._drawn, self._arguments).replace(first_latents=first)
        if extractor in self._target_of:
            none: Any = map_arrays(lambda frames: frames[:, :0], batch.observations)
            targets = self._targets[self._target_of[extractor]].unsqueeze(1)
            batch = batch.replace(observations=none, targets=targets)
        gradient = self.trainer.gradient(extractor.jepa, batch)

        def join(own: torch.Tensor) -> torch.Tensor:
            self.trainer.add(gradient)
            return own if first.grad is None else own + first.grad

        latents.register_hook(join)


def _require_shareable(jepa: JEPA) -> None:
    reading = [task.name for task in jepa.tasks if task.reads_after or task.label is not None]
    if jepa.horizon != 1:
        problem = f"horizon={jepa.horizon} needs more than single transitions: give horizon=1"
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


class _Watched:
    """A buffer's method that is watched; a copy or a pickle of the buffer has its own one back."""

    def __init__(self, source: AlgorithmBuffer, act: Callable[..., Any]) -> None:
        self._source, self._act = source, act

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._act(*arguments, **options)

    def __reduce__(self) -> Any:
        return getattr, (self._source.buffer, self._source.method)


class _Hook:
    """A forward hook; that of a copied or pickled module does nothing."""

    def __init__(self, act: Callable[[JEPAExtractor, Any, torch.Tensor], None]) -> None:
        self._act = act

    def __call__(self, module: Any, inputs: Any, output: torch.Tensor) -> None:
        self._act(module, inputs, output)

    def __reduce__(self) -> Any:
        return _Hook, (_do_nothing,)


def _do_nothing(*_: Any) -> None:
    pass
