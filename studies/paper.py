"""Which of the paper's claims about its four conditions hold here, for an encoder that counts by itself?

The paper is "Why and How Auxiliary Tasks Improve JEPA Representations" (arXiv 2509.12249). All this was committed
before the seeds 700 to 709 were run.

Design: ``CountingEnv-v0``; the encoder ``pooled``; random actions, 5,000 transitions; 300 updates with batches of 64,
drawn uniformly, the same in each condition; no clip, no normalisation of the latents, no stopped gradient. The settings
were chosen on the seeds 0 to 4. Seeds: 700 to 709.

Measures, all on held-out images, of a transition, a perceptron and probes fitted alike to each finished encoder:

- worst error of a required pair (``compare_classes``): every two counts must be told apart. 0.5: they are one.
- R² of the auxiliary: of the random map in the condition of that name, of the reward in the others.
- dynamics loss of one step over the variance of the latents.
- the share of walks whose count is right after eight predicted steps.
- accuracy of linear probes of the shape, and of the quadrant in which the mean centre lies, over the mean accuracy of
  the untrained encoders of the same seeds.

Intervals: Student's t over seeds, 95%; differences between ``joint`` and each other condition are paired by seed.

Claims, and what must be seen for each to hold:

1. Dynamics alone collapse: the worst error is at least 0.4 with every seed.
2. With the reward, all nine counts are kept: the worst error is at most 0.01 with every seed.
3. With the reward, shape and position are lost: the interval of each relative probe lies below 1, and the decoder
   paints fewer than 5% of the objects in their places, and at least 50% from a latent that holds them (the control).
4. With a random target, position is kept: the interval of the relative probe lies above that of ``joint``. The row
   says something about the theorem only if R² is at least 0.9.
5. The reward alone merges counts that both losses together keep apart: the interval of the difference in the worst
   error lies below 0.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import nn

import counting_env
from jepa_extractor import (
    JEPA,
    Episode,
    LabelTask,
    RewardTask,
    TransitionRing,
    fit_transition,
    pretrain,
    random_episodes,
)
from jepa_extractor.checkpoint import replace_file
from jepa_extractor.networks import make_head
from jepa_extractor.networks.encoders import MakeEncoder
from jepa_extractor.networks.heads import RandomMapHead
from jepa_extractor.objectives import RandomTask
from jepa_extractor.objectives.targets import TargetName
from studies import measures
from studies.facts import Facts
from studies.markdown import interval_text, markdown_table
from studies.pictures import draw_distances, draw_pca
from studies.scenes import make_scenes, quadrant, random_walks, read_images, reconstruct, shape, train_decoder
from studies.statistics import Interval, student

gym.register_envs(counting_env)

SEEDS = range(700, 710)
TRANSITIONS = 5_000  # from which the encoder learns
HELD_OUT = 1_000  # transitions on which the losses are measured
BATCH = 64
LEARNING_RATES = {"pooled": 4e-3, "places": 4e-3, "nature": 1e-3, "resnet": 3e-4}
TRANSITION_SHARE = 1.0  # updates of the latent transition on the finished encoder, for each update of the encoder
DECODER_SHARE = 0.8
PERCEPTRON_UPDATES, PERCEPTRON_BATCH, PERCEPTRON_RATE = 500, 256, 4e-3
FIT_SEED, TEST_SEED, WALK_SEED = 2_000_000, 3_000_000, 4_000_000  # far above those of training


Floats = NDArray[np.float32]


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
SHARED = {"encoder": "pooled", "updates": 300, "target": 4, "max_count": 8, "latent_dim": 64}
CONFIGURATIONS: dict[str, dict[str, Any]] = {name: {"condition": name, **SHARED} for name in CONDITIONS}
DEFAULT = tuple(PAPER)


def check(configuration: dict[str, Any]) -> None:
    """Raise ``ValueError`` for what cannot be run."""
    encoder, target, most = (configuration[name] for name in ("encoder", "target", "max_count"))
    if encoder not in LEARNING_RATES:
        raise ValueError(f"encoder={encoder!r} has no learning rate here: give one of {', '.join(LEARNING_RATES)}")
    for name in ("updates", "latent_dim"):
        if configuration[name] < 1:
            raise ValueError(f"{name}={configuration[name]} is too small: give at least 1")
    if not 0 <= target <= most:
        raise ValueError(f"target={target} cannot be reached: give one in 0..{most}")


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
    jepa = train(configuration, envs, episodes, seed, folder)
    fit, test = (make_scenes(configuration["max_count"], first + seed) for first in (FIT_SEED, TEST_SEED))
    walk_images, actions, walk_counts = random_walks(configuration["max_count"], WALK_SEED + seed)
    of_episodes, of_held_out = _encoded(jepa, episodes), _encoded(jepa, held_out)
    of_fit, of_test, of_walks = (jepa.encode(images) for images in (fit.images, test.images, walk_images))
    result = {"worst_error": measures.pairwise(of_test, test.counts)["worst_required_error"]}

    # from here on latents are shifted and scaled, so that no measure depends on their size
    latents = _arriving(of_episodes)
    mean, std = latents.mean(axis=0), latents.std(axis=0).mean() + 1e-12
    latents, of_fit, of_test, of_walks = ((part - mean) / std for part in (latents, of_fit, of_test, of_walks))
    of_episodes, of_held_out = (
        [episode._replace(observations=(episode.observations - mean) / std) for episode in part]
        for part in (of_episodes, of_held_out)
    )
    values, held_out_values = (auxiliary_values(jepa, part) for part in (episodes, held_out))
    model = fit_model(TransitionRing.from_episodes(of_episodes, seed), configuration, seed)
    read_counts = measures.read_walks(model, of_walks, actions, of_fit, fit.counts)
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
        "auxiliary_r2": r2(latents, values, _arriving(of_held_out), held_out_values, seed),
        "relative_dynamics_loss": 1 - measures.dynamics_r2(model, of_held_out),
        "rollout": float((read_counts == walk_counts)[:, -1].mean()),
        "shape": measures.probe(of_fit, shape(fit), of_test, shape(test)),
        "position": measures.probe(of_fit, quadrant(fit), of_test, quadrant(test)),
    }
    result |= {f"decoded_{name}": value for name, value in read_images(decoded, test).items()}
    return {**result, "processor_seconds": round(time.process_time() - start, 1)}


def train(
    configuration: dict[str, Any],
    envs: gym.vector.VectorEnv[Any, Any, Any],
    episodes: list[Episode],
    seed: int,
    folder: Path,
) -> JEPA:
    """Return the encoder, trained as its condition says, on uniform batches and without a clip, as in the paper."""
    condition = CONDITIONS[configuration["condition"]]
    weight = condition.auxiliary_weight
    tasks = {"reward": RewardTask(weight), "random": RandomTask(weight=weight), "count": LabelTask("count", weight)}
    torch.manual_seed(seed)
    jepa = JEPA(
        envs.single_observation_space,
        envs.single_action_space,
        latent_dim=configuration["latent_dim"],
        encoder=condition.encoder or configuration["encoder"],
        auxiliary=(tasks[condition.auxiliary],),
        dynamics_weight=condition.dynamics_weight,
        target=condition.target,
    )
    if condition.dynamics_weight or weight:
        pretrain(
            jepa,
            TransitionRing.from_episodes(episodes, seed),
            configuration["updates"],
            batch_size=BATCH,
            learning_rate=LEARNING_RATES[configuration["encoder"]],
            rewarded_fraction=0.0,
            max_grad_norm=None,
            transition_updates=0,
            checkpoint=folder / "encoder.pt",
        )
    return jepa


def _encoded(jepa: JEPA, episodes: list[Episode]) -> list[Episode]:
    """Return the episodes with latents for observations."""
    ends = np.cumsum([len(episode.observations) for episode in episodes])[:-1]
    latents = jepa.encode(np.concatenate([episode.observations for episode in episodes]))
    return [episode._replace(observations=z) for episode, z in zip(episodes, np.split(latents, ends), strict=True)]


def _arriving(episodes: list[Episode]) -> NDArray[Any]:
    """Return the observations that the steps arrived at, (N, ...)."""
    return np.concatenate([np.asarray(episode.observations)[1:] for episode in episodes])


def auxiliary_values(jepa: JEPA, episodes: list[Episode]) -> Floats:
    """Return the auxiliary's value ``p(o)`` of every observation that a step arrived at, (N, k)."""
    (task,) = jepa.tasks
    if task.label is not None:
        return np.concatenate([episode.labels[task.label][1:, None] for episode in episodes]).astype(np.float32)
    head = jepa.heads[task.name]
    if isinstance(head, RandomMapHead):
        images = torch.from_numpy(_arriving(episodes))[:, None]
        return torch.cat([head.target(part.float() / 255) for part in images.split(256)])[:, 0].numpy()
    return np.concatenate([episode.rewards[:, None] for episode in episodes])


def fit_model(latents: TransitionRing, configuration: dict[str, Any], seed: int) -> JEPA:
    """Return a JEPA whose observations are latents, with a new latent transition fitted to ``latents``.

    So the dynamics are measured alike in every condition, whatever the transition was during training.
    """
    width = configuration["latent_dim"]
    torch.manual_seed(seed)
    model = JEPA(
        spaces.Box(-np.inf, np.inf, (width,)), spaces.Discrete(2), latent_dim=width, encoder="identity", auxiliary=()
    )
    fit_transition(model, latents, max(1, round(TRANSITION_SHARE * configuration["updates"])))
    return model


def r2(latents: Floats, values: Floats, held_out: Floats, held_out_values: Floats, seed: int) -> float:
    """Return the share of the variance of ``held_out_values`` (M, k) that a perceptron reads off ``held_out``.

    Args:
        latents: of about unit variance.
        values: what to read off them, (N, k).
        held_out: latents.
        held_out_values: what should be read off them.
        seed: seed of the perceptron and its batches.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    mean, scale = values.mean(axis=0), values.std(axis=0).mean()
    inputs, targets = torch.from_numpy(latents), torch.from_numpy((values - mean) / scale)

    def draw() -> tuple[torch.Tensor, torch.Tensor]:
        rows = rng.integers(len(inputs), size=PERCEPTRON_BATCH)
        return inputs[rows], targets[rows]

    head = measures.fit(make_head(latents.shape[1], values.shape[1]), draw, PERCEPTRON_UPDATES, PERCEPTRON_RATE)
    with torch.no_grad():
        read = mean + scale * head(torch.from_numpy(held_out)).numpy()
    return float(1 - np.mean((read - held_out_values) ** 2) / held_out_values.var(axis=0).mean())


# measure: (what the table calls it, decimals)
MEASURES = {
    "worst_error": ("worst error of a required pair", 3),
    "auxiliary_r2": ("R² of the auxiliary", 3),
    "relative_dynamics_loss": ("dynamics loss / variance", 3),
    "rollout": ("eight-step rollout, right count", 3),
    "shape": ("probe of shape / untrained", 2),
    "position": ("probe of position / untrained", 2),
}
ALSO = {
    "latent_std": ("standard deviation of the latents", 4),
    "decoded_place": ("objects painted in their places", 3),
    "decoded_distance": ("brightest point to a single object, pixels", 1),
}
RELATIVE = ("shape", "position")  # to the untrained encoder, where it was run
Measure = Callable[[Facts, str, str], Interval]


def mean(facts: Facts, condition: str, measure: str) -> Interval:
    """Return the mean of a measure over seeds."""
    return student(_values(facts, condition, measure))


def difference(facts: Facts, condition: str, measure: str) -> Interval:
    """Return ``joint`` minus the condition, which has the same seeds, paired by seed."""
    return student(_values(facts, "joint", measure) - _values(facts, condition, measure))


def of_measures(
    facts: Facts, interval: Measure = mean, measures: Mapping[str, tuple[str, int]] = MEASURES, corner: str = ""
) -> str:
    """Return a row for each condition with an interval of each measure; for differences, those with joint's seeds."""
    results = facts["results"]
    joint = results.get("joint", {}).keys()
    shown = [name for name in results if interval is mean or (name != "joint" and results[name].keys() == joint)]
    rows = [[CONDITIONS[name].title, *(cell(facts, name, measure, interval) for measure in measures)] for name in shown]
    return markdown_table([corner, *(title for title, _ in measures.values())], rows)


def cell(facts: Facts, condition: str, measure: str, interval: Measure) -> str:
    """Return an interval as a table shows it."""
    return interval_text(interval(facts, condition, measure), f".{(MEASURES | ALSO)[measure][1]}f")


def extremes(facts: Facts, condition: str, measure: str) -> str:
    """Return the least and the largest of the seeds, as measured."""
    of_seeds, decimals = [run[measure] for run in facts["results"][condition].values()], (MEASURES | ALSO)[measure][1]
    return f"{min(of_seeds):.{decimals}f} to {max(of_seeds):.{decimals}f}"


def _values(facts: Facts, condition: str, measure: str) -> NDArray[np.float64]:
    """Return the values of the seeds, (n,)."""
    results = facts["results"]
    values = np.array([result[measure] for result in results[condition].values()])
    if measure in RELATIVE and "untrained" in results:
        values = values / np.mean([result[measure] for result in results["untrained"].values()])
    return values


def _minutes(facts: Facts) -> str:
    seconds = sum(run["processor_seconds"] for by_seed in facts["results"].values() for run in by_seed.values())
    return f"{seconds / 60:.0f}"


KINDS: dict[str, Callable[..., str]] = {
    "mean": partial(cell, interval=mean),
    "difference": partial(cell, interval=difference),
    "range": extremes,
}
TABLES: dict[str, Callable[[Facts], str]] = {
    "table measures": of_measures,
    "table also": partial(of_measures, measures=ALSO),
    "table differences": partial(of_measures, interval=difference, corner="joint minus"),
}
SHOWN: dict[str, Callable[[Facts], str]] = {
    **TABLES,
    "seeds": lambda facts: str(len(facts["results"]["joint"])),
    "minutes": _minutes,  # of one processor, all runs
    **{
        f"{kind} {condition} {measure}": partial(show, condition=condition, measure=measure)
        for kind, show in KINDS.items()
        for condition in CONDITIONS
        for measure in MEASURES | ALSO
    },
}


def table(facts: Facts) -> str:
    """Return the tables of the measures, of what else was measured, and of differences."""
    return "\n\n".join(show(facts) for show in TABLES.values())


WALKS = 6  # rollouts shown
BRIGHTER = 4  # reconstructions that are unsure are dark


def draw(facts: Facts, path: Path) -> None:
    """Draw a row for each condition, as in the paper, from the ``pictures.npz`` beside ``path`` of its first seed."""
    results = facts["results"]
    figure = Figure(figsize=(19, 3.9 * len(results)), layout="constrained")
    rows = figure.subplots(len(results), 4, squeeze=False, width_ratios=(1, 1.1, 1.9, 1))
    for axes, (condition, by_seed) in zip(rows, results.items(), strict=True):
        with np.load(path.parent / condition / f"seed{next(iter(by_seed))}" / "pictures.npz") as pictures:
            draw_pca(axes[0], pictures["latents"], pictures["counts"], "count")
            draw_distances(axes[1], pictures["latents"], pictures["counts"], "count")
            _draw_reconstructions(axes[2], pictures["images"], pictures["reconstructions"])
            _draw_rollouts(axes[3], pictures["walk_counts"], pictures["read_counts"])
        axes[0].set_title(CONDITIONS[condition].title, fontweight="bold")
    figure.savefig(path, dpi=80)


def _draw_reconstructions(axes: Axes, images: NDArray[np.uint8], reconstructions: NDArray[np.uint8]) -> None:
    """Draw images (n, 3, H, W) above what the decoder made of their latents."""
    both = [
        np.concatenate(list(np.pad(row, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=128)), axis=-1)
        for row in (images, np.minimum(reconstructions, 255 // BRIGHTER) * BRIGHTER)
    ]
    axes.imshow(np.moveaxis(np.concatenate(both, axis=1), 0, -1), interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(f"Images, and what a decoder makes of their latents ({BRIGHTER} times as bright)")


def _draw_rollouts(axes: Axes, true_counts: NDArray[np.int64], read_counts: NDArray[np.int64]) -> None:
    """Draw the counts along the first walks, (N, steps), and those read off the predicted latents."""
    steps = np.arange(1, true_counts.shape[1] + 1)
    for true, read in zip(true_counts[:WALKS], read_counts[:WALKS], strict=True):
        axes.plot(steps, true, color="0.8", zorder=1)
        wrong = true != read
        axes.scatter(steps[~wrong], read[~wrong], color="tab:blue", s=14, zorder=2)
        axes.scatter(steps[wrong], read[wrong], color="tab:red", marker="x", s=22, zorder=3)
    accuracy = float((true_counts == read_counts)[:, -1].mean())
    axes.set(
        xlabel="actions since the image",
        ylabel="count (red: wrong)",
        title=f"Latent rollouts: {accuracy:.1%} at the end",
    )
