"""One line for each task: the auxiliary that did best there, against the best baseline of equal cost.

It is written into docs/when-to-use.md from the results of ``sample_efficiency.py`` and ``other_tasks.py``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from learning.cases import COMPETITORS
from learning.cases import TASKS as COUNTED
from learning.summary import until_success
from results import markdown_table
from returns.cases import ARMS, TASKS
from returns.summary import Interval, Runs, equal_cost, estimate, scores, seconds, verdict
from returns.tables import interval
from rliable.metrics import probability_of_improvement

BEST = ["best auxiliary", "best baseline of equal cost", "times as good"]
HEADER = ["task", *BEST, "probability of improvement", "times its seconds", "verdict"]


def steps_table(facts: Mapping[str, Any]) -> str:
    """Return the lines of the tasks that count steps until success, of those with the encoder ``pooled`` alone."""
    rows = []
    for task, algorithms in facts["results"].items():
        for algorithm, competitors in algorithms.items():
            arms = {
                name: {seed: _as_return(run) for seed, run in runs.items()}
                for name, runs in competitors.items()
                if (COMPETITORS[name].extractor or {}).get("encoder") == "pooled"
            }
            best = _best(arms, tuple(name for name in arms if COMPETITORS[name].callback is None))
            if best is not None:
                name, baseline, probability = best
                steps = {one: until_success(competitors[one])[0].mean for one in (name, baseline)}
                titles = [COMPETITORS[one].title for one in (name, baseline)]
                cost = seconds(arms[name]) / seconds(arms[baseline])
                title = f"{COUNTED[task].env_id}, {algorithm}"
                rows.append(_row(title, titles, steps[baseline] / steps[name], probability, cost))
    return markdown_table(HEADER, rows)


def returns_table(facts: Mapping[str, Any]) -> str:
    """Return the lines of the tasks that count returns."""
    rows = []
    for task, arms in facts["summary"]["tasks"].items():
        compared = {name: row for name, row in arms.items() if "verdict" in row}
        if compared:
            name, row = max(compared.items(), key=lambda one: one[1]["probability"][0])
            titles = [ARMS[one].title for one in (name, row["baseline"])]
            cost = row["seconds"] / arms[row["baseline"]]["seconds"]
            rows.append(_row(TASKS[task].title, titles, row["ratio"], row["probability"], cost))
    return markdown_table(HEADER, rows)


def _best(arms: Mapping[str, Runs], baselines: Sequence[str]) -> tuple[str, str, Interval] | None:
    """Return the auxiliary that most probably beats its baseline of equal cost, that baseline, and the probability."""
    pairs = [(name, equal_cost(arms, name, baselines)) for name in arms if name not in baselines]
    pairs = [(name, baseline) for name, baseline in pairs if name != baseline]
    if not pairs:
        return None
    name, baseline = max(pairs, key=lambda pair: probability_of_improvement(*(scores(arms[one]) for one in pair)))
    return name, baseline, estimate(probability_of_improvement, scores(arms[name]), scores(arms[baseline]))


def _as_return(run: Mapping[str, Any]) -> dict[str, Any]:
    steps = run["budget"] if run["steps"] is None else run["steps"]
    return {"returns": [-steps], "seconds": run["curve"][-1][1]}


def _row(title: str, arms: list[str], ratio: float | None, probability: Interval, cost: float) -> list[str]:
    times = "" if ratio is None else f"{ratio:.2f}"
    return [title, *arms, times, interval(probability), f"{cost:.1f}", verdict(probability)]
