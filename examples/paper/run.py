"""One run of the study: train one encoder under one condition from one seed, and measure it."""

from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances_argmin

import counting_env  # noqa: F401  # registers CountingEnv-v0
from jepa_extractor import Episode, JEPAExtractor, LabelTask, TransitionRing, policy_space, pretrain, random_episodes
from jepa_extractor.checkpoint import replace_file
from jepa_extractor.diagnostics import effective_rank, kmeans_rand_index, latent_std, nearest_centroid_accuracy
from jepa_extractor.tasks import AuxiliaryTask, make_tasks
from paper import measures
from paper.conditions import CONDITIONS
from paper.decoder import read_images, reconstruct, train_decoder
from paper.scenes import STEPS, Scenes, make_scenes, random_walks

TRANSITIONS = 20_000  # from which the encoder learns
HELD_OUT = 2_000  # transitions on which the losses are measured
HEAD_UPDATES = 3  # updates of the heads on the finished encoder, for each update of the encoder
HEAD_BATCH, HEAD_HORIZON = 256, 2
DECODER_SHARE = 0.4  # updates of the decoder, for each update of the encoder
DISCOUNT = 0.9  # of the Q task
# the same sampling in every condition, no clip, and no fit of the transition: fit_heads does that for all
UNIFORM = {"rewarded_fraction": 0.0, "max_grad_norm": None, "transition_updates": 0}
FIT_SEED, TEST_SEED, WALK_SEED = 2_000_000, 3_000_000, 4_000_000  # far above those of training


def run(configuration: dict[str, Any], seed: int, folder: Path) -> dict[str, float]:
    """Train and measure; a pure function of ``configuration`` and ``seed`` that goes on where ``folder`` stopped.

    Args:
        configuration: ``condition``, ``encoder``, ``updates``, ``target``, ``max_count``, ``latent_dim``.
        seed: seed of data, networks and batches.
        folder: where checkpoints and ``pictures.npz`` go.
    """
    extractor, seen = train(configuration, seed, folder)
    fit, test = (make_scenes(configuration["max_count"], offset + seed) for offset in (FIT_SEED, TEST_SEED))
    latents, held_out = extractor.encode(fit.images), extractor.encode(test.images)
    result = {**_losses(configuration, extractor, seed), **_geometry(latents, fit, held_out, test)}
    result |= _probes(latents, fit, held_out, test)
    decoder_updates = max(1, round(DECODER_SHARE * configuration["updates"]))
    frames, frame_latents = (
        np.concatenate([episode.observations for episode in seen.pixels]),
        np.concatenate(seen.latents),
    )
    decoder = train_decoder(frame_latents, frames, decoder_updates, seed)
    images = reconstruct(decoder, held_out)
    result["reconstruction_error"] = float(np.mean((images / 255 - test.images / 255) ** 2))
    result |= {f"reconstructed_{name}": value for name, value in read_images(images, test).items()}
    walk_counts, read_counts = _walk(extractor, latents, fit.counts, configuration["max_count"], seed)
    result |= {f"rollout_{k + 1}": float((read_counts == walk_counts)[:, k].mean()) for k in range(STEPS)}
    shown = slice(len(np.unique(test.counts)))
    pictures = {
        "latents": held_out,
        "counts": test.counts,
        "images": test.images[shown],
        "reconstructions": images[shown],
        "walk_counts": walk_counts,
        "read_counts": read_counts,
    }
    replace_file(folder / "pictures.npz", lambda path: np.savez_compressed(path, **pictures))
    return result


class Seen(NamedTuple):
    """What an encoder was trained on, and its latents."""

    pixels: list[Episode]
    latents: list[NDArray[np.float32]]  # of each episode, (T + 1, D)


def train(configuration: dict[str, Any], seed: int, folder: Path) -> tuple[JEPAExtractor, Seen]:
    """Train the encoder stage by stage, then its heads."""
    condition = CONDITIONS[configuration["condition"]]
    envs = _environments(configuration)
    episodes = list(random_episodes(envs, TRANSITIONS, seed, labels=("count",)))
    transitions = TransitionRing.from_episodes(episodes, seed)
    torch.manual_seed(seed)
    extractor = JEPAExtractor(
        policy_space(envs.single_observation_space),
        envs.single_action_space,
        latent_dim=configuration["latent_dim"],
        encoder=configuration["encoder"],
        auxiliary=(make_task(condition.auxiliary),),
        target=condition.target,
    )
    for number, stage in enumerate(condition.stages):
        extractor.jepa.dynamics_weight = stage.dynamics_weight
        extractor.jepa.tasks[0].weight = stage.auxiliary_weight
        pretrain(
            extractor,
            transitions,
            max(1, round(stage.share * configuration["updates"])),
            batch_size=128,
            discount=DISCOUNT,
            checkpoint=folder / f"stage{number}.pt",
            **UNIFORM,
        )
    ends = np.cumsum([len(episode.observations) for episode in episodes])[:-1]
    parts = [episodes[start : start + 500] for start in range(0, len(episodes), 500)]
    encoded = [extractor.encode(np.concatenate([episode.observations for episode in part])) for part in parts]
    seen = Seen(episodes, np.split(np.concatenate(encoded), ends))
    fit_heads(extractor, condition.auxiliary, seen, configuration, seed, folder)
    return extractor, seen


def make_task(name: str) -> AuxiliaryTask:
    """Return the auxiliary task ``name``; ``"label"`` is that of the count."""
    return LabelTask("count") if name == "label" else make_tasks((name,))[0]


def fit_heads(
    extractor: JEPAExtractor,
    auxiliary: str,
    seen: Seen,
    configuration: dict[str, Any],
    seed: int,
    folder: Path,
) -> None:
    """Train the latent transition and the head on the latents of the encoder, which stays as it is.

    So each condition is measured with a fully trained transition and head, even if its training used only one of them.
    (The random map is one of pixels: its head has been trained already.)
    """
    task = make_task(auxiliary)
    task.weight = 1.0
    episodes = [episode._replace(observations=z) for episode, z in zip(*seen, strict=True)]
    heads = JEPAExtractor(
        spaces.Box(-np.inf, np.inf, seen.latents[0].shape[1:]),
        extractor.action_space,
        latent_dim=configuration["latent_dim"],
        encoder="identity",
        auxiliary=() if auxiliary == "random" else (task,),
        dynamics_weight=1.0,
        horizon=HEAD_HORIZON,
    )
    heads.jepa.transition = extractor.jepa.transition
    if auxiliary != "random":
        heads.jepa.heads = extractor.jepa.heads
    updates = HEAD_UPDATES * configuration["updates"]
    pretrain(
        heads,
        TransitionRing.from_episodes(episodes, seed),
        updates,
        batch_size=HEAD_BATCH,
        discount=DISCOUNT,
        checkpoint=folder / "heads.pt",
        **UNIFORM,
    )


def _environments(configuration: dict[str, Any]) -> gym.vector.VectorEnv[Any, Any, Any]:
    target, max_count = configuration["target"], configuration["max_count"]
    if CONDITIONS[configuration["condition"]].other_reward:
        target = (target + 2) % (max_count + 1)
    return gym.make_vec(
        "CountingEnv-v0", 64, vectorization_mode="vector_entry_point", target=target, max_count=max_count
    )


def _losses(configuration: dict[str, Any], extractor: JEPAExtractor, seed: int) -> dict[str, float]:
    """Return both losses on held-out transitions, the dynamics loss also over the variance of the latents."""
    episodes = random_episodes(_environments(configuration), HELD_OUT, TEST_SEED + seed, labels=("count",))
    held_out = TransitionRing.from_episodes(episodes, seed=0)
    with torch.no_grad():
        losses, latents = extractor.losses(held_out.newest(HELD_OUT).replace(discount=DISCOUNT))
    dynamics = losses.pop("dynamics").item()
    (auxiliary,) = losses.values()
    variance = latents.encoded.flatten(0, 1).var(dim=0).mean().item()
    return {
        "dynamics_loss": dynamics,
        "relative_dynamics_loss": dynamics / (variance + 1e-12),
        "auxiliary_loss": auxiliary.item(),
    }


def _geometry(
    latents: NDArray[np.float32], fit: Scenes, held_out: NDArray[np.float32], test: Scenes
) -> dict[str, float]:
    return {
        "nearest_centroid_accuracy": nearest_centroid_accuracy(latents, fit.counts, held_out, test.counts),
        "adjusted_rand_index": kmeans_rand_index(held_out, test.counts),
        "clusters_found": measures.clusters_found(held_out, test.counts),
        "silhouette": measures.silhouette(held_out, test.counts),
        "spread_ratio": measures.spread_ratio(held_out, test.counts),
        "effective_rank": effective_rank(held_out),
        "latent_std": latent_std(held_out),
    }


def _probes(latents: NDArray[np.float32], fit: Scenes, held_out: NDArray[np.float32], test: Scenes) -> dict[str, float]:
    """Return each probe's accuracy on held-out scenes, and over that of guessing."""
    result = {}
    for name, read in {
        "count": lambda scenes: scenes.counts,
        "shape": lambda scenes: np.where(scenes.counts > 0, scenes.shapes, -1),
        "color": lambda scenes: np.where(scenes.counts > 0, measures.brightest_channel(scenes), -1),
        "position": measures.quadrant,
    }.items():
        labels, held_out_labels = read(fit), read(test)
        shown, held_out_shown = labels >= 0, held_out_labels >= 0  # an empty image has neither shape nor place
        accuracy, chance = measures.probe(
            latents[shown], labels[shown], held_out[held_out_shown], held_out_labels[held_out_shown]
        )
        result |= {f"probe_{name}": accuracy, f"probe_{name}_over_chance": accuracy / chance}
    return result


@torch.no_grad()
def _walk(
    extractor: JEPAExtractor, latents: NDArray[np.float32], counts: NDArray[np.int64], max_count: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Roll the latent transition out from one image each, without further observations.

    Returns:
        True counts (N, STEPS), and the counts (N, STEPS) whose class mean is nearest to the predicted latent.
    """
    images, actions, true_counts = random_walks(max_count, WALK_SEED + seed)
    features = torch.nn.functional.one_hot(torch.from_numpy(actions), 2).float()
    predicted = extractor.jepa.unroll(torch.from_numpy(extractor.encode(images)), features).numpy()
    means = np.stack([latents[counts == count].mean(axis=0) for count in range(max_count + 1)])
    read = pairwise_distances_argmin(predicted.reshape(-1, predicted.shape[-1]), means)
    return true_counts, read.reshape(true_counts.shape)
