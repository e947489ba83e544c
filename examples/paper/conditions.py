"""What is compared: the auxiliary, and which losses reach the encoder."""

from dataclasses import dataclass
from typing import Literal

import torch
from gymnasium import spaces
from torch import nn

from jepa_extractor.jepa import TargetName
from jepa_extractor.networks.encoders import MakeEncoder


class CellBrightness(nn.Module):
    """The brightness of each of 8x8 cells, 64 numbers: a latent that holds the places, without any training."""

    def __init__(self, observation_space: spaces.Box, latent_dim: int) -> None:
        super().__init__()
        del observation_space, latent_dim

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map images (B, 3, H, W) to (B, 64)."""
        return nn.functional.adaptive_avg_pool2d(images.amax(dim=1), 8).flatten(1)


@dataclass(frozen=True)
class Condition:
    """One way to train an encoder. One whose weights are both 0 stays as it was initialised."""

    title: str
    auxiliary: Literal["reward", "random", "count"] = "reward"
    dynamics_weight: float = 2.0
    auxiliary_weight: float = 10.0
    target: TargetName = "online"  # of the latent transition
    encoder: MakeEncoder | None = None  # instead of that of the study


PAPER = {
    "joint": Condition("P-JEPA, reward"),
    "random": Condition("P-JEPA, random target", auxiliary="random", auxiliary_weight=1.0),
    "reward_only": Condition("reward only", dynamics_weight=0.0),
    "dynamics_only": Condition("dynamics only", auxiliary_weight=0.0),
    "untrained": Condition("untrained", dynamics_weight=0.0, auxiliary_weight=0.0),
    "cells": Condition(
        "control: brightness of 8x8 cells", dynamics_weight=0.0, auxiliary_weight=0.0, encoder=CellBrightness
    ),
}
BEYOND = {
    "random_strong": Condition("P-JEPA, random target, weight 100", auxiliary="random", auxiliary_weight=100.0),
    "count": Condition("P-JEPA, count as label", auxiliary="count", auxiliary_weight=0.2),
    "detach": Condition("P-JEPA, reward, detached target", target="detach"),
    "ema": Condition("P-JEPA, reward, slow target", target="ema"),
}
CONDITIONS = PAPER | BEYOND
