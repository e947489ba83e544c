"""Copies of a network that follow it: a moving average of its parameters, or a copy made from time to time."""

from abc import ABC, abstractmethod

import torch
from torch import nn
from torch.func import functional_call

from jepa_extractor.checks import require_integer, require_positive_fraction


class NetworkCopy(nn.Module, ABC):
    """A copy of a module's parameters, held as buffers, so that no optimizer sees it.

    Args:
        module: the module to follow; only the shapes of its parameters matter here.
    """

    updates: torch.Tensor

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._names = [name for name, _ in module.named_parameters()]
        for name, parameter in module.named_parameters():
            self.register_buffer(_buffer_name(name), parameter.detach().clone())
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))

    def forward(self, module: nn.Module, *inputs: object) -> torch.Tensor:
        """Return what ``module`` would with the copied parameters, without gradient; before any update, its own."""
        if not self.updates:  # what was copied when it was built may have been initialised again since
            with torch.no_grad():
                return module(*inputs)  # type: ignore[no-any-return]
        copied = {name: self.get_buffer(_buffer_name(name)) for name in self._names}
        with torch.no_grad():
            outputs: torch.Tensor = functional_call(module, copied, inputs)
        return outputs

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move the copy towards the parameters of ``module``."""
        self.updates += 1
        rate = self._rate_now()
        for name, parameter in module.named_parameters():
            self.get_buffer(_buffer_name(name)).lerp_(parameter, rate)

    @abstractmethod
    def _rate_now(self) -> torch.Tensor:
        """Return the share of the current parameters at update number ``updates``, from 1; 1 at the first."""


class MovingAverage(NetworkCopy):
    """An exponential moving average.

    Until it has seen ``1 / rate`` updates it is the plain mean of all parameters seen so far. So the first update
    copies the parameters: Stable-Baselines3 may initialise a network again after it is built.

    Args:
        module: see ``NetworkCopy``.
        rate: share of the current parameters in the average, in (0, 1].
    """

    def __init__(self, module: nn.Module, rate: float = 0.01) -> None:
        require_positive_fraction("rate", rate)
        super().__init__(module)
        self._rate = rate

    def _rate_now(self) -> torch.Tensor:
        return (1.0 / self.updates).clamp(min=self._rate)


class PeriodicCopy(NetworkCopy):
    """A copy made at the first update, and at every ``every``-th after it.

    Args:
        module: see ``NetworkCopy``.
        every: updates from one copy to the next, at least 1.
    """

    def __init__(self, module: nn.Module, every: int = 250) -> None:
        require_integer("every", every, least=1)
        super().__init__(module)
        self._every = every

    def _rate_now(self) -> torch.Tensor:
        return ((self.updates - 1) % self._every == 0).float()


def _buffer_name(parameter: str) -> str:
    return parameter.replace(".", "__")
