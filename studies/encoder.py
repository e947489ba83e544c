"""How well, and in how long, does each encoder learn to count? Pretraining by its defaults, on held-out images.

One run: 20,000 transitions under random actions, ``pretrain(jepa, transitions)`` without options, and 1,800
held-out images (3,960 of the hard variant). Processor seconds on one thread, everything included but the measurement.
Measures, seeds and thresholds: ``docs/plans/encoder.md``.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import matplotlib
import numpy as np
import torch
from gymnasium import spaces
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.cluster import HDBSCAN
from sklearn.linear_model import Ridge
from torch import nn

import counting_env
from jepa_extractor import JEPA, TransitionRing, pretrain, random_episodes
from jepa_extractor.diagnostics import kmeans_rand_index, nearest_centroid_accuracy
from jepa_extractor.networks.encoders import ChannelNorm, PooledEncoder
from jepa_extractor.train import LabelAccuracy
from studies.facts import Facts
from studies.markdown import markdown_table
from studies.measures import read_walks

gym.register_envs(counting_env)

TRANSITIONS = 20_000
STEPS = 8  # of a rollout
PER_COUNT = {"hard": 60}  # held-out images of each count and half, elsewhere 100
TEST_SEED = 10_000_000  # far above those of training
MANY = 32  # objects on which counting is extrapolated
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "noise": {"background": "noise"},
    "clutter": {"background": "clutter"},
    "drift": {"background": "drift"},
    "object": {"appearance": "object"},
    "size32": {"image_size": 32},
    "size48": {"image_size": 48},
    "size96": {"image_size": 96},
    "hard": {"max_count": 32, "target": 16},
}
ENCODERS = ("pooled", "places", "gated", "nature", "previous", "resnet")


CONFIGURATIONS = {
    f"{encoder}-{variant}": {"encoder": encoder, "variant": variant} for encoder in ENCODERS for variant in VARIANTS
}
DEFAULT = [f"{encoder}-default" for encoder in ENCODERS[:-1]]  # all but resnet
SEEDS = range(400, 403)


class PreviousEncoder(nn.Module):
    """The default encoder until 2026-11, which sees 25 pixels at once: kept to be compared with."""

    def __init__(self, observation_space: spaces.Box, latent_dim: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(observation_space.shape[0], 16, kernel_size=7, stride=3, padding=3),
            ChannelNorm(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, kernel_size=3, stride=2, padding=1),
            ChannelNorm(32),
            nn.ReLU(),
            nn.Conv2d(32, 64, kernel_size=3, padding=1),
            nn.ReLU(),
        )
        self.linear = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, latent_dim))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map images (B, C, H, W) to latents (B, D)."""
        latents: torch.Tensor = self.linear(self.convolutions(images).mean(dim=(2, 3)))
        return latents


# with the settings of its time
PREVIOUS_SETTINGS: dict[str, Any] = {
    "updates": 1_000,
    "batch_size": 128,
    "rewarded_fraction": 0.0,
    "max_grad_norm": None,
}


def run(configuration: dict[str, Any], seed: int, folder: Path) -> dict[str, Any]:  # noqa: ARG001  # a study's signature
    """Train one encoder on one variant and measure it.

    Returns:
        ``accuracy``, ``rand_index``, ``clusters`` (by HDBSCAN), ``rollout`` (right counts after eight steps),
        ``seconds``, and ``curve``: rows of processor seconds and accuracy. On the default variant with ``pooled`` also
        ``extrapolation``: the mean error, in objects, of a linear reading of images with 0 to 32 objects.
    """
    name, variant = configuration["encoder"], configuration["variant"]
    options = VARIANTS[variant]
    start = time.process_time()
    envs = gym.make_vec("CountingEnv-v0", 64, vectorization_mode="vector_entry_point", **_timed(options), **options)
    transitions = TransitionRing.from_episodes(random_episodes(envs, TRANSITIONS, seed), seed)
    torch.manual_seed(seed)
    jepa = JEPA(
        envs.single_observation_space, envs.single_action_space, encoder=PreviousEncoder if name == "previous" else name
    )
    images, counts = scenes(options, 2 * PER_COUNT.get(variant, 100), TEST_SEED + seed)
    read_counts = LabelAccuracy(images, counts)
    curve: list[tuple[float, float]] = []
    measuring = 0.0

    def accuracy(jepa: JEPA) -> float:
        nonlocal measuring
        before = time.process_time()
        value = read_counts(jepa)
        curve.append((round(before - start - measuring, 2), value))
        measuring += time.process_time() - before
        return value

    settings = PREVIOUS_SETTINGS if name == "previous" else {}
    pretrain(jepa, transitions, measure=accuracy, check_every=50, **settings)
    seconds = time.process_time() - start - measuring
    latents = jepa.encode(images)
    fit, held_out, fit_counts, held_out_counts = latents[::2], latents[1::2], counts[::2], counts[1::2]
    smallest = int(np.bincount(held_out_counts).min())
    result = {
        "accuracy": nearest_centroid_accuracy(fit, fit_counts, held_out, held_out_counts),
        "rand_index": kmeans_rand_index(held_out, held_out_counts),
        "clusters": int(HDBSCAN(min_cluster_size=max(5, smallest // 3), copy=True).fit_predict(held_out).max() + 1),
        "rollout": _rollout(jepa, fit, fit_counts, held_out, held_out_counts, seed),
        "seconds": round(seconds, 2),
        "curve": curve,
    }
    if name == "pooled" and variant == "default":
        result["extrapolation"] = _extrapolation(jepa, images, counts, seed)
    return result


def scenes(options: Mapping[str, Any], per_count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return ``per_count`` images (N, 3, H, W) of each count, and their counts (N,), in random order."""
    most = options.get("max_count", 8)
    envs = gym.make_vec("CountingEnv-v0", per_count, vectorization_mode="vector_entry_point", **options)
    parts = [envs.reset(seed=seed + count * per_count, options={"count": count})[0].copy() for count in range(most + 1)]
    order = np.random.default_rng(seed).permutation((most + 1) * per_count)
    return np.moveaxis(np.concatenate(parts), -1, 1)[order], np.repeat(np.arange(most + 1), per_count)[order]


def _timed(options: Mapping[str, Any]) -> dict[str, Any]:
    return {"max_episode_steps": 16} if options.get("max_count", 8) > 8 else {}


def _rollout(
    jepa: JEPA,
    fit: NDArray[np.float32],
    fit_counts: NDArray[np.int64],
    latents: NDArray[np.float32],
    counts: NDArray[np.int64],
    seed: int,
) -> float:
    """Return how often the count is right after eight random actions predicted without looking."""
    actions = np.random.default_rng(seed).integers(2, size=(len(latents), STEPS))
    for action in actions.T:
        counts = np.clip(counts + 2 * action - 1, 0, fit_counts.max())
    return float(np.mean(read_walks(jepa, latents, actions, fit, fit_counts)[:, -1] == counts))


@torch.no_grad()
def _extrapolation(jepa: JEPA, images: NDArray[np.uint8], counts: NDArray[np.int64], seed: int) -> list[float]:
    """Return the mean absolute error, in objects, for 0 to 32 objects, of a linear map fitted on 0 to 8."""
    encoder = jepa.encoder
    assert isinstance(encoder, PooledEncoder)

    def sums(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        parts = [encoder.places(part.float() / 255) for part in torch.from_numpy(pixels).split(256)]
        return torch.cat([part.sum(dim=(1, 2)) for part in parts]).double().numpy()  # they are nearly collinear

    reader = Ridge(alpha=1e-3).fit(sums(images), counts)
    many, true = scenes({"max_count": MANY, "target": 16}, 50, TEST_SEED + seed)
    error = np.abs(reader.predict(sums(many)) - true)
    return [float(error[true == count].mean()) for count in range(MANY + 1)]


def table(facts: Facts) -> str:
    """Return a row for each encoder and variant, with the worst seed of each measure."""
    rows = []
    for name, by_seed in facts["results"].items():
        encoder, variant = name.split("-")
        runs = list(by_seed.values())
        cells = [f"{min(run[key] for run in runs):.4f}" for key in ("accuracy", "rand_index", "rollout")]
        clusters = sorted({run["clusters"] for run in runs})
        classes = 33 if variant == "hard" else 9
        found = f"{', '.join(map(str, clusters))} of {classes}"
        seconds = float(np.median([run["seconds"] for run in runs]))
        rows.append([encoder, variant, str(len(runs)), *cells, found, f"{seconds:.0f}"])
    header = ["encoder", "variant", "seeds", "accuracy, least", "Rand index, least", "8-step rollout, least"]
    return markdown_table([*header, "clusters found", "processor seconds, median"], rows)


def draw(facts: Facts, path: Path) -> None:
    """Write a picture: accuracy over processor seconds on the default variant, and the error beyond eight objects."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    results = facts["results"]
    for number, encoder in enumerate(ENCODERS):
        color = matplotlib.colormaps["tab10"](number)
        for k, run_ in enumerate(results.get(f"{encoder}-default", {}).values()):
            seconds, accuracy = zip(*run_["curve"], strict=True)
            left.plot(seconds, accuracy, color=color, alpha=0.6, linewidth=1, label=None if k else encoder)
    left.set(xlabel="processor seconds", ylabel="held-out accuracy", xscale="log", ylim=(0, 1.02))
    left.legend(fontsize="small")
    for run_ in results.get("pooled-default", {}).values():
        right.plot(range(MANY + 1), run_["extrapolation"], color="C0", alpha=0.6, linewidth=1)
    right.axvline(8, color="grey", linestyle=":", linewidth=1)
    right.set(xlabel="objects (trained on 0 to 8)", ylabel="mean error of a linear reading, objects")
    figure.savefig(path, dpi=110)
