"""What a model imagines: latents that its transition predicts, beside what was really seen."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from jepa_extractor.audit.audit_set import AuditSet
from jepa_extractor.audit.latents import Encoder, jepa_of
from jepa_extractor.audit.separation import Indices
from jepa_extractor.diagnostics import random_pair_distance
from jepa_extractor.jepa import JEPA
from jepa_extractor.networks.modules import evaluation_mode

EPISODES = 3
STEPS = 8
AHEAD = 5  # steps of which the error is measured
STARTS = 2_000  # of the predictions whose error is measured


class Rollout(NamedTuple):
    """The first steps of an episode.

    Attributes:
        frames: the observations really seen, T + 1 rows.
        imagined: for each action the observation whose latent is nearest to the predicted one, of other episodes, (T,).
        errors: for each action the distance of the predicted latent to that of the real frame, over the root mean
            square distance of random pairs, (T,).
    """

    frames: list[int]
    imagined: list[int]
    errors: list[float]


def prediction_errors(
    encoder: Encoder, latents: NDArray[np.float32], audit_set: AuditSet, ahead: int = AHEAD, seed: int = 0
) -> tuple[float, ...]:
    """Return the mean error of the latent predicted 1 to ``ahead`` steps before; nothing without a transition.

    It is measured from 2,000 observations, fewer where episodes are short, over the root mean square distance of random
    pairs; as many steps ahead as ten stretches of episodes are long.
    """
    jepa = jepa_of(encoder)
    scale = random_pair_distance(latents)
    if jepa is None or jepa.latent_dim != latents.shape[1] or scale == 0:
        return ()
    rng = np.random.default_rng(seed)
    to_come = _steps_to_come(audit_set)
    errors: list[float] = []
    for steps in range(1, ahead + 1):
        starts = np.flatnonzero(to_come >= steps)
        if len(starts) < 10:
            break
        starts = np.sort(rng.choice(starts, min(STARTS, len(starts)), replace=False))
        predicted = _predicted(jepa, latents[starts], audit_set.actions[starts[:, None] + np.arange(steps)])[:, -1]
        errors.append(float(np.linalg.norm(predicted - latents[starts + steps], axis=1).mean() / scale))
    return tuple(errors)


def rollouts_of(encoder: Encoder, latents: NDArray[np.float32], audit_set: AuditSet, seed: int = 0) -> list[Rollout]:
    """Return what the latent transition of ``encoder`` predicts in the longest episodes; nothing where it has none.

    Raises:
        ValueError: the latents are not those of ``encoder``.
    """
    jepa = jepa_of(encoder)
    if jepa is None:
        return []
    if jepa.latent_dim != latents.shape[1]:
        raise ValueError(
            f"encoder has latents of width {jepa.latent_dim}, those of its report have {latents.shape[1]}: give the "
            "encoder that was audited"
        )
    scale = max(random_pair_distance(latents), 1e-12)
    firsts = np.flatnonzero(audit_set.steps == 0)
    steps = np.minimum(_steps_to_come(audit_set)[firsts], STEPS)
    order = np.random.default_rng(seed).permutation(len(firsts))
    longest = [i for i in order[np.argsort(-steps[order], kind="stable")][:EPISODES] if steps[i]]
    return [_rollout(jepa, latents, audit_set, firsts[i] + np.arange(steps[i] + 1), scale) for i in longest]


def _rollout(jepa: JEPA, latents: NDArray[np.float32], audit_set: AuditSet, frames: Indices, scale: float) -> Rollout:
    predicted = _predicted(jepa, latents[frames[:1]], audit_set.actions[frames[:-1]][None])[0]
    others = np.flatnonzero(audit_set.episodes != audit_set.episodes[frames[0]])
    others = others if len(others) else np.arange(len(latents))
    imagined = [int(others[np.sum((latents[others] - latent) ** 2, axis=1).argmin()]) for latent in predicted]
    errors = np.linalg.norm(predicted - latents[frames[1:]], axis=1) / scale
    return Rollout(frames.tolist(), imagined, errors.tolist())


@torch.no_grad()
def _predicted(jepa: JEPA, latents: NDArray[np.float32], actions: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return the latents after each of k actions (B, k, ...) from latents (B, D): (B, k, D)."""
    with evaluation_mode(jepa):
        start = torch.from_numpy(latents).to(jepa.device)
        predicted: NDArray[np.float32] = jepa.unroll(start, torch.from_numpy(np.asarray(actions))).cpu().numpy()
    return predicted


def _steps_to_come(audit_set: AuditSet) -> Indices:
    """Return how many steps of its episode follow each observation, (N,)."""
    lasts = np.flatnonzero(np.diff(audit_set.episodes, append=-1))
    return lasts[np.searchsorted(lasts, np.arange(len(audit_set)))] - np.arange(len(audit_set))
