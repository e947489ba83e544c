"""From the results of all runs to one table: means over seeds, with intervals."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.stats import bootstrap

from paper.conditions import CONDITIONS

Results = Mapping[str, Mapping[int, Mapping[str, float]]]  # by condition, seed and measure


class Interval(NamedTuple):
    """A mean over seeds and its 95% bootstrap interval (percentiles of 9,999 resamples of the seeds)."""

    mean: float
    low: float
    high: float


# measure: (what the table calls it, decimals)
MEASURES = {
    "nearest_centroid_accuracy": ("nearest-centroid accuracy", 3),
    "adjusted_rand_index": ("k-means adjusted Rand index", 3),
    "clusters_found": ("clusters found by HDBSCAN", 1),
    "silhouette": ("silhouette of the counts", 2),
    "spread_ratio": ("spread within / between counts", 2),
    "dynamics_loss": ("dynamics loss", 6),
    "relative_dynamics_loss": ("dynamics loss / variance", 3),
    "auxiliary_loss": ("auxiliary loss", 5),
    "rollout_1": ("1-step rollout, right count", 3),
    "rollout_4": ("4-step rollout", 3),
    "rollout_8": ("8-step rollout", 3),
    "probe_count": ("probe of count", 3),
    "probe_shape": ("probe of shape", 3),
    "probe_shape_over_chance": ("... over chance", 2),
    "probe_color": ("probe of brightest channel", 3),
    "probe_color_over_chance": ("... over chance", 2),
    "probe_position": ("probe of quadrant", 3),
    "probe_position_over_chance": ("... over chance", 2),
    "reconstruction_error": ("reconstruction error", 4),
    "reconstructed_distance": ("reconstruction: brightest point to a single object, pixels", 1),
    "reconstructed_count": ("reconstruction: right number", 3),
    "reconstructed_place": ("reconstruction: right place", 3),
    "reconstructed_color": ("reconstruction: right colour", 3),
    "effective_rank": ("effective rank", 2),
    "latent_std": ("latent standard deviation", 4),
}


def summarise(results: Results) -> dict[str, dict[str, Interval]]:
    """Return the interval of every measure, by condition."""
    return {
        condition: {
            measure: _interval(np.array([result[measure] for result in by_seed.values()]))
            for measure in next(iter(by_seed.values()))
        }
        for condition, by_seed in results.items()
        if by_seed
    }


def markdown(summary: Mapping[str, Mapping[str, Interval]]) -> str:
    """Return a table with one row for each measure and one column for each condition."""
    lines = [
        ["measure", *(CONDITIONS[condition].title for condition in summary)],
        ["---", *("---:" for _ in summary)],
    ]
    for measure, (title, decimals) in MEASURES.items():
        lines.append([title, *(_cell(of_condition[measure], decimals) for of_condition in summary.values())])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _interval(values: np.ndarray) -> Interval:
    mean = float(values.mean())
    if np.ptp(values) == 0:  # one seed, or all alike: nothing to resample
        return Interval(mean, mean, mean)
    interval = bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(0)).confidence_interval
    return Interval(mean, float(interval.low), float(interval.high))


def _cell(interval: Interval, decimals: int) -> str:
    return f"{interval.mean:.{decimals}f} [{interval.low:.{decimals}f}, {interval.high:.{decimals}f}]"
