"""A moving average of a network's parameters."""

import torch
from torch import nn
from torch.func import functional_call


class MovingAverage(nn.Module):
    """An exponential moving average of a module's parameters, held as buffers, so that no optimizer sees it.

    Until it has seen ``1 / rate`` updates it is the plain mean of all parameters seen so far. So the first update
    copies the parameters: Stable-Baselines3 may initialise a network again after it is built.

    Args:
        module: the module to average; only the shapes of its parameters matter here.
        rate: share of the current parameters in the average, in (0, 1].
    """

    updates: torch.Tensor

    def __init__(self, module: nn.Module, rate: float = 0.01) -> None:
        super().__init__()
        self._rate = rate
        self._names = [name for name, _ in module.named_parameters()]
        for name, parameter in module.named_parameters():
            self.register_buffer(_buffer_name(name), parameter.detach().clone())
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))

    def forward(self, module: nn.Module, *inputs: object) -> torch.Tensor:
        """Return what ``module`` would with the averaged parameters, without gradient."""
        averaged = {name: self.get_buffer(_buffer_name(name)) for name in self._names}
        with torch.no_grad():
            outputs: torch.Tensor = functional_call(module, averaged, inputs)
        return outputs

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move the average towards the parameters of ``module``."""
        self.updates += 1
        rate = (1.0 / self.updates).clamp(min=self._rate)
        for name, parameter in module.named_parameters():
            self.get_buffer(_buffer_name(name)).lerp_(parameter, rate)


def _buffer_name(parameter: str) -> str:
    return parameter.replace(".", "__")
