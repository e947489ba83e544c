"""From the results of all runs to tables: means over seeds, and differences by seed, with intervals."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from paper.conditions import CONDITIONS

Results = Mapping[str, Mapping[int, Mapping[str, float]]]  # by condition, seed and measure


class Interval(NamedTuple):
    """A mean over seeds and its 95% interval by Student's t."""

    mean: float
    low: float
    high: float


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


def summarise(results: Results) -> dict[str, dict[str, Interval]]:
    """Return the interval of every measure, by condition."""
    return {
        condition: {measure: _interval(_values(results, condition, measure)) for measure in MEASURES | ALSO}
        for condition in results
    }


def differences(results: Results) -> dict[str, dict[str, Interval]]:
    """Return ``joint`` minus each other condition of the same seeds in every measure, paired by seed."""
    return {
        condition: {
            measure: _interval(_values(results, "joint", measure) - _values(results, condition, measure))
            for measure in MEASURES
        }
        for condition in results
        if condition != "joint" and results[condition].keys() == results.get("joint", {}).keys()
    }


def tables(results: Results) -> dict[str, str]:
    """Return the tables by name: ``measures``, ``also``, and ``differences``."""
    summary = summarise(results)
    return {
        "measures": markdown(summary, MEASURES),
        "also": markdown(summary, ALSO),
        "differences": markdown(differences(results), MEASURES, "joint minus"),
    }


def values(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return every number and table of the study, by the key that names it in a page.

    - ``table measures``, ``table also``, ``table differences``;
    - ``mean CONDITION MEASURE``: the mean over the seeds and its interval, as in the tables;
    - ``difference CONDITION MEASURE``: ``joint`` minus the condition, as in the tables;
    - ``range CONDITION MEASURE``: the least and the largest of the seeds, as measured;
    - ``command``, ``seeds`` (how many), ``machine``, ``minutes`` (of one processor, all runs).
    """
    results, machine = facts["results"], facts["machine"]
    seconds = sum(run["processor_seconds"] for by_seed in results.values() for run in by_seed.values())
    found = {
        "command": f"`{facts['command']}`",
        "seeds": str(len(results["joint"])),
        "machine": f"{machine['processor']}, {machine['cores']} cores; torch {facts['versions']['torch']}",
        "minutes": f"{seconds / 60:.0f}",
    }
    found |= {f"table {name}": f"\n{table}" for name, table in tables(results).items()}
    for kind, intervals in (("mean", summarise(results)), ("difference", differences(results))):
        for condition, of_condition in intervals.items():
            for measure, interval in of_condition.items():
                found[f"{kind} {condition} {measure}"] = cell(interval, (MEASURES | ALSO)[measure][1])
    for condition, by_seed in results.items():
        for measure, (_, decimals) in (MEASURES | ALSO).items():
            of_seeds = [run[measure] for run in by_seed.values()]
            found[f"range {condition} {measure}"] = f"{min(of_seeds):.{decimals}f} to {max(of_seeds):.{decimals}f}"
    return found


def markdown(
    summary: Mapping[str, Mapping[str, Interval]], measures: Mapping[str, tuple[str, int]], corner: str = ""
) -> str:
    """Return a table with one row for each condition and one column for each of ``measures``."""
    lines = [[corner, *(title for title, _ in measures.values())], ["---", *("---:" for _ in measures)]]
    for condition, of_condition in summary.items():
        cells = [cell(of_condition[measure], decimals) for measure, (_, decimals) in measures.items()]
        lines.append([CONDITIONS[condition].title, *cells])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def cell(interval: Interval, decimals: int) -> str:
    """Return the mean and its interval as a table shows them."""
    mean, low, high = (f"{round(value, decimals) + 0.0:.{decimals}f}" for value in interval)  # + 0.0: no -0
    return f"{mean} [{low}, {high}]"


def _values(results: Results, condition: str, measure: str) -> NDArray[np.float64]:
    """Return the values of the seeds, (n,)."""
    values = np.array([result[measure] for result in results[condition].values()])
    if measure in RELATIVE and "untrained" in results:
        values = values / np.mean([result[measure] for result in results["untrained"].values()])
    return values


def _interval(values: NDArray[np.float64]) -> Interval:
    mean, seeds = float(values.mean()), len(values)
    reach = t.ppf(0.975, seeds - 1) * values.std(ddof=1) / seeds**0.5 if seeds > 1 else 0.0
    return Interval(mean, float(mean - reach), float(mean + reach))
