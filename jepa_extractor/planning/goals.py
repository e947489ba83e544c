"""A new goal for a trained JEPA, from a few labelled observations."""

import copy
import warnings
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray
from torch import nn

from jepa_extractor.checks import as_floats, require_type
from jepa_extractor.data.observations import Arrays, length
from jepa_extractor.data.spaces import as_batch
from jepa_extractor.jepa import JEPA
from jepa_extractor.objectives.tasks import RewardTask
from jepa_extractor.planning.model import GOAL_TASKS, NearestLabel


def retarget(jepa: JEPA, observations: Arrays, rewards: ArrayLike) -> JEPA:
    """Return a copy of ``jepa`` whose task ``"reward"`` predicts other rewards; nothing is trained.

    The new head gives a latent the reward of the nearest labelled one. It has no parameter that a handful of labels
    could fit wrongly, and needs none where each class is one small cluster. Encoder and transition are copied as they
    are, in evaluation mode, with their gradient off. The tasks ``"action_reward"``, ``"q"`` and ``"end"`` are left out,
    since they tell of the old goal.

    Args:
        jepa: trained, by ``pretrain`` or with a model.
        observations: ``(N, *observation shape)``, N at least 2, as ``random_episodes`` or ``reset`` gives them: images
            with channels first or last; a dict of arrays for a ``Dict`` space.
        rewards: numbers for arriving at each observation, (N,), kept as float32.

    Raises:
        ValueError: the observations are not of the JEPA's space; the rewards are not N finite numbers, or all
            equal; or two observations with different rewards have the same latent.

    Warns:
        UserWarning: the labels do not suffice: from no labelled observation does an action lead to where the nearest
            label has the highest reward; or what arrives there is, on average, nearly as close to another reward.
    """
    require_type("jepa", jepa, JEPA, "that of a policy is model.policy.features_extractor.jepa")
    batch, is_batch = as_batch(observations, jepa.observation_space)
    with np.errstate(over="ignore"):  # what is too large is not finite
        labels = as_floats("rewards", rewards).astype(np.float32)
    if not is_batch or labels.shape != (length(batch),):
        raise ValueError(
            f"rewards has shape {labels.shape} for {length(batch)} observations: give a batch of observations, and one "
            "reward for each"
        )
    if labels.size == 0:
        raise ValueError("there is no observation: label at least one of the goal and one other")
    if not np.isfinite(labels).all():
        raise ValueError("rewards are not all finite: leave out observations whose reward is unknown")
    if np.all(labels == labels[0]):
        raise ValueError(
            f"rewards are all {labels[0]:g}, so every plan is as good: label observations of the goal and others"
        )
    latents = torch.from_numpy(jepa.encode(batch))
    _require_no_contradiction(latents, labels)
    new = copy.deepcopy(jepa).requires_grad_(False)
    kept = [task for task in new.tasks if task.name not in GOAL_TASKS]
    heads: dict[str, Any] = {task.name: new.heads[task.name] for task in kept}
    new.tasks = (RewardTask(), *kept)
    new.heads = nn.ModuleDict({"reward": NearestLabel(latents, torch.from_numpy(labels)).to(new.device), **heads})
    if jepa.updates:
        _warn_of_doubt(new, latents, labels)
    return new.eval()


SAME = 1e-3  # distance of latents taken for one, relative to the largest distance of labelled ones
DOUBT = 0.7  # ratio of the distances to the nearest label and to the nearest with another reward; 1 is a coin toss
PREDICTIONS = 20_000  # at most, by which labels are judged
ACTIONS = 64


@torch.no_grad()
def _warn_of_doubt(jepa: JEPA, latents: torch.Tensor, labels: NDArray[np.float32]) -> None:
    """Warn where what the transition predicts from labelled latents cannot be told by the labels.

    Predicted latents are spread as those of unseen observations are, which one label of each class does not show.
    """
    actions = _probes(jepa.action_space)
    roots = latents[:: -(-len(latents) * len(actions) // PREDICTIONS)].to(jepa.device)
    pairs = roots.repeat_interleave(len(actions), 0), torch.from_numpy(np.tile(actions.T, len(roots)).T)
    distances = torch.cdist(jepa.eval().predict(*pairs).cpu(), latents).numpy()
    reward = labels[distances.argmin(1)]
    other = np.where(labels == reward[:, None], np.inf, distances).min(1)
    best = labels.max()
    doubts = (distances.min(1) / other)[reward == best]
    advice = "label more observations, several of each class; or the encoder does not tell these classes apart"
    if not len(doubts):
        warnings.warn(
            f"no action leads from a labelled observation to where the nearest label is {best:g}, the highest reward, "
            f"so plans may not find it: {advice}",
            stacklevel=3,
        )
    elif doubts.mean() > DOUBT:
        warnings.warn(
            f"what arrives at the highest reward, {best:g}, is nearly as close to other rewards (ratio of distances "
            f"{doubts.mean():.2f}, where 0 is sure and 1 a coin toss), so plans may miss it: {advice}",
            stacklevel=3,
        )


def _probes(space: spaces.Space[Any]) -> NDArray[Any]:
    """Return actions (K, *shape): all of a small ``Discrete`` space, some of another."""
    if isinstance(space, spaces.Discrete) and space.n <= ACTIONS:
        return np.arange(space.n)
    space = copy.deepcopy(space)
    space.seed(0)
    return np.stack([space.sample() for _ in range(ACTIONS)])


def _require_no_contradiction(latents: torch.Tensor, labels: np.ndarray[Any, np.dtype[np.float32]]) -> None:
    distances = torch.cdist(latents, latents, compute_mode="donot_use_mm_for_euclid_dist").numpy()
    contradict = (distances <= SAME * distances.max()) & (labels[:, None] != labels)
    if contradict.any():
        one, other = np.argwhere(contradict)[0]
        raise ValueError(
            f"observations {one} and {other} have rewards {labels[one]:g} and {labels[other]:g} and the same latent: "
            "the labels contradict each other, or the encoder does not tell these observations apart"
        )
