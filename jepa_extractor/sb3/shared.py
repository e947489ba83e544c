"""Shared: the auxiliary gradient on the algorithm's own batch, within the algorithm's own backward pass.

No algorithm is subclassed: hooks are set on a method of its buffer and on the extractors, and taken off again.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import RolloutBuffer
from torch.utils.hooks import RemovableHandle

from jepa_extractor.data.batch import Batch
from jepa_extractor.jepa import JEPA
from jepa_extractor.sb3 import adapter
from jepa_extractor.sb3.algorithm_buffer import Rollout, replayed, require_buffer
from jepa_extractor.sb3.extractor import JEPAExtractor
from jepa_extractor.sb3.schedules import Schedule


class Shared(Schedule):
    """Use the batch, the latents and the backward pass of the algorithm itself, so that nothing is encoded twice.

    The algorithm encodes the first observations of its batch, with gradient. What followed them it has encoded too,
    without: PPO and its kin while they collected the rollout; DQN, TD3 and the critic of SAC by their target network;
    the actor of SAC for its next action. When the algorithm's backward pass arrives at the latents, the auxiliary
    losses are computed from these, cut off from the encoder, and their gradient is added, so both go through the
    encoder in one pass. It is never against the algorithm's: where the two oppose each other, that part is taken out.

    The callback's ``batch_size`` is not read. Transitions with a reward that is not 0 have the share
    ``rewarded_fraction`` of the losses' weight. ``max_grad_norm`` bounds the gradient on transition, heads and latents
    together; the algorithm's own clip, if it has one, then sees the sum of both. Off-policy algorithms pass normalised
    rewards, on-policy ones raw.

    The JEPA must read nothing else: ``horizon=1``, ``target="detach"``, tasks that read predicted latents such as
    ``RewardTask(latents="predicted")``, or ``QTask`` of discrete actions, and no augmentation. Not for TRPO, CrossQ and
    RecurrentPPO. During the training it raises ``ValueError`` if the algorithm encodes another number of observations
    than its batch holds.

    Args:
        every: only at every ``every``-th step of the optimizer, at least 1.

    Raises:
        ValueError: ``every`` is not an integer of at least 1.
    """

    def prepare(self, model: BaseAlgorithm) -> None:
        """Check the model before its first training.

        Raises:
            ValueError: the model is TRPO; its buffer does not give single transitions with the last observation of an
                episode; or the JEPA reads something else, or its encoder is frozen.
        """
        adapter.require_joint(model, "Shared()")
        self._buffer = require_buffer(model)
        for extractor in self.trainee.extractors:
            _require_shareable(extractor.jepa)
        self._handles: list[RemovableHandle] = []
        on_policy = isinstance(self._buffer, RolloutBuffer)
        self._method = "_get_samples" if on_policy else "sample"  # whose every call gives the algorithm one batch
        self._rollouts = {
            one: Rollout(one, self.trainer.recorder) for one in (self.trainee.extractors if on_policy else ())
        }
        # what encodes the next observations without gradient
        self._slower = {one: adapter.target_of(model, one) or one for one in self.trainee.extractors}

    def start(self) -> None:
        """Begin to watch the batches that the algorithm draws, and their latents."""
        self._drawn: Any = None  # what the algorithm drew last, and with which arguments
        self._waiting: set[JEPAExtractor] = set()  # that have not encoded it yet with gradient
        self._unseen: dict[JEPAExtractor, torch.Tensor] = {}  # latents made without gradient since
        self._draw = getattr(self._buffer, self._method)
        setattr(self._buffer, self._method, _Watched(self._buffer, self._method, self._sample))
        for extractor in self.trainee.extractors:
            self._handles.append(extractor.register_forward_hook(_Hook(self._encoded)))
            if self._slower[extractor] is not extractor:
                self._handles.append(self._slower[extractor].register_forward_hook(_Hook(self._encoded)))
        if any(module._compiled_call_impl is not None for module in self.trainer.model.policy.modules()):
            torch.compiler.reset()  # what was compiled before calls no hook that came after: compile it again

    def stop(self) -> None:
        """Watch no longer; others that watch the same buffer must be stopped too."""
        if self._handles:
            self._buffer.__dict__.pop(self._method, None)
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def before_rollout(self) -> None:
        """Forget the rollout before."""
        self._waiting = set()
        for rollout in self._rollouts.values():
            rollout.clear()

    def after_step(self) -> None:
        """Keep the latents of the observations at which the step was taken."""
        for extractor, rollout in self._rollouts.items():
            rollout.add(self._unseen[extractor], self.trainer.recorder.last_step)

    def after_rollout(self) -> None:
        """Encode what the algorithm has not."""
        for rollout in self._rollouts.values():
            rollout.finish(self.trainer.model.gamma)  # type: ignore[attr-defined]  # every on-policy algorithm has one

    @property
    def _is_active(self) -> bool:
        return self.trainer.is_training and (self.steps + 1) % self.every == 0

    def _sample(self, *arguments: Any, **options: Any) -> Any:
        drawn = self._draw(*arguments, **options)
        self._drawn = drawn, arguments
        self._waiting = set(self.trainee.extractors) if self._is_active else set()
        self._unseen = {}
        return drawn

    def _encoded(self, extractor: JEPAExtractor, _inputs: Any, latents: torch.Tensor) -> None:
        if extractor not in self.trainee.extractors or not latents.requires_grad:
            if self.trainer.is_training and not (self._waiting and extractor in self._unseen):  # the first of a batch
                self._unseen[extractor] = latents.detach()
        elif extractor in self._waiting:
            self._waiting.remove(extractor)
            drawn, arguments = self._drawn
            if len(latents) != len(drawn.actions):
                raise ValueError(
                    f"schedule=Shared(): {type(self.trainer.model).__name__} encodes {len(latents)} observations at "
                    f"once, of a batch of {len(drawn.actions)}: use Joint()"
                )
            latents.register_hook(partial(self._join, extractor, latents.detach(), drawn, arguments))

    def _join(
        self, extractor: JEPAExtractor, latents: torch.Tensor, drawn: Any, arguments: Any, own: torch.Tensor
    ) -> torch.Tensor:
        """Return the gradient on ``latents``, given the algorithm's ``own``, both (B, D); add that of the heads."""
        first = latents.requires_grad_()
        if self._rollouts:
            batch = self._rollouts[extractor].rows(arguments[0])
        else:
            batch = replayed(self.trainer.model, drawn)
            batch = batch.replace(later_latents=self._unseen[self._slower[extractor]].unsqueeze(1))
        batch = batch.replace(first_latents=first, mask=self._weights(batch))
        with torch.enable_grad():
            gradient = self.trainer.gradient(extractor.jepa, batch)
        self.trainer.add(gradient)
        if first.grad is None:
            return own
        joined: torch.Tensor = own + reconciled(first.grad, own)
        return joined

    def _weights(self, batch: Batch) -> torch.Tensor | None:
        """Return weights (B, 1) by which transitions with a reward count ``rewarded_fraction`` of all."""
        fraction = self.trainer.step.rewarded_fraction
        rewarded = batch.rewards != 0
        count = rewarded.sum()
        if not fraction:
            return None
        others = rewarded.numel() - count
        share = torch.where(rewarded, fraction / count, (1 - fraction) / others)
        return torch.where(count * others > 0, share, torch.ones_like(share))


def reconciled(auxiliary: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """Return the auxiliary's gradient without what opposes the algorithm's ``own``.

    The projection is that of PCGrad (arXiv 2001.06782), of the auxiliary's gradient alone.
    """
    along = (auxiliary * own).sum() / own.square().sum().clamp(min=1e-30)
    without: torch.Tensor = auxiliary - along.clamp(max=0.0) * own
    return without


def _require_shareable(jepa: JEPA) -> None:
    reading = [
        task.name
        for task in jepa.tasks
        if (task.reads_after and not task.reads_after_detached)
        or task.label is not None
        or task.needs_next_actions(jepa.action_space)
    ]
    if jepa.horizon != 1:
        problem = f"horizon={jepa.horizon} needs more than single transitions: give horizon=1"
    elif jepa.options["target"] != "detach":
        problem = f"target={jepa.options['target']!r} needs another pass of an encoder: give target='detach'"
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

    def __init__(self, buffer: Any, method: str, act: Callable[..., Any]) -> None:
        self._buffer, self._method, self._act = buffer, method, act

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._act(*arguments, **options)

    def __reduce__(self) -> Any:
        return getattr, (self._buffer, self._method)


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
