"""The figure: success over the goal."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from goals.cases import HARD, NOISE, WAYS
from goals.summary import Results
from jepa_extractor.checkpoint import replace_file

PANELS = {
    "9 pictures, black": (WAYS, "9", 4),
    "9 pictures, noise": (NOISE, "9", 4),
    "66 pictures, 0 to 32 objects": (HARD, "66", 16),
}
COLORS = {case.title: f"C{number}" for number, case in enumerate(WAYS.values())}


def draw_figure(results: Results, path: Path) -> None:
    """Write a picture with the mean success at each goal over the seeds, and the range of the seeds."""
    figure = Figure(figsize=(13, 4), layout="constrained")
    for axes, (title, (cases, number, trained)) in zip(figure.subplots(1, 3, sharey=True), PANELS.items(), strict=True):
        shown = [name for name in cases if results.get(name)]
        for line, name in enumerate(shown):
            successes = np.array([run["success"][number] for run in results[name].values()])  # (seeds, goals)
            goals, color = np.arange(successes.shape[1]), COLORS[cases[name].title]
            width = 1.5 + len(shown) - line  # where lines lie on each other, all are seen
            axes.plot(goals, successes.mean(axis=0), color=color, linewidth=width, label=cases[name].title)
            axes.fill_between(goals, successes.min(axis=0), successes.max(axis=0), color=color, alpha=0.15)
        axes.axvline(trained, color="grey", linestyle=":")
        axes.set(title=title, xlabel="goal (dotted: that of the training)", ylim=(-0.03, 1.03))
        if shown:
            axes.legend(fontsize="small")
    figure.axes[0].set_ylabel("success")
    replace_file(path, lambda unfinished: figure.savefig(unfinished, dpi=90))
