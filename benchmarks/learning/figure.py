"""Learning curves: success on unseen seeds over environment steps."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from learning.cases import COMPETITORS, TASKS
from learning.run import EVALUATE_EVERY
from learning.summary import BRIEF, Results, interquartile, interquartile_mean

POINTS = 60


def draw_curves(results: Results, path: Path) -> None:
    """Write a picture with one panel for each task (row) and algorithm (column).

    A line is the interquartile mean over seeds. The competitors of the brief table have bolder lines, and bands: their
    95% bootstrap intervals. A run ends at 95% success, or with its budget; its last value goes on.
    """
    algorithms = list(dict.fromkeys(name for of_task in results.values() for name in of_task))
    figure = Figure(figsize=(5.5 * len(algorithms), 4 * len(results)), layout="constrained")
    axes = figure.subplots(len(results), len(algorithms), squeeze=False)
    shades = matplotlib.colormaps["tab20"].colors  # type: ignore[attr-defined]  # ten strong ones, each with a pale one
    names = [*BRIEF, *(name for name in COMPETITORS if name not in BRIEF)]
    colors = dict(zip(names, [*shades[::2], *shades[1::2]], strict=False))
    lines: dict[str, Line2D] = {}
    for row, (task, of_task) in zip(axes, results.items(), strict=True):
        for axis, algorithm in zip(row, algorithms, strict=True):
            if algorithm not in of_task:
                axis.set_axis_off()
                continue
            last = max(run["curve"][-1][0] for runs in of_task[algorithm].values() for run in runs.values())
            points = np.geomspace(EVALUATE_EVERY, last, POINTS)
            for name, runs in of_task[algorithm].items():
                grid = points[points >= max(run["curve"][0][0] for run in runs.values())]
                curves = np.array([_at(grid, run["curve"]) for run in runs.values()])
                width = 2.0 if name in BRIEF else 0.8
                style = {"color": colors[name], "linewidth": width, "label": COMPETITORS[name].title}
                (lines[name],) = axis.plot(grid, interquartile_mean(curves, axis=0), **style)
                if name in BRIEF:
                    _, lows, highs = zip(*map(interquartile, curves.T), strict=True)
                    axis.fill_between(grid, lows, highs, color=colors[name], alpha=0.15, linewidth=0)
            axis.axhline(0.95, color="grey", linestyle=":", linewidth=1)
            axis.set(
                title=f"{algorithm} on {TASKS[task].env_id}",
                xlabel="environment steps",
                ylabel="success rate",
                xscale="log",
                ylim=(0, 1.02),
            )
    figure.legend(handles=list(lines.values()), fontsize="small", loc="outside lower center", ncols=4)
    figure.savefig(path, dpi=100)


def _at(grid: np.ndarray, curve: list[Any]) -> np.ndarray:
    """Return the success rate of one run at each of the steps of ``grid``, none before its first evaluation."""
    steps, _, successes = np.array(curve).T
    return np.asarray(successes[np.searchsorted(steps, grid, side="right") - 1])
