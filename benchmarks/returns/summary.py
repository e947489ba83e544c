"""From the runs to numbers: interquartile means, and how probably an arm beats the best baseline of equal cost.

All intervals are rliable's: of 95%, by stratified bootstrap (Agarwal et al., arXiv 2108.13264).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rliable.library import get_interval_estimates
from rliable.metrics import aggregate_iqm, probability_of_improvement

from returns.cases import ARMS, BASELINES, REFERENCES, TASKS

Runs = Mapping[str, Mapping[str, Any]]  # results by seed
Results = Mapping[str, Mapping[str, Runs]]  # by task and arm
Scores = NDArray[np.float64]
Interval = tuple[float, float, float]  # an estimate, and the ends of its 95% interval
RESAMPLES = 2_000
VERDICTS = ("better", "not apart", "worse")
GAIN = 1.15  # times the return of the baseline
EQUAL = 1.1  # a baseline costs as much as an arm if it takes at most this many times its seconds


def scores(runs: Runs) -> Scores:
    """Return the score of each run, (runs, 1): the mean of its four evaluations, the area under its learning curve."""
    return np.array([[np.mean(run["returns"])] for run in runs.values()])


def ends(runs: Runs) -> Scores:
    """Return the mean return of each run at the end of its training, (runs, 1)."""
    return np.array([[run["returns"][-1]] for run in runs.values()])


def seconds(runs: Runs) -> float:
    """Return the median processor seconds of a training."""
    return float(np.median([run["seconds"] for run in runs.values()]))


def estimate(measure: Callable[..., float], *of: Scores) -> Interval:
    """Return ``measure`` of one matrix (runs, tasks), or of two, and the ends of its interval: always the same."""
    with _seeded():
        points, intervals = get_interval_estimates(
            {"it": list(of) if len(of) > 1 else of[0]},
            lambda *resampled: np.array([measure(*resampled)]),
            reps=RESAMPLES,
        )
    return float(points["it"][0]), float(intervals["it"][0, 0]), float(intervals["it"][1, 0])


@contextmanager
def _seeded() -> Iterator[None]:
    """Seed NumPy's global generator for a while: rliable draws from it, also where it is given a ``random_state``."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def equal_cost(arms: Mapping[str, Runs], name: str, baselines: Sequence[str] = BASELINES) -> str:
    """Return the baseline with the highest interquartile mean among those that cost no more than the arm ``name``.

    ``"plain"`` is always among them: no arm can cost less.
    """
    limit = EQUAL * seconds(arms[name])
    affordable = [one for one in baselines if one in arms and (one == "plain" or seconds(arms[one]) <= limit)]
    return max(affordable or [name], key=lambda one: float(aggregate_iqm(scores(arms[one]))))


def summarise(results: Results) -> dict[str, Any]:
    """Return all that the tables show, as JSON can hold it.

    Returns:
        ``"tasks"``: by task and arm a row; ``"algorithms"``: by algorithm and arm the same over all its tasks;
        ``"published"``: by task, where there is a published score, the baseline of the highest interquartile mean and
        its return at the end. Three numbers are an estimate and its interval. ``ratio`` is that of two interquartile
        means, ``None`` where the baseline's is 0.
    """
    tasks = {task: {name: _row(arms, name) for name in arms} for task, arms in results.items()}
    algorithms: dict[str, dict[str, Any]] = {}
    for name in ARMS:
        for algorithm in dict.fromkeys(TASKS[task].algorithm for task in results):
            of = [
                task
                for task in results
                if TASKS[task].algorithm == algorithm and "verdict" in tasks[task].get(name, {})
            ]
            if of:
                algorithms.setdefault(algorithm, {})[name] = _over(results, tasks, name, of)
    published = {}
    for task in REFERENCES:
        returns = {name: tasks[task][name]["return"][0] for name in BASELINES if name in results.get(task, {})}
        if returns:
            best = max(returns, key=lambda name: returns[name])
            published[task] = {"baseline": best, "end": estimate(aggregate_iqm, ends(results[task][best]))}
    return {"tasks": tasks, "algorithms": algorithms, "published": published}


def _row(arms: Mapping[str, Runs], name: str) -> dict[str, Any]:
    runs = arms[name]
    row: dict[str, Any] = {
        "runs": len(runs),
        "return": estimate(aggregate_iqm, scores(runs)),
        "end": float(aggregate_iqm(ends(runs))),
        "seconds": seconds(runs),
    }
    if all("shifted" in run for run in runs.values()):
        row["shifted"] = float(aggregate_iqm(np.array([run["shifted"] for run in runs.values()])))
    baseline = equal_cost(arms, name)
    if name in BASELINES or baseline == name:
        return row
    mean = float(aggregate_iqm(scores(arms[baseline])))
    probability = estimate(probability_of_improvement, scores(runs), scores(arms[baseline]))
    return {
        **row,
        "baseline": baseline,
        "ratio": row["return"][0] / mean if mean > 0 else None,
        "probability": probability,
        "verdict": verdict(probability),
    }


def _over(results: Results, tasks: Mapping[str, Any], name: str, of: Sequence[str]) -> dict[str, Any]:
    rows = [tasks[task][name] for task in of]
    arm = _matrix(results, [(task, name) for task in of])
    baselines = _matrix(results, [(task, row["baseline"]) for task, row in zip(of, rows, strict=True)])
    return {
        "tasks": len(of),
        **{of_all: sum(row["verdict"] == of_all for row in rows) for of_all in VERDICTS},
        "gains": sum(row["ratio"] is not None and row["ratio"] >= GAIN for row in rows),
        "probability": estimate(probability_of_improvement, arm, baselines),
    }


def _matrix(results: Results, columns: Sequence[tuple[str, str]]) -> Scores:
    """Return the scores of each (task, arm), (runs, tasks): of each, as many runs as the one with the fewest has."""
    count = min(len(results[task][arm]) for task, arm in columns)
    return np.concatenate([scores(results[task][arm])[:count] for task, arm in columns], axis=1)


def verdict(probability: Interval) -> str:
    """Return what an interval of the probability of improvement says."""
    _, low, high = probability
    return "better" if low > 0.5 else "worse" if high < 0.5 else "not apart"
