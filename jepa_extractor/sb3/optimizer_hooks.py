"""Hooks that act before the steps of an optimizer; each optimizer has at most one."""

from typing import Any, Protocol
from weakref import WeakKeyDictionary, ref

import torch
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle


class StepListener(Protocol):
    """Something that acts before an optimizer's steps."""

    @property
    def is_training(self) -> bool:
        """Whether the hook should call it."""

    def measures_next(self, owner: Optimizer) -> bool:
        """Return whether the norm of the algorithm's gradient is to be measured at the next step of ``owner``."""

    def before_step(self, owner: Optimizer, policy_norm: torch.Tensor | None) -> None:
        """Act, before ``owner`` steps.

        Args:
            owner: the optimizer.
            policy_norm: norm of the algorithm's gradient before it was clipped, a scalar, where it was measured.
        """


class StepHook:
    """Calls a listener before each step of an optimizer and, if asked, measures the gradient of the backward pass.

    Algorithms clip between the backward pass and the step, so the norm before the clip is taken by hooks on the
    parameters themselves.
    """

    def __init__(self, owner: Optimizer, listener: StepListener) -> None:
        # weak: the register must not keep a model alive, through its callback or its optimizer
        self._listener, self._owner = ref(listener), ref(owner)
        self._norms: dict[torch.Tensor, torch.Tensor] = {}
        self._handles: list[RemovableHandle] = [owner.register_step_pre_hook(self._before_step)]
        for group in owner.param_groups:
            for parameter in group["params"]:
                if parameter.requires_grad:
                    self._handles.append(parameter.register_post_accumulate_grad_hook(self._measure))

    @property
    def active_listener(self) -> StepListener | None:
        """The listener, while its training goes on."""
        listener = self._listener()
        return listener if listener is not None and listener.is_training else None

    def remove(self) -> None:
        """Detach from the optimizer and its parameters."""
        for handle in self._handles:
            handle.remove()

    def _measure(self, parameter: torch.Tensor) -> None:
        listener, owner = self.active_listener, self._owner()
        if listener is not None and owner is not None and parameter.grad is not None and listener.measures_next(owner):
            self._norms[parameter] = torch.linalg.vector_norm(parameter.grad)  # of the last backward before the step

    def _before_step(self, owner: Optimizer, _args: Any, _kwargs: Any) -> None:
        listener = self.active_listener
        if listener is None:
            return
        norm = torch.linalg.vector_norm(torch.stack(list(self._norms.values()))) if self._norms else None
        self._norms.clear()
        listener.before_step(owner, norm)


_ATTACHED: "WeakKeyDictionary[Optimizer, StepHook]" = WeakKeyDictionary()


def attach(owner: Optimizer, listener: StepListener) -> None:
    """Let ``owner`` call ``listener`` before each step; an earlier listener, as of an interrupted training, is removed.

    Raises:
        ValueError: ``owner`` has another listener in the same training.
    """
    if owner in _ATTACHED:
        if _ATTACHED[owner].active_listener not in (None, listener):
            raise ValueError("callback has two JEPACallbacks that train the same encoder: give one of them")
        _ATTACHED.pop(owner).remove()
    _ATTACHED[owner] = StepHook(owner, listener)
