"""The batch that an algorithm draws from its replay buffer, and its latents, watched while the algorithm trains.

No algorithm is subclassed: hooks are set on the ``sample`` of the buffer and on the extractors, and taken off again.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer
from torch.utils.hooks import RemovableHandle

from jepa_extractor.batch import Batch, Tensors
from jepa_extractor.jepa import AlgorithmTarget
from jepa_extractor.observations import each
from jepa_extractor.sb3 import adapter
from jepa_extractor.sb3.extractor import JEPAExtractor
from jepa_extractor.training import Gradient, Transitions


class OwnBatch:
    """Adds the auxiliary gradient on the algorithm's own batch within the algorithm's own backward pass.

    The algorithm encodes the first observations of its batch, with gradient. From these latents, cut off from the
    encoder, the auxiliary losses are computed at once. When the algorithm's backward pass arrives at the latents, the
    auxiliary's gradient is added there, so both go through the encoder in one pass. With ``target="algorithm"``, what
    the algorithm's target network has made of the next observations is the target.

    Args:
        model: has a replay buffer.
        extractors: those that are trained.
        gradient: computes the gradient of an extractor's losses on the one batch that it is given.
        add: adds a gradient to what the optimizer will use.
        is_active: whether to do anything.
    """

    def __init__(
        self,
        model: BaseAlgorithm,
        extractors: Sequence[JEPAExtractor],
        gradient: Callable[[JEPAExtractor, Transitions], Gradient],
        add: Callable[[Gradient], None],
        is_active: Callable[[], bool],
    ) -> None:
        self._model = model
        self._gradient, self._add, self._is_active = gradient, add, is_active
        self._batch: Any = None  # what the algorithm drew last
        self._waiting: list[JEPAExtractor] = []  # extractors that have not encoded it yet
        self._extractors = list(extractors)
        self._buffer = replay_buffer(model)
        self._draw = self._buffer.sample
        self._buffer.sample = _Watched(self._buffer, self._sample)  # type: ignore[method-assign]
        self._handles: list[RemovableHandle] = [one.register_forward_hook(_Hook(self._encoded)) for one in extractors]
        self._target_of = {one: adapter.target_of(model, one) for one in extractors if reads_algorithm(one)}
        self._targets: dict[JEPAExtractor, torch.Tensor] = {}  # by target extractor, of what was drawn last
        for target in self._target_of.values():
            self._handles.append(target.register_forward_hook(_Hook(self._target_encoded)))

    def remove(self) -> None:
        """Watch no longer; others that watch the same buffer must be removed too."""
        for handle in self._handles:
            handle.remove()
        self._buffer.__dict__.pop("sample", None)

    def _sample(self, *arguments: Any, **options: Any) -> Any:
        drawn = self._draw(*arguments, **options)
        if self._is_active():
            self._batch, self._waiting, self._targets = drawn, list(self._extractors), {}
        return drawn

    def _target_encoded(self, target: JEPAExtractor, _inputs: Any, latents: torch.Tensor) -> None:
        if self._waiting and self._is_active():
            with torch.no_grad():
                self._targets[target] = target.jepa.projection(latents)

    def _encoded(self, extractor: JEPAExtractor, _inputs: Any, latents: torch.Tensor) -> None:
        if not (self._is_active() and extractor in self._waiting and latents.requires_grad):
            return
        self._waiting.remove(extractor)
        drawn = self._batch
        if len(latents) != len(drawn.rewards):
            raise ValueError(
                f"schedule=Shared(): {type(self._model).__name__} encodes {len(latents)} observations at once, of a "
                f"batch of {len(drawn.rewards)}: use Joint()"
            )
        first = latents.detach().requires_grad_()
        gradient = self._gradient(extractor, _One(self._as_batch(drawn, extractor, first)))

        def join(own: torch.Tensor) -> torch.Tensor:
            self._add(gradient)
            return own if first.grad is None else own + first.grad

        latents.register_hook(join)

    def _as_batch(self, drawn: Any, extractor: JEPAExtractor, first: torch.Tensor) -> Batch:
        """Return what the algorithm drew as stretches of one step, as a ring gives them."""
        size = len(drawn.rewards)
        model: Any = self._model
        actions: torch.Tensor = drawn.actions
        if isinstance(model.action_space, spaces.Box):  # the buffer holds them scaled to [-1, 1]
            low, high = (
                torch.as_tensor(bound, device=actions.device).flatten()
                for bound in (model.action_space.low, model.action_space.high)
            )
            actions = low + (actions + 1) / 2 * (high - low)
        targets = None
        if extractor in self._target_of:
            targets = self._targets[self._target_of[extractor]].unsqueeze(1)
        needed = 1 if targets is None else 0
        after: Any = each(lambda frames: frames.unsqueeze(1)[:, :needed], drawn.next_observations)
        return Batch(
            observations=_shaped(after, extractor.observation_space),
            actions=actions.reshape(size, 1, *model.action_space.shape),
            rewards=drawn.rewards,
            terminated=drawn.dones.bool(),
            discount=model.gamma,
            normalize_images=model.policy.normalize_images,
            first_latents=first,
            targets=targets,
        )


def reads_algorithm(extractor: JEPAExtractor) -> bool:
    """Return whether the target is the algorithm's own target network."""
    return isinstance(extractor.jepa.target, AlgorithmTarget)


def replay_buffer(model: BaseAlgorithm) -> ReplayBuffer:
    """Return the replay buffer of ``model``.

    Raises:
        ValueError: it has none, or one whose transitions are not of one step.
    """
    buffer = getattr(model, "replay_buffer", None)
    if not isinstance(buffer, ReplayBuffer):
        raise ValueError(
            f"schedule=Shared(): {type(model).__name__} draws from no replay buffer: use Joint(), or an algorithm that "
            "does, such as DQN or SAC"
        )
    if buffer.optimize_memory_usage or getattr(buffer, "n_steps", 1) != 1:
        raise ValueError(
            "schedule=Shared(): the replay buffer must give transitions of one step, with the last observation of an "
            "episode: use n_steps=1 and optimize_memory_usage=False, or Joint()"
        )
    return buffer


class _One:
    """Transitions of which there is one batch."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def sample(self, batch_size: int, horizon: int, rewarded_fraction: float) -> Batch:
        """Return the batch, whatever was asked for."""
        del batch_size, horizon, rewarded_fraction
        return self._batch


class _Watched:
    """A buffer's ``sample`` that is watched; a copy or a pickle of the buffer has its own one back."""

    def __init__(self, buffer: ReplayBuffer, sample: Callable[..., Any]) -> None:
        self._buffer, self._sample = buffer, sample

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._sample(*arguments, **options)

    def __reduce__(self) -> Any:
        return getattr, (self._buffer, "sample")


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


def _shaped(observations: Tensors, space: spaces.Space[Any]) -> Tensors:
    """Return observations (B, k, ...) without the axis that buffers give to discrete values."""
    if isinstance(space, spaces.Dict):
        assert isinstance(observations, dict)
        return {key: _shaped(part, space[key]) for key, part in observations.items()}  # type: ignore[misc]
    assert isinstance(observations, torch.Tensor)
    assert space.shape is not None
    return observations.reshape(*observations.shape[:2], *space.shape)
