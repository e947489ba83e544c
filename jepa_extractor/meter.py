"""Means of losses and gradient norms between two records, kept on their device until then."""

from collections import defaultdict
from collections.abc import Mapping

import torch
from stable_baselines3.common.logger import Logger
from torch import nn

from jepa_extractor.diagnostics import effective_rank, latent_std
from jepa_extractor.objective import Gradient


class Meter:
    """Collects what ``JEPACallback`` logs; nothing leaves its device before ``record``."""

    def __init__(self) -> None:
        self.updates = 0
        self.last_losses: dict[str, torch.Tensor] = {}
        self._values: dict[str, list[torch.Tensor]] = defaultdict(list)
        self._latents: torch.Tensor | None = None

    def add(self, losses: Mapping[str, torch.Tensor], gradient: Gradient, latents: torch.Tensor) -> None:
        """Count one update: its losses, its gradient, and its latents (B, k + 1, D)."""
        self.updates += 1
        self.last_losses = {name: loss.detach() for name, loss in losses.items()}
        for name, loss in self.last_losses.items():
            self._values[f"{name}_loss"].append(loss)
        self._values["grad_norm"].append(gradient.norm)
        self._values["grad_norm_clipped"].append(gradient.clipped_norm)
        self._latents = latents.detach()

    def add_rarely(self, **values: torch.Tensor) -> None:
        """Count values, scalars, that are not measured at every update."""
        for name, value in values.items():
            self._values[name].append(value)

    def add_angle(self, encoder: nn.Module, gradient: Gradient) -> None:
        """Count the angle between ``gradient`` and the one that the encoder's parameters hold."""
        auxiliary = dict(zip(gradient.parameters, gradient.values, strict=True))
        pairs = [(p.grad.flatten(), auxiliary[p].flatten()) for p in encoder.parameters() if p.grad is not None]
        if pairs:
            policy, other = (torch.cat(parts) for parts in zip(*pairs, strict=True))
            cosine = torch.nn.functional.cosine_similarity(policy, other, dim=0)
            self._values["gradient_angle"].append(torch.rad2deg(torch.acos(cosine.clamp(-1, 1))))

    def record(self, logger: Logger) -> None:
        """Record the means since the last record, and measures of the last latents; begin anew."""
        for name, values in self._values.items():
            logger.record(f"jepa/{name}", torch.stack(values).mean().item())
        assert self._latents is not None
        latents = self._latents.flatten(0, 1).cpu().numpy()
        logger.record("jepa/latent_std", latent_std(latents))
        logger.record("jepa/effective_rank", effective_rank(latents))
        self._values.clear()
        self.updates = 0
