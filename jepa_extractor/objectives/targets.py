"""What the latent transition learns to predict: the latents that followed, of the encoder or of a slower one."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import nn

from jepa_extractor.data.batch import Batch, Latents
from jepa_extractor.networks.copies import MovingAverage, NetworkCopy, PeriodicCopy
from jepa_extractor.networks.modules import of_each_frame

TargetName = Literal["online", "detach", "ema", "copy"]
# (embedding, **arguments) -> a module with the members of OnlineTarget
MakeTarget = Callable[..., nn.Module]


class OnlineTarget(nn.Module):
    """The transition predicts the latents themselves, with gradient: the paper's choice.

    Attributes:
        reads_after: whether gradient flows into latents after the first.

    Args:
        embedding: what the target may copy: the encoder, and after it the projection of the dynamics loss.
    """

    reads_after = True

    def __init__(self, embedding: nn.Sequential) -> None:
        del embedding
        super().__init__()

    def forward(self, embedding: nn.Sequential, batch: Batch, latents: Latents) -> torch.Tensor:
        """Return the projected latents after each step, (B, k, P)."""
        del batch
        projected: torch.Tensor = embedding[1](latents.after)
        return projected

    def update(self, embedding: nn.Sequential) -> None:
        """Do nothing: there is no other network."""


class DetachedTarget(OnlineTarget):
    """The transition predicts the latents, without gradient."""

    reads_after = False

    @torch.no_grad()
    def forward(self, embedding: nn.Sequential, batch: Batch, latents: Latents) -> torch.Tensor:
        """Return the projected latents after each step, (B, k, P), without gradient."""
        if latents.has_after:
            return super().forward(embedding, batch, latents)
        return of_each_frame(embedding, batch.observations_after)


class CopiedTarget(nn.Module):
    """The transition predicts the latents of a copy of the encoder, which takes a second forward pass.

    Args:
        copy: follows the embedding.
    """

    reads_after = False

    def __init__(self, copy: NetworkCopy) -> None:
        super().__init__()
        self.copy = copy

    def forward(self, embedding: nn.Sequential, batch: Batch, latents: Latents) -> torch.Tensor:
        """Return the copy's projected latents after each step, (B, k, P), without gradient."""
        del latents
        return of_each_frame(partial(self.copy, embedding), batch.observations_after)

    def update(self, embedding: nn.Sequential) -> None:
        """Move the copy towards ``embedding``."""
        self.copy.update(embedding)


class AveragedTarget(CopiedTarget):
    """A ``CopiedTarget`` that follows at ``rate``; see ``MovingAverage``."""

    def __init__(self, embedding: nn.Sequential, rate: float = 0.01) -> None:
        super().__init__(MovingAverage(embedding, rate))


class PeriodicTarget(CopiedTarget):
    """A ``CopiedTarget`` that is copied at every ``every``-th update; see ``PeriodicCopy``."""

    def __init__(self, embedding: nn.Sequential, every: int = 250) -> None:
        super().__init__(PeriodicCopy(embedding, every))


TARGETS: dict[str, MakeTarget] = {
    "online": OnlineTarget,
    "detach": DetachedTarget,
    "ema": AveragedTarget,
    "copy": PeriodicTarget,
}
