"""What the callback logs: means of losses and gradient norms, and signs of a collapse."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.logger import Logger
from torch import nn
from torch.optim import Optimizer

from jepa_extractor.data.observations import map_arrays
from jepa_extractor.diagnostics import (
    effective_rank,
    latent_std,
    nearest_centroid_accuracy,
    random_pair_distance,
    warn_if_dead,
)
from jepa_extractor.jepa import JEPA
from jepa_extractor.objectives.tasks import AuxiliaryTask
from jepa_extractor.sb3.recorder import Recorder
from jepa_extractor.train.step import Gradient

NEWEST = 512  # transitions on which the accuracy of the probe is measured
SAME_REWARD = 0.01  # of the range of rewards: no further apart, they are the same
TABLE_WIDTH = 33  # letters of a name that Stable-Baselines3's table shows; a longer one it cuts off 3 letters before


class Monitor:
    """Collects values between two records, each on the device where it was computed."""

    def __init__(self) -> None:
        self.updates = 0  # since the last record
        self._values: dict[str, list[torch.Tensor]] = defaultdict(list)
        self.last: Gradient | None = None  # of the last update

    def add(self, gradient: Gradient) -> None:
        """Add the losses and gradient norms of one auxiliary update."""
        self.updates += 1
        for name, loss in gradient.losses.items():
            self._values[f"{name}_loss"].append(loss)
        self._values["grad_norm"].append(gradient.norm)
        self._values["grad_norm_clipped"].append(gradient.clipped_norm)
        self.last = gradient

    def compare(self, optimizer: Optimizer, encoder: nn.Module, gradient: Gradient) -> None:
        """Add the norm of the gradient that ``optimizer`` holds, and on the encoder its angle to ``gradient``."""
        held = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        self._values["policy_grad_norm"].append(torch.nn.utils.get_total_norm(held))
        auxiliary = dict(zip(gradient.parameters, gradient.values, strict=True))
        both = [p for p in encoder.parameters() if p.grad is not None and p in auxiliary]
        pairs = [(p.grad.flatten(), auxiliary[p].flatten()) for p in both if p.grad is not None]
        if pairs:
            policy, other = (torch.cat(parts) for parts in zip(*pairs, strict=True))
            cosine = torch.nn.functional.cosine_similarity(policy, other, dim=0)
            self._values["gradient_angle"].append(torch.rad2deg(torch.acos(cosine.clamp(-1, 1))))

    def record(self, logger: Logger) -> str:
        """Record the means since the last record, and measures of the last latents; then clear the means.

        Returns:
            The most telling of them in one line.
        """
        numbers = {name: torch.stack(values).mean().item() for name, values in self._values.items()}
        assert self.last is not None
        latents = self.last.latents.flatten(0, 1).cpu().numpy()
        warn_if_dead(latents, "in the last auxiliary batch")
        numbers["latent_std"], numbers["effective_rank"] = latent_std(latents), effective_rank(latents)
        ahead, words = look_ahead(self.last)
        numbers |= ahead
        for name, number in numbers.items():
            logger.record(f"jepa/{name}", number)
        self._values.clear()
        self.updates = 0
        losses = ", ".join(f"{name} loss {numbers[f'{name}_loss']:.4f}" for name in self.last.losses)
        state = "alive" if numbers["effective_rank"] > 0 else "dead"
        return ", ".join(
            [f"encoder {state}, rank {numbers['effective_rank']:.1f} of {latents.shape[1]}", losses, *words]
        )


def look_ahead(gradient: Gradient) -> tuple[dict[str, float], list[str]]:
    """Return what a report calls so, of one batch, by name and in words.

    ``prediction_error_1``: the mean distance of the latent predicted one step ahead to the encoded one.
    ``worst_pair_distance``: the least distance of two latents that must be apart, since steps arrived there with
    different rewards (more than 1% of their range apart). Both are over the root mean square distance of random pairs.
    What is not known is left out: all of it where latents are equal or later ones are not encoded, the pair where the
    reward depends on the action, or is the same everywhere.
    """
    latents = gradient.latents.cpu().numpy()
    scale = random_pair_distance(latents.reshape(-1, latents.shape[-1]))
    if latents.shape[1] < 2 or scale == 0:
        return {}, []
    arrived = latents[:, 1]
    predicted = gradient.predicted[:, 0].cpu().numpy()
    error = float(np.linalg.norm(predicted - arrived, axis=1).mean() / scale)
    numbers, words = {"prediction_error_1": error}, [f"prediction error {error:.2f}"]
    rewards = gradient.rewards[:, 0].cpu().numpy()
    apart = np.abs(rewards[:, None] - rewards) > SAME_REWARD * np.ptp(rewards)
    if apart.any() and ("reward" in gradient.losses or "action_reward" not in gradient.losses):
        distances = np.where(apart, np.linalg.norm(arrived[:, None] - arrived, axis=-1), np.inf) / scale
        pair = np.unravel_index(distances.argmin(), distances.shape)
        numbers["worst_pair_distance"] = distance = float(distances[pair])
        least, most = sorted(rewards[list(pair)])
        words.append(f"worst pair that must be apart {distance:.3f} (rewards {least:.3g} and {most:.3g})")
    return numbers, words


def require_loggable(tasks: Sequence[AuxiliaryTask]) -> None:
    """Raise ``ValueError`` if the table of Stable-Baselines3's logger cannot tell two tasks from each other."""
    shown: dict[str, str] = {}
    for task in tasks:
        key = f"{task.name}_loss"
        key = key if len(key) <= TABLE_WIDTH else key[: TABLE_WIDTH - 3]
        if shown.setdefault(key, task.name) != task.name:
            raise ValueError(
                f"the auxiliary tasks {shown[key]!r} and {task.name!r} begin with the same {len(key)} letters, which "
                "are all that Stable-Baselines3's table shows: give shorter names"
            )


def record_probe(logger: Logger, jepa: JEPA, recorder: Recorder, probe: str) -> None:
    """Record how well ``info[probe]`` can be read off the latents of the newest 512 observations, in [0, 1].

    Nearest-centroid accuracy on the newer half, with centroids from the older half; nothing if fewer than two of these
    observations have the label.
    """
    newest = recorder.ring.newest(NEWEST)
    labels = newest.labels[probe][:, 1].numpy()
    known = torch.from_numpy(np.flatnonzero(np.isfinite(labels)))
    if len(known) < 2:
        return
    observations = recorder.as_the_policy_sees(map_arrays(lambda frames: frames[known, 1], newest.observations))
    arrays: Any = map_arrays(lambda tensor: tensor.numpy(), observations)
    latents, labels = jepa.encode(arrays), labels[known]
    half = (len(latents) + 1) // 2
    accuracy = nearest_centroid_accuracy(latents[:half], labels[:half], latents[half:], labels[half:])
    logger.record("jepa/probe_accuracy", accuracy)
