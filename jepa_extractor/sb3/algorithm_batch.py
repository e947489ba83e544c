"""The batch that an algorithm draws from its buffer, and its latents, watched while the algorithm trains.

No algorithm is subclassed: hooks are set on a method of the buffer and on the extractors, and taken off again.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from torch.utils.hooks import RemovableHandle

from jepa_extractor.data.batch import Batch
from jepa_extractor.data.observations import map_arrays
from jepa_extractor.jepa import AlgorithmTarget
from jepa_extractor.sb3 import adapter
from jepa_extractor.sb3.algorithm_buffer import OwnBuffer
from jepa_extractor.sb3.extractor import JEPAExtractor
from jepa_extractor.train.step import Gradient, Transitions


class OwnBatch:
    """Adds the auxiliary gradient on the algorithm's own batch within the algorithm's own backward pass.

    The algorithm encodes the first observations of its batch, with gradient. From these latents, cut off from the
    encoder, the auxiliary losses are computed at once. When the algorithm's backward pass arrives at the latents, the
    auxiliary's gradient is added there, so both go through the encoder in one pass. With ``target="algorithm"``, what
    the algorithm's target network has made of the next observations is the target.

    Args:
        model: the algorithm.
        source: its buffer.
        extractors: those that are trained.
        gradient: computes the gradient of an extractor's losses on the one batch that it is given.
        add: adds a gradient to what the optimizer will use.
        is_active: whether to do anything.
    """

    def __init__(
        self,
        model: BaseAlgorithm,
        source: OwnBuffer,
        extractors: Sequence[JEPAExtractor],
        gradient: Callable[[JEPAExtractor, Transitions], Gradient],
        add: Callable[[Gradient], None],
        is_active: Callable[[], bool],
    ) -> None:
        self._model, self._source = model, source
        self._gradient, self._add, self._is_active = gradient, add, is_active
        self._drawn: Any = None  # what the algorithm drew last
        self._arguments: Sequence[Any] = ()  # with which it did
        self._waiting: list[JEPAExtractor] = []  # extractors that have not encoded it yet
        self._extractors = list(extractors)
        self._draw = getattr(source.buffer, source.method)
        setattr(source.buffer, source.method, _Watched(source, self._sample))
        self._handles: list[RemovableHandle] = [one.register_forward_hook(_Hook(self._encoded)) for one in extractors]
        self._target_of = {one: adapter.target_of(model, one) for one in extractors if reads_algorithm(one)}
        self._targets: dict[JEPAExtractor, torch.Tensor] = {}  # by target extractor, of what was drawn last
        for target in self._target_of.values():
            self._handles.append(target.register_forward_hook(_Hook(self._target_encoded)))

    def remove(self) -> None:
        """Watch no longer; others that watch the same buffer must be removed too."""
        for handle in self._handles:
            handle.remove()
        self._source.buffer.__dict__.pop(self._source.method, None)

    def _sample(self, *arguments: Any, **options: Any) -> Any:
        self._drawn, self._arguments = self._draw(*arguments, **options), arguments
        self._waiting, self._targets = (list(self._extractors) if self._is_active() else []), {}
        return self._drawn

    def _target_encoded(self, target: JEPAExtractor, _inputs: Any, latents: torch.Tensor) -> None:
        if self._waiting and self._is_active():
            with torch.no_grad():
                self._targets[target] = target.jepa.projection(latents)

    def _encoded(self, extractor: JEPAExtractor, _inputs: Any, latents: torch.Tensor) -> None:
        if not (self._is_active() and extractor in self._waiting and latents.requires_grad):
            return
        self._waiting.remove(extractor)
        size = len(self._drawn.actions)
        if len(latents) != size:
            raise ValueError(
                f"schedule=Shared(): {type(self._model).__name__} encodes {len(latents)} observations at once, of a "
                f"batch of {size}: use Joint()"
            )
        first = latents.detach().requires_grad_()
        batch = self._source.transitions(self._drawn, self._arguments).replace(first_latents=first)
        if extractor in self._target_of:
            none: Any = map_arrays(lambda frames: frames[:, :0], batch.observations)
            targets = self._targets[self._target_of[extractor]].unsqueeze(1)
            batch = batch.replace(observations=none, targets=targets)
        gradient = self._gradient(extractor, _One(batch))

        def join(own: torch.Tensor) -> torch.Tensor:
            self._add(gradient)
            return own if first.grad is None else own + first.grad

        latents.register_hook(join)


def reads_algorithm(extractor: JEPAExtractor) -> bool:
    """Return whether the target is the algorithm's own target network."""
    return isinstance(extractor.jepa.target, AlgorithmTarget)


class _One:
    """Transitions of which there is one batch."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def sample(self, batch_size: int, horizon: int, rewarded_fraction: float) -> Batch:
        """Return the batch, whatever was asked for."""
        del batch_size, horizon, rewarded_fraction
        return self._batch


class _Watched:
    """A buffer's method that is watched; a copy or a pickle of the buffer has its own one back."""

    def __init__(self, source: OwnBuffer, act: Callable[..., Any]) -> None:
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
