"""Is the label-free audit right, does it agree with the audit by classes, and how long does it take?

Design. Trials: latents made from the true counts, so that what has collapsed is known. Of each encoder and trial, the
pairs of counts that the hits join are compared with those that were merged. Nothing else may be hit, and every merged
pair of which data tells at least 1% apart must be. Ranking: encoders of two kinds, trained in three ways, audited every
25 updates by episodes alone and by the counts.

Measures. How many trials were right; the rank correlation of the audits; processor seconds on one torch thread.

Thresholds. At least 95 of 100 trials are right for each kind of encoder.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from stable_baselines3 import PPO

import counting_env
from jepa_extractor import JEPA, Episode, TransitionRing, pretrain, random_episodes
from jepa_extractor.audit import AuditSet, audit
from jepa_extractor.audit.neighbours import neighbours
from jepa_extractor.audit.report import audit_latents
from jepa_extractor.diagnostics import nearest_centroid_accuracy
from jepa_extractor.networks.encoders import EncoderName
from studies.facts import Facts, of_one_run
from studies.markdown import markdown_table

ACTIONS = ("remove", "add")
SEEN = 0.01  # share of the pairs of two merged counts that data must tell apart
TRIAL_OBSERVATIONS = 2_000
KINDS = ("identity", "random features", "two merged", "three merged", "two and two merged", "constant", "pure noise")
FAITHFUL = KINDS[:2]
ARMS: Mapping[str, Mapping[str, Any]] = {
    "joint": {},
    "reward alone": {"dynamics_weight": 0.0},
    "dynamics alone": {"auxiliary": ()},
}
ENCODERS: tuple[EncoderName, ...] = ("nature", "pooled")
UPDATES = 25  # of a training between two audits
# seeded trials; observations of the timing; audits of each training
CONFIGURATIONS = {"all": {"trials": 100, "observations": 20_000, "checks": 8}}
SEEDS = (1_000,)  # of the trainings
TIMED = True
gathered = of_one_run
Pairs = frozenset[tuple[int, int]]


def counting_episodes(observations: int, seed: int, **options: Any) -> list[Episode]:
    """Return labelled episodes of random actions that hold so many observations, or a few more."""
    envs = gym.make_vec("CountingEnv-v0", 64, vectorization_mode="vector_entry_point", **options)
    return list(random_episodes(envs, observations, seed, ("count",)))


class Made(NamedTuple):
    """Latents made from counts, and the pairs of counts that were merged in them."""

    latents: NDArray[np.float32]
    merged: Pairs


def made_latents(kind: str, counts: NDArray[np.int64], rng: np.random.Generator) -> Made:
    """Return latents of observations whose counts are given, (N,), by an encoder of this kind."""
    place = np.arange(9)
    for at in {"two merged": [2], "three merged": [3], "two and two merged": [2, 2]}.get(kind, []):
        left = np.flatnonzero(np.bincount(place, minlength=9)[place] == 1)  # not merged yet
        chosen = rng.choice(left, at, replace=False)
        place[chosen] = chosen[0]
    if kind in ("constant", "pure noise"):
        place[:] = 0
    merged = frozenset((i, j) for i in range(9) for j in range(i + 1, 9) if place[i] == place[j])
    if kind == "identity":
        return Made(counts[:, None].astype(np.float32), merged)
    if kind == "constant":
        return Made(np.ones((len(counts), 4), np.float32), merged)
    points = rng.normal(size=(9, 16))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    noise = rng.normal(scale=0.05, size=(len(counts), 16))
    return Made((points[place[counts]] + noise).astype(np.float32), merged)


def trial(seed: int) -> dict[str, dict[str, Any]]:
    """Return for each kind of encoder whether the audit was right, and what it found."""
    rng = np.random.default_rng(seed)
    options = {"max_episode_steps": 16, "terminate_on_target": False} if seed % 2 else {}
    audit_set = AuditSet.from_episodes(counting_episodes(TRIAL_OBSERVATIONS, seed, **options), ACTIONS)
    counts = audit_set.labels["count"].astype(np.int64)
    seen = shares_told_apart(audit_set, counts)
    outcome = {}
    for kind in KINDS:
        made = made_latents(kind, counts, rng)
        report = audit_latents(made.latents, audit_set, kind, seed)
        near = neighbours(made.latents, np.random.default_rng(seed))
        apart = audit_set.apart(near.left, near.right)
        assert np.array_equal(np.unique(near.left[apart]), np.flatnonzero(np.nan_to_num(report.hits) > 0))
        ends = np.sort(counts[np.stack([near.left[apart], near.right[apart]], axis=1)], axis=1)
        hit = frozenset((int(i), int(j)) for i, j in np.unique(ends, axis=0))
        due = frozenset(pair for pair in made.merged if seen[pair] >= SEEN)
        outcome[kind] = {
            "right": due <= hit <= made.merged and bool(report.collapse_index > 0) == bool(hit),
            "collapse_index": report.collapse_index,
            "unseen": len(made.merged - due),
        }
    return outcome


def shares_told_apart(audit_set: AuditSet, counts: NDArray[np.int64], pairs: int = 2_000) -> NDArray[np.float64]:
    """Return which share of the pairs of two counts data tells apart, (9, 9), estimated from so many pairs of each."""
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(counts == count) for count in range(9)]
    shares = np.zeros((9, 9))
    for i in range(9):
        for j in range(9):
            shares[i, j] = audit_set.apart(rng.choice(members[i], pairs), rng.choice(members[j], pairs)).mean()
    return shares


def checkpoints(checks: int, seed: int) -> list[dict[str, Any]]:
    """Return the audits of every checkpoint of every training: by episodes alone, and by counts."""
    training = counting_episodes(20_000, seed)
    held_out = counting_episodes(4_000, seed + 1)
    by_data = AuditSet.from_episodes(held_out, ACTIONS)
    by_count = AuditSet.from_classes(held_out, "count", counting_env.count_mdp(), ACTIONS)
    envs = gym.make_vec("CountingEnv-v0", 1, vectorization_mode="vector_entry_point")
    counts = np.concatenate([episode.labels["count"] for episode in held_out])
    rows: list[dict[str, Any]] = []

    def measure(jepa: JEPA, encoder: str, arm: str, record: Mapping[str, float]) -> None:
        report, classes = (audit(jepa, data, controls=False) for data in (by_data, by_count))
        assert classes.classes is not None
        upper, seen = np.triu_indices(9, k=1), classes.latents
        rows.append(
            {
                "encoder": encoder,
                "arm": arm,
                "update": record["update"],
                "by_episodes": report.collapse_index,
                "by_classes": classes.collapse_index,
                "mean_error": float(classes.classes.errors[upper].mean()),
                "centroid_error": 1 - nearest_centroid_accuracy(seen[::2], counts[::2], seen[1::2], counts[1::2]),
            }
        )

    for encoder in ENCODERS:
        for arm, options in ARMS.items():
            torch.manual_seed(seed)
            space = envs.single_observation_space
            jepa = JEPA(space, envs.single_action_space, encoder=encoder, **options)
            if arm == "joint":
                measure(jepa, encoder, "untrained", {"update": 0})
            transitions = TransitionRing.from_episodes(training, seed)
            pretrain(
                jepa,
                transitions,
                updates=checks * UPDATES,
                check_every=UPDATES,
                transition_updates=0,
                on_check=partial(measure, jepa, encoder, arm),
            )
    return rows


def million() -> float:
    """Return the processor seconds of the required pairs of a million observations, in episodes of nine steps."""
    rng = np.random.default_rng(0)

    def episode() -> Episode:
        rewards = (rng.random(9) < 0.1).astype(np.float32)
        return Episode(np.zeros((10, 1), np.uint8), rng.integers(2, size=9), rewards, terminated=True)

    episodes = [episode() for _ in range(100_000)]
    return seconds(lambda: AuditSet.from_episodes(episodes, ACTIONS))


def whole(observations: int) -> dict[str, float]:
    """Return the processor seconds of an audit of Stable-Baselines3's NatureCNN, by episodes alone and by classes."""
    model = PPO("CnnPolicy", gym.make("CountingEnv-v0"), seed=0, device="cpu")
    envs = gym.make_vec("CountingEnv-v0", 64, vectorization_mode="vector_entry_point")
    labelled = list(random_episodes(envs, observations, 0, ("state",)))
    episodes: list[Episode] = []
    total = 0
    while total < observations:
        episodes.append(labelled[len(episodes)])
        total += len(episodes[-1].rewards) + 1

    def by_episodes() -> None:
        audit(model, AuditSet.from_episodes(episodes, ACTIONS))

    def by_classes() -> None:
        audit(model, AuditSet.from_classes(episodes, "state", counting_env.count_mdp(), ACTIONS))

    return {"episodes": seconds(by_episodes), "classes": seconds(by_classes)}


def seconds(function: Callable[[], Any]) -> float:
    """Return how many seconds of one processor core ``function`` takes: other work on the machine does not count."""
    start = time.process_time()
    function()
    return time.process_time() - start


def run(configuration: dict[str, Any], seed: int, folder: Path) -> dict[str, Any]:  # noqa: ARG001  # a study's signature
    """Measure everything."""
    observations = configuration["observations"]
    return {
        "observations": observations,
        "trials": [trial(number) for number in range(configuration["trials"])],
        "seconds": {"million": million(), **whole(observations)},
        "checkpoints": checkpoints(configuration["checks"], seed),
    }


def table(facts: Facts) -> str:
    """Return the trials, the rank correlations, and the times."""
    trials: Sequence[Mapping[str, Any]] = facts["trials"]
    rows = []
    for kind in KINDS:
        of_kind = [outcome[kind] for outcome in trials]
        indices = [outcome["collapse_index"] for outcome in of_kind]
        rows.append(
            [
                kind,
                f"{sum(outcome['right'] for outcome in of_kind)} of {len(of_kind)}",
                f"{statistics.median(indices):.3f} ({min(indices):.3f} .. {max(indices):.3f})",
                str(sum(outcome["unseen"] for outcome in of_kind)),
            ]
        )
    of_trials = markdown_table(["encoder", "right", "collapse index", "merged pairs told apart in less than 1%"], rows)
    checked = facts["checkpoints"]
    own = [row["by_episodes"] for row in checked]
    others = {
        "collapse index by classes": "by_classes",
        "mean error of the pairwise audit": "mean_error",
        "error of the nearest centroid": "centroid_error",
    }
    agreements = [
        [title, *(f"{correlation(chosen, name):.3f}" for chosen in (checked, *by_encoder(checked)))]
        for title, name in others.items()
    ]
    header = [f"rank correlation over {len(own)} checkpoints with", "all", *ENCODERS]
    times = facts["seconds"]
    of_times = markdown_table(
        ["", "processor seconds"],
        [
            ["required pairs of a million observations", f"{times['million']:.1f}"],
            [f"audit of NatureCNN on {facts['observations']:,} observations, by episodes", f"{times['episodes']:.1f}"],
            ["the same by classes", f"{times['classes']:.1f}"],
        ],
    )
    return "\n\n".join([of_trials, markdown_table(header, agreements), of_times])


def by_encoder(checked: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Return the checkpoints of each encoder."""
    return [[row for row in checked if row["encoder"] == encoder] for encoder in ENCODERS]


def correlation(checked: Sequence[Mapping[str, Any]], name: str) -> float:
    """Return Spearman's rank correlation of the index by episodes with another measure."""
    return float(spearmanr([row["by_episodes"] for row in checked], [row[name] for row in checked]).statistic)
