"""Encoders that are audited beside another, to see whether the data would have told them apart."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from jepa_extractor.audit.latents import Encoder, network_of
from jepa_extractor.data.observations import Arrays

WIDTH = 512  # numbers to which observations are reduced


@contextmanager
def untrained(encoder: Encoder, seed: int) -> Iterator[bool]:
    """Draw the parameters of an encoder anew for a while; give whether it is a network that has some.

    Parameters of a module that has no ``reset_parameters`` become normal, with the standard deviation that they have.
    """
    network = network_of(encoder)
    modules = list(network.modules()) if isinstance(network, nn.Module) else []
    held = [(part, name) for module in modules for part in (module._parameters, module._buffers) for name in part]
    before = [(part, name, part[name]) for part, name in held if part[name] is not None]
    copies = [tensor.detach().clone() for _, _, tensor in before if tensor is not None]
    try:
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(seed)
            for module in modules:
                _reset(module)
        yield any(module._parameters for module in modules)
    finally:
        with torch.no_grad():
            for (part, name, tensor), copy in zip(before, copies, strict=True):
                assert tensor is not None
                tensor.copy_(copy)
                part[name] = tensor  # type: ignore[assignment]  # a parameter where one was


def _reset(module: nn.Module) -> None:
    reset: Callable[[], None] | None = getattr(module, "reset_parameters", None)
    if callable(reset):
        reset()
        return
    for parameter in module.parameters(recurse=False):
        if parameter.numel() > 1 and parameter.is_floating_point():
            parameter.normal_(std=float(parameter.std()))


def reduced(observations: Arrays, seed: int) -> NDArray[np.float32]:
    """Return observations as at most 512 numbers each, (N, d), their distances nearly kept (a count sketch)."""
    arrays = observations.values() if isinstance(observations, dict) else [observations]
    parts = [np.reshape(array, (len(array), -1)) for array in arrays]
    wide = parts[0] if len(parts) == 1 else np.concatenate([part.astype(np.float32) for part in parts], axis=1)
    if wide.shape[1] <= WIDTH:
        return wide.astype(np.float32)
    rng = np.random.default_rng(seed)
    order = rng.permutation(wide.shape[1])
    signs = rng.choice(np.array([-1, 1], np.float32), wide.shape[1])
    begins = np.array([bucket * wide.shape[1] // WIDTH for bucket in range(WIDTH)])
    chunks = np.array_split(wide, max(1, wide.size // 2**24))
    return np.concatenate([np.add.reduceat(chunk[:, order] * signs, begins, axis=1) for chunk in chunks])
