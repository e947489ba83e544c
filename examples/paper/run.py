"""One run of the study: train one encoder under one condition from one seed, and measure it."""

import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances_argmin

import counting_env
from jepa_extractor import (
    Episode,
    JEPAExtractor,
    LabelTask,
    RandomTask,
    RewardTask,
    TransitionRing,
    fit_transition,
    pairwise_audit,
    policy_space,
    pretrain,
    random_episodes,
)
from jepa_extractor.checkpoint import replace_file
from jepa_extractor.networks.heads import RandomMapHead
from paper import measures
from paper.conditions import CONDITIONS
from paper.decoder import read_images, reconstruct, train_decoder
from paper.scenes import STEPS, make_scenes, random_walks

gym.register_envs(counting_env)

TRANSITIONS = 5_000  # from which the encoder learns
HELD_OUT = 1_000  # transitions on which the losses are measured
BATCH = 64
LEARNING_RATES = {"pooled": 4e-3, "places": 4e-3, "nature": 1e-3, "resnet": 3e-4}
TRANSITION_SHARE = 1.0  # updates of the latent transition on the finished encoder, for each update of the encoder
DECODER_SHARE = 0.8
FIT_SEED, TEST_SEED, WALK_SEED = 2_000_000, 3_000_000, 4_000_000  # far above those of training

Floats = NDArray[np.float32]


def run(configuration: dict[str, Any], seed: int, folder: Path) -> dict[str, float]:
    """Train and measure. But for ``processor_seconds``, a pure function of ``configuration`` and ``seed``.

    A run that was cut off goes on with what ``folder`` holds.

    Args:
        configuration: ``condition``, ``encoder``, ``updates``, ``target``, ``max_count``, ``latent_dim``.
        seed: seed of data, networks and batches.
        folder: where the checkpoint and ``pictures.npz`` go.
    """
    start = time.process_time()
    envs = gym.make_vec(
        "CountingEnv-v0",
        64,
        vectorization_mode="vector_entry_point",
        target=configuration["target"],
        max_count=configuration["max_count"],
    )
    episodes, held_out = (
        list(random_episodes(envs, transitions, first + seed, labels=("count",)))
        for transitions, first in ((TRANSITIONS, 0), (HELD_OUT, TEST_SEED))
    )
    extractor = train(configuration, envs, episodes, seed, folder)
    fit, test = (make_scenes(configuration["max_count"], first + seed) for first in (FIT_SEED, TEST_SEED))
    walk_images, actions, walk_counts = random_walks(configuration["max_count"], WALK_SEED + seed)
    of_episodes, of_held_out = _encoded(extractor, episodes), _encoded(extractor, held_out)
    of_fit, of_test, of_walks = (extractor.encode(images) for images in (fit.images, test.images, walk_images))
    result = {"worst_error": pairwise_audit(of_test, test.counts).numbers()["worst_required_error"]}

    # from here on latents are shifted and scaled, so that no measure depends on their size
    latents = _arriving(of_episodes)
    mean, std = latents.mean(axis=0), latents.std(axis=0).mean() + 1e-12
    latents, of_fit, of_test, of_walks = ((part - mean) / std for part in (latents, of_fit, of_test, of_walks))
    of_episodes, of_held_out = (
        [episode._replace(observations=(episode.observations - mean) / std) for episode in part]
        for part in (of_episodes, of_held_out)
    )
    values, held_out_values = (auxiliary_values(extractor, part) for part in (episodes, held_out))
    model = fit_model(TransitionRing.from_episodes(of_episodes, seed), configuration, seed)
    read_counts = read_walks(model, of_walks, actions, of_fit, fit.counts)
    decoder_updates = max(1, round(DECODER_SHARE * configuration["updates"]))
    decoded = reconstruct(train_decoder(latents, _arriving(episodes), decoder_updates, seed), of_test)
    shown = slice(configuration["max_count"] + 1)
    pictures = {
        "latents": of_test,
        "counts": test.counts,
        "images": test.images[shown],
        "reconstructions": decoded[shown],
        "walk_counts": walk_counts,
        "read_counts": read_counts,
    }
    replace_file(folder / "pictures.npz", lambda path: np.savez_compressed(path, **pictures))
    result |= {
        "latent_std": float(std),
        "auxiliary_r2": measures.r2(latents, values, _arriving(of_held_out), held_out_values, seed),
        "relative_dynamics_loss": relative_dynamics_loss(model, of_held_out),
        "rollout": float((read_counts == walk_counts)[:, -1].mean()),
        "shape": measures.probe(of_fit, measures.shape(fit), of_test, measures.shape(test)),
        "position": measures.probe(of_fit, measures.quadrant(fit), of_test, measures.quadrant(test)),
    }
    result |= {f"decoded_{name}": value for name, value in read_images(decoded, test).items()}
    return {**result, "processor_seconds": round(time.process_time() - start, 1)}


def train(
    configuration: dict[str, Any],
    envs: gym.vector.VectorEnv[Any, Any, Any],
    episodes: list[Episode],
    seed: int,
    folder: Path,
) -> JEPAExtractor:
    """Return the encoder, trained as its condition says, on uniform batches and without a clip, as in the paper."""
    condition = CONDITIONS[configuration["condition"]]
    weight = condition.auxiliary_weight
    tasks = {"reward": RewardTask(weight), "random": RandomTask(weight=weight), "count": LabelTask("count", weight)}
    torch.manual_seed(seed)
    extractor = JEPAExtractor(
        policy_space(envs.single_observation_space),
        envs.single_action_space,
        latent_dim=configuration["latent_dim"],
        encoder=condition.encoder or configuration["encoder"],
        auxiliary=(tasks[condition.auxiliary],),
        dynamics_weight=condition.dynamics_weight,
        target=condition.target,
    )
    if condition.dynamics_weight or weight:
        pretrain(
            extractor,
            TransitionRing.from_episodes(episodes, seed),
            configuration["updates"],
            batch_size=BATCH,
            learning_rate=LEARNING_RATES[configuration["encoder"]],
            rewarded_fraction=0.0,
            max_grad_norm=None,
            transition_updates=0,
            checkpoint=folder / "encoder.pt",
        )
    return extractor


def _encoded(extractor: JEPAExtractor, episodes: list[Episode]) -> list[Episode]:
    """Return the episodes with latents for observations."""
    ends = np.cumsum([len(episode.observations) for episode in episodes])[:-1]
    latents = extractor.encode(np.concatenate([episode.observations for episode in episodes]))
    return [episode._replace(observations=z) for episode, z in zip(episodes, np.split(latents, ends), strict=True)]


def _arriving(episodes: list[Episode]) -> NDArray[Any]:
    """Return the observations that the steps arrived at, (N, ...)."""
    return np.concatenate([np.asarray(episode.observations)[1:] for episode in episodes])


def auxiliary_values(extractor: JEPAExtractor, episodes: list[Episode]) -> Floats:
    """Return the auxiliary's value ``p(o)`` of every observation that a step arrived at, (N, k)."""
    (task,) = extractor.jepa.tasks
    if task.label is not None:
        return np.concatenate([episode.labels[task.label][1:, None] for episode in episodes]).astype(np.float32)
    head = extractor.jepa.heads[task.name]
    if isinstance(head, RandomMapHead):
        images = torch.from_numpy(_arriving(episodes))[:, None]
        return torch.cat([head.target(part.float() / 255) for part in images.split(256)])[:, 0].numpy()
    return np.concatenate([episode.rewards[:, None] for episode in episodes])


def fit_model(latents: TransitionRing, configuration: dict[str, Any], seed: int) -> JEPAExtractor:
    """Return a JEPA whose observations are latents, with a new latent transition fitted to ``latents``.

    So the dynamics are measured alike in every condition, whatever the transition was during training.
    """
    width = configuration["latent_dim"]
    torch.manual_seed(seed)
    model = JEPAExtractor(
        spaces.Box(-np.inf, np.inf, (width,)), spaces.Discrete(2), latent_dim=width, encoder="identity", auxiliary=()
    )
    fit_transition(model, latents, max(1, round(TRANSITION_SHARE * configuration["updates"])))
    return model


@torch.no_grad()
def relative_dynamics_loss(model: JEPAExtractor, held_out: list[Episode]) -> float:
    """Return the dynamics loss of one step over the variance of the latents; 1 is no better than their mean."""
    transitions = TransitionRing.from_episodes(held_out, seed=0)
    losses, latents = model.losses(transitions.newest(len(transitions)))
    return float(losses["dynamics"] / latents.encoded.flatten(0, 1).var(dim=0).mean())


@torch.no_grad()
def read_walks(
    model: JEPAExtractor, first: Floats, actions: NDArray[np.int64], latents: Floats, counts: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Roll the latent transition out, without further observations, and read the count off each prediction.

    Args:
        model: the latent transition.
        first: latents of the first images (N, D).
        actions: (N, STEPS).
        latents: of scenes (M, D).
        counts: of the scenes (M,), each from 0 to the largest.

    Returns:
        The counts whose mean latents are nearest to the predictions, (N, STEPS).
    """
    features = torch.nn.functional.one_hot(torch.from_numpy(actions), 2).float()
    predicted = model.jepa.unroll(torch.from_numpy(first), features).numpy()
    means = np.stack([latents[counts == count].mean(axis=0) for count in range(counts.max() + 1)])
    read: NDArray[np.int64] = pairwise_distances_argmin(predicted.reshape(-1, predicted.shape[-1]), means)
    return read.reshape(len(first), STEPS)
