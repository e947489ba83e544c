"""Calling a network: in which mode, in chunks, frame by frame."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from jepa_extractor.checks import shown
from jepa_extractor.data.batch import Tensors
from jepa_extractor.data.observations import map_arrays

CHUNK = 256  # observations encoded at once where there may be many


def made_module(name: str, make: Callable[..., Any], *arguments: Any, **options: Any) -> nn.Module:
    """Return the module that ``make``, the option ``name``, makes.

    Raises:
        TypeError: it does not take these arguments.
        ValueError: it returns no module.
    """
    try:
        module = make(*arguments, **options)
    except TypeError as error:
        raise TypeError(f"{name}={shown(make)} cannot be made: {error}") from error
    if not isinstance(module, nn.Module):
        raise ValueError(f"{name}={shown(make)} returned {shown(module)}: it must return a torch.nn.Module")
    return module


@contextmanager
def training_mode_kept(module: nn.Module) -> Iterator[None]:
    """Leave the training mode of ``module`` and of every part of it as it was."""
    modes = {part: part.training for part in module.modules()}
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training


@contextmanager
def evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Put ``module`` and every part of it into evaluation mode for a while."""
    if not any(part.training for part in module.modules()):  # to set the mode of each takes longer than to look at it
        yield
        return
    with training_mode_kept(module):
        module.eval()
        yield


@contextmanager
def training_mode(module: nn.Module) -> Iterator[None]:
    """Put ``module`` and every part of it into training mode for a while."""
    if all(part.training for part in module.modules()):
        yield
        return
    with training_mode_kept(module):
        module.train()
        yield


@torch.no_grad()
def output_shape(module: nn.Module, *inputs: Any) -> tuple[int, ...]:
    """Return the shape of what ``module`` maps ``inputs`` to, in evaluation mode."""
    with evaluation_mode(module):
        made = module(*inputs)
    if not isinstance(made, torch.Tensor):
        raise TypeError(f"forward returned a {type(made).__name__}: it must return one tensor")
    return tuple(made.shape)


@torch.no_grad()
def in_chunks(
    function: Callable[[Any], Any], rows: Callable[[NDArray[np.int64]], Any], count: int, device: torch.device
) -> NDArray[np.float32]:
    """Return what ``function`` makes of ``count`` observations, float32 (count, D), some of them at a time.

    Args:
        function: maps tensors of observations (B, ...), or a dict of them, to (B, D), a tensor or an array.
        rows: gives the observations of these numbers, (B,), as arrays.
        count: how many observations there are, at least 1.
        device: where tensors are put.

    Raises:
        ValueError: what ``function`` returned has not the shape (B, D).
    """
    parts: list[NDArray[np.float32]] = []
    for start in range(0, count, CHUNK):
        numbers = np.arange(start, min(start + CHUNK, count))
        made = function(map_arrays(lambda array: torch.as_tensor(array).to(device), rows(numbers)))
        if not isinstance(made, torch.Tensor | np.ndarray):
            raise ValueError(f"the encoder returned a {type(made).__name__}: return the latents alone, as one tensor")
        part = made.float().cpu().numpy() if isinstance(made, torch.Tensor) else np.asarray(made, np.float32)
        if part.ndim == 3:
            raise ValueError(
                f"the encoder returned a sequence, {part.shape}, for {len(numbers)} observations: reduce it to (B, D), "
                "as by its mean over the second axis"
            )
        expected = (len(numbers), parts[0].shape[1] if parts else max(1, part.shape[-1] if part.ndim else 1))
        if part.shape != expected:
            raise ValueError(
                f"the encoder returned {part.shape} for {len(numbers)} observations: return (B, D), one row for each"
            )
        parts.append(part)
    return np.concatenate(parts)


def of_each_frame(network: Callable[[Tensors], torch.Tensor], observations: Tensors) -> torch.Tensor:
    """Return what ``network`` maps observations (B, k, ...) to, (B, k, width)."""
    size = (next(iter(observations.values())) if isinstance(observations, dict) else observations).shape[:2]
    mapped = network(map_arrays(lambda frames: frames.flatten(0, 1), observations))
    return mapped.reshape(*size, mapped.shape[-1])
