"""A panel for each task: the score of every run over the processor seconds it took."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from returns.cases import ARMS, BASELINES, TASKS
from returns.summary import Results, scores, seconds

COLUMNS = 4
COLORS = ("#999999", "#555555", "#bbbbbb", "#000000", "#e69f00", "#0072b2", "#d55e00", "#cc79a7", "#009e73")


def draw(results: Results, path: Path) -> None:
    """Write the picture. Crosses are baselines, dots arms with an auxiliary; a line through a mark spans its runs."""
    columns = min(COLUMNS, len(results))
    rows = -(-len(results) // columns)
    figure = Figure(figsize=(4 * columns, 3.2 * rows + 0.8), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    colors = dict(zip(ARMS, COLORS, strict=True))
    handles = {}
    for axis, (task, arms) in zip(axes, results.items(), strict=False):
        for name, runs in arms.items():
            values = scores(runs)[:, 0]
            axis.plot([seconds(runs)] * 2, [values.min(), values.max()], color=colors[name], linewidth=1, alpha=0.6)
            (handles[name],) = axis.plot(
                seconds(runs),
                np.mean(values),
                "x" if name in BASELINES else "o",
                color=colors[name],
                label=ARMS[name].title,
            )
        dearest = max(map(seconds, arms.values()))
        limits = (0, 1.1 * dearest)
        axis.set(title=TASKS[task].title, xlabel="processor seconds", xlim=limits, ylabel="mean return")
    for axis in axes[len(results) :]:
        axis.set_axis_off()
    shown = [handles[name] for name in ARMS if name in handles]
    figure.legend(handles=shown, loc="outside lower center", ncols=columns + 1)
    figure.savefig(path, dpi=80)
