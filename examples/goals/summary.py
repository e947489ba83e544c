"""From the results of all runs to the tables of docs/new-goal.md."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from scipy.stats import rankdata

import counting_env
from goals.cases import FEW_UPDATES, HARD, NOISE, SLIP, TRANSITION, WAYS, Case

gym.register_envs(counting_env)

Results = Mapping[str, Mapping[str, Mapping[str, Any]]]  # by case, seed and measure
MEASURES = {
    "worst_required_error": "audit: worst error of a pair of counts",
    "kept_share": "audit: share of the pairs that are kept apart",
    "relative_dynamics_loss": "dynamics loss over the variance of the latents",
    "dynamics_loss": "dynamics loss",
    "reward_loss": "reward loss",
    "latent_std": "standard deviation of the latents",
    "effective_rank": "effective rank of the latents",
}
RESAMPLES = 2_000


def ways(results: Results) -> str:
    """Return a row for each way of training and background."""
    lines = [
        ["training", "background", "seeds", "9 pictures", "worst goal", "50 pictures", "worst goal", "pairs kept"],
        ["---", "---", *6 * ["---:"]],
    ]
    for name, case in (WAYS | NOISE).items():
        if runs := list(results.get(name, {}).values()):
            cells = [cell for number in ("9", "50") for cell in _successes(run["success"][number] for run in runs)]
            kept = np.mean([run["kept_share"] for run in runs])
            lines.append([case.title, case.background, str(len(runs)), *cells, f"{kept:.3f}"])
    return _markdown(lines)


def scratch(results: Results) -> str:
    """Return the steps that PPO needs for each goal, one number for each seed."""
    runs = list(results.get("scratch", {}).values())
    goals = runs[0]["steps"] if runs else {}
    lines = [["goal", *goals], ["---", *("---:" for _ in goals)]]
    lines.append(["environment steps", *(", ".join(_steps(run["steps"][goal]) for run in runs) for goal in goals)])
    return _markdown(lines)


def hard(results: Results) -> str:
    """Return a row for the hard variant."""
    lines = [["seeds", "66 pictures", "worst goal", "pairs kept"], 4 * ["---:"]]
    for name in HARD:
        if runs := list(results.get(name, {}).values()):
            kept = np.mean([run["kept_share"] for run in runs])
            cells = _successes(run["success"]["66"] for run in runs)
            lines.append([str(len(runs)), *cells, f"{kept:.3f}"])
    return _markdown(lines)


def failures(results: Results) -> str:
    """Return a row for each thing that makes planning fail, and for what it is compared with."""
    shown: dict[str, Case] = {**{"joint": WAYS["joint"]}, **SLIP, **{"reward_only": WAYS["reward_only"]}}
    shown |= {**TRANSITION, **FEW_UPDATES, **{name: WAYS[name] for name in ("untrained", "frozen_ppo")}}
    lines = [
        ["what", "seeds", "success", "worst goal", "best possible", "pairs kept", "dynamics loss / variance"],
        ["---", *6 * ["---:"]],
    ]
    for name, case in shown.items():
        if runs := list(results.get(name, {}).values()):
            kept, loss = (np.mean([run[key] for run in runs]) for key in ("kept_share", "relative_dynamics_loss"))
            cells = _successes(run["success"]["9"] for run in runs)
            possible = f"{best_success(case.slip, case.horizon):.3f}"
            lines.append([case.title, str(len(runs)), *cells, possible, f"{kept:.3f}", f"{loss:.4f}"])
    return _markdown(lines)


def best_success(slip: float, horizon: int) -> float:
    """Return the success of the best policy within ``horizon`` steps, over all goals and starts, by value iteration."""
    successes = []
    for goal in range(9):
        env = gym.make("CountingEnv-v0", slip=slip, target=goal)
        matrices, _ = env.get_wrapper_attr("class_transitions")
        arrived = np.eye(len(matrices[0]))[goal]
        value = np.zeros(len(arrived))
        for _ in range(horizon):
            value = np.max([matrix @ np.maximum(arrived, value * (1 - arrived)) for matrix in matrices], axis=0)
        successes.append(value.mean())
    return float(np.mean(successes))


def audit(results: Results) -> str:
    """Return the rank correlation of each measure with the mean success, over all extractors without slip."""
    rows = [
        ((WAYS | NOISE | TRANSITION | FEW_UPDATES)[name].background + seed, run)
        for name, by_seed in results.items()
        if name in WAYS | NOISE | TRANSITION | FEW_UPDATES
        for seed, run in by_seed.items()
    ]
    lines = [["measure", "extractors", "rank correlation with success"], ["---", "---:", "---:"]]
    for measure, title in MEASURES.items():
        known = [
            (cluster, run[measure], np.mean(run["success"]["9"])) for cluster, run in rows if run[measure] is not None
        ]
        lines.append([title, str(len(known)), _correlation(known)])
    return _markdown(lines)


def _correlation(rows: list[tuple[str, float, float]]) -> str:
    """Return Spearman's correlation of (cluster, x, y), and its 95% interval over resampled clusters."""
    by_cluster: dict[str, list[tuple[float, float]]] = {}
    for cluster, x, y in rows:
        by_cluster.setdefault(cluster, []).append((x, y))
    clusters = list(by_cluster.values())
    correlation = _spearman([pair for pairs in clusters for pair in pairs])
    if np.isnan(correlation):
        return "none"
    generator = np.random.default_rng(0)
    draws = generator.integers(len(clusters), size=(RESAMPLES, len(clusters)))
    resampled = [_spearman([pair for i in drawn for pair in clusters[i]]) for drawn in draws]
    low, high = np.nanquantile(resampled, (0.025, 0.975))
    return f"{correlation:.2f} [{low:.2f}, {high:.2f}]"


def _spearman(pairs: list[tuple[float, float]]) -> float:
    x, y = np.transpose(pairs) if pairs else np.empty((2, 0))
    if len(np.unique(x)) < 2 or len(np.unique(y)) < 2:
        return np.nan  # nothing to rank
    return float(np.corrcoef(rankdata(x), rankdata(y))[0, 1])  # much faster than with the p-value of spearmanr


def _successes(of_runs: Iterable[list[float]]) -> list[str]:
    """Return the mean over goals and seeds with the range of the seeds, and the worst goal's mean over the seeds."""
    successes = np.array(list(of_runs))  # (seeds, goals)
    means = successes.mean(axis=1)
    return [f"{means.mean():.3f} ({means.min():.3f} to {means.max():.3f})", f"{successes.mean(axis=0).min():.3f}"]


def _steps(steps: int | None) -> str:
    return "not reached" if steps is None else f"{steps:,}"


def _markdown(lines: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


TABLES: Mapping[str, Callable[[Results], str]] = {
    "ways": ways,
    "scratch": scratch,
    "hard": hard,
    "failures": failures,
    "audit": audit,
}


def values(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return every table of the study, by the key that names it in a page: those of ``TABLES``."""
    return {name: f"\n\n{table(facts['results'])}\n" for name, table in TABLES.items()}
