"""From the runs to tables: interquartile means over seeds, with intervals."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from results import markdown_table
from scipy.stats import bootstrap, trim_mean

from learning.cases import COMPETITORS, TASKS

Runs = Mapping[str, Mapping[str, Any]]  # results by seed
Results = Mapping[str, Mapping[str, Mapping[str, Runs]]]  # by task, algorithm and competitor
BRIEF = ("nature", "plain", "more_updates", "joint", "detach_q")  # competitors
TITLES = {name: competitor.title for name, competitor in COMPETITORS.items()}


class Interval(NamedTuple):
    """An interquartile mean and its 95% bootstrap interval (percentiles of 9,999 resamples of the seeds)."""

    mean: float
    low: float
    high: float


def interquartile_mean(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return the means over an axis without its lowest and highest quarter, rounded down (Agarwal et al. 2021)."""
    return np.asarray(trim_mean(values, 0.25, axis=axis))


def interquartile(values: np.ndarray) -> Interval:
    """Return the interquartile mean of ``values`` (N,) with its interval."""
    mean = float(interquartile_mean(values))
    if np.ptp(values) == 0:  # one seed, or equal values: nothing to resample
        return Interval(mean, mean, mean)
    rng = np.random.default_rng(0)
    found = bootstrap((values,), interquartile_mean, method="percentile", rng=rng).confidence_interval
    return Interval(mean, float(found.low), float(found.high))


def until_success(runs: Runs) -> tuple[Interval, Interval, int]:
    """Return steps and seconds until success, and how many of the runs succeeded.

    A run that did not succeed counts with its whole budget, so that the means are then lower bounds.
    """
    steps = np.array([run["budget"] if run["steps"] is None else run["steps"] for run in runs.values()], float)
    seconds = np.array([run["curve"][-1][1] for run in runs.values()])
    return interquartile(steps), interquartile(seconds), sum(run["steps"] is not None for run in runs.values())


def tables(results: Results, titles: Mapping[str, str] = TITLES) -> str:
    """Return a Markdown table for each task and algorithm."""
    return "\n\n".join(
        f"{algorithm} on {TASKS[task].env_id}:\n\n{_table(competitors, titles)}"
        for task, algorithms in results.items()
        for algorithm, competitors in algorithms.items()
    )


def brief_table(results: Results, titles: Mapping[str, str] = TITLES) -> str:
    """Return one Markdown table: a row for each task and algorithm, with the steps of a few competitors."""
    panels = [competitors for of_task in results.values() for competitors in of_task.values()]
    shown = [name for name in BRIEF if any(name in competitors for competitors in panels)]
    rows = []
    for task, algorithms in results.items():
        for algorithm, competitors in algorithms.items():
            cells = []
            for name in shown:
                if name not in competitors:
                    cells.append("")
                    continue
                steps, _, solved = until_success(competitors[name])
                cells.append(_interval_text(steps, solved == len(competitors[name])))
            rows.append([f"{algorithm}, {TASKS[task].env_id}", *cells])
    return markdown_table(["", *(titles[name] for name in shown)], rows)


def _table(competitors: Mapping[str, Runs], titles: Mapping[str, str]) -> str:
    measured = {name: until_success(runs) for name, runs in competitors.items()}
    all_solved = {name: solved == len(competitors[name]) for name, (_, _, solved) in measured.items()}
    references = [name for name in ("nature", "plain") if name in measured]
    rows = []
    for name, (steps, seconds, solved) in measured.items():
        ratios = [
            "1.00"
            if reference == name
            else _ratio_text(measured[reference][0].mean / steps.mean, all_solved[reference], all_solved[name])
            for reference in references
        ]
        succeed = f"{solved} of {len(competitors[name])}"
        rows.append(
            [
                titles[name],
                succeed,
                _interval_text(steps, all_solved[name]),
                _interval_text(seconds, all_solved[name]),
                *ratios,
            ]
        )
    header = [
        "",
        "succeed",
        "steps",
        "processor seconds",
        *(f"{titles[name]} ÷ this" for name in references),
    ]
    return markdown_table(header, rows)


def _ratio_text(ratio: float, reference_known: bool, this_known: bool) -> str:
    """Return a ratio whose terms may be lower bounds, as text."""
    if reference_known:
        return f"{ratio:.2f}" if this_known else f"at most {ratio:.2f}"
    return f"at least {ratio:.2f}" if this_known else "unknown"


def _interval_text(interval: Interval, known: bool) -> str:
    """Return an interval as text; unless ``known``, it is a lower bound."""
    return ("" if known else "at least ") + f"{interval.mean:,.0f} [{interval.low:,.0f}, {interval.high:,.0f}]"
