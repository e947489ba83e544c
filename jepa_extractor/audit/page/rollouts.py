"""What a model imagines: latents that its transition predicts, beside what was really seen."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import nn

from jepa_extractor.audit.page.facts import Rows
from jepa_extractor.audit.page.pictures import shown_numbers
from jepa_extractor.diagnostics import random_pair_distance
from jepa_extractor.jepa import JEPA
from jepa_extractor.networks.modules import evaluation_mode

if TYPE_CHECKING:
    from jepa_extractor.audit.latents import Encoder
    from jepa_extractor.audit.report import Report

EPISODES = 3
STEPS = 8


class Rollout(NamedTuple):
    """The first steps of an episode.

    Attributes:
        actions: by which each frame but the first was reached.
        frames: the observations really seen, one row more than actions.
        imagined: for each action the observation whose latent is nearest to the predicted one, of other episodes.
        errors: for each action the distance of the predicted latent to that of the real frame, over the root mean
            square distance of random pairs.
    """

    actions: list[str]
    frames: list[int]
    imagined: list[int]
    errors: list[float]


def rollouts_of(report: "Report", encoder: "Encoder", seed: int = 0) -> list[Rollout]:
    """Return what the latent transition of ``encoder`` predicts in the longest episodes; nothing where it has none.

    Raises:
        ValueError: the latents of ``report`` are not those of ``encoder``.
    """
    data, latents = report.audit_set, report.latents
    network = getattr(encoder, "policy", encoder)
    modules = network.modules() if isinstance(network, nn.Module) else ()
    jepa = next((module for module in modules if isinstance(module, JEPA)), None)
    if jepa is None:
        return []
    if jepa.latent_dim != latents.shape[1]:
        raise ValueError(
            f"encoders[{report.name!r}] has latents of width {jepa.latent_dim}, those of its report have "
            f"{latents.shape[1]}: give the encoder that was audited"
        )
    scale = max(random_pair_distance(latents), 1e-12)
    rows: dict[int, Rows] = {}
    order = np.lexsort((data.steps, data.episodes))
    for members in np.split(order, np.flatnonzero(np.diff(data.episodes[order])) + 1):
        if len(members) > 1:
            rows[int(data.episodes[members[0]])] = members
    numbers = np.random.default_rng(seed).permutation(list(rows))
    longest = sorted(numbers.tolist(), key=lambda episode: -min(len(rows[episode]), STEPS + 1))[:EPISODES]
    return [_rollout(report, jepa, rows[episode][: STEPS + 1], scale) for episode in longest]


@torch.no_grad()
def _rollout(report: "Report", jepa: JEPA, frames: Rows, scale: float) -> Rollout:
    data, latents = report.audit_set, report.latents
    actions = data.actions[frames[:-1]]
    with evaluation_mode(jepa):
        start = torch.from_numpy(latents[frames[:1]]).to(jepa.device)
        predicted = jepa.unroll(start, torch.from_numpy(actions[None]))[0].cpu().numpy()
    others = np.flatnonzero(data.episodes != data.episodes[frames[0]])
    others = others if len(others) else np.arange(len(latents))
    imagined = [int(others[np.sum((latents[others] - latent) ** 2, axis=1).argmin()]) for latent in predicted]
    errors = np.linalg.norm(predicted - latents[frames[1:]], axis=1) / scale
    names = [data.action_names[i] if data.action_names else shown_numbers(i) for i in actions]
    return Rollout(names, frames.tolist(), imagined, errors.tolist())
