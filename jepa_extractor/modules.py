"""Looking at a network without changing it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


@contextmanager
def training_mode_kept(module: nn.Module) -> Iterator[None]:
    """Leave the training mode of ``module`` and of every part of it as it was."""
    modes = {part: part.training for part in module.modules()}
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training


@torch.no_grad()
def output_shape(module: nn.Module, *inputs: Any) -> tuple[int, ...]:
    """Return the shape of what ``module`` maps ``inputs`` to, in evaluation mode."""
    with training_mode_kept(module):
        return tuple(module.eval()(*inputs).shape)
