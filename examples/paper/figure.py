"""The figure: a row for each condition, as in the paper, and columns that show what its latents keep."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from jepa_extractor.checkpoint import replace_file
from jepa_extractor.plots import draw_distances, draw_pca
from paper.conditions import CONDITIONS

WALKS = 6  # rollouts shown
BRIGHTER = 4  # reconstructions that are unsure are dark


def draw_figure(runs: Mapping[str, Path], path: Path) -> None:
    """Draw the ``pictures.npz`` in the folder of one run of each condition, and write the figure to ``path``."""
    figure = Figure(figsize=(19, 3.9 * len(runs)), layout="constrained")
    rows = figure.subplots(len(runs), 4, squeeze=False, width_ratios=(1, 1.1, 1.9, 1))
    for axes, (condition, folder) in zip(rows, runs.items(), strict=True):
        with np.load(folder / "pictures.npz") as pictures:
            draw_pca(axes[0], pictures["latents"], pictures["counts"], "count")
            draw_distances(axes[1], pictures["latents"], pictures["counts"], "count")
            _draw_reconstructions(axes[2], pictures["images"], pictures["reconstructions"])
            _draw_rollouts(axes[3], pictures["walk_counts"], pictures["read_counts"])
        axes[0].set_title(CONDITIONS[condition].title, fontweight="bold")
    replace_file(path, lambda unfinished: figure.savefig(unfinished, dpi=80))


def _draw_reconstructions(axes: Axes, images: NDArray[np.uint8], reconstructions: NDArray[np.uint8]) -> None:
    """Draw images (n, 3, H, W) above what the decoder made of their latents."""
    both = [
        np.concatenate(list(np.pad(row, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=128)), axis=-1)
        for row in (images, np.minimum(reconstructions, 255 // BRIGHTER) * BRIGHTER)
    ]
    axes.imshow(np.moveaxis(np.concatenate(both, axis=1), 0, -1), interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(f"Images, and what a decoder makes of their latents ({BRIGHTER} times as bright)")


def _draw_rollouts(axes: Axes, true_counts: NDArray[np.int64], read_counts: NDArray[np.int64]) -> None:
    """Draw the counts along the first walks, (N, steps), and those read off the predicted latents."""
    steps = np.arange(1, true_counts.shape[1] + 1)
    for true, read in zip(true_counts[:WALKS], read_counts[:WALKS], strict=True):
        axes.plot(steps, true, color="0.8", zorder=1)
        wrong = true != read
        axes.scatter(steps[~wrong], read[~wrong], color="tab:blue", s=14, zorder=2)
        axes.scatter(steps[wrong], read[wrong], color="tab:red", marker="x", s=22, zorder=3)
    accuracy = float((true_counts == read_counts)[:, -1].mean())
    axes.set(
        xlabel="actions since the image",
        ylabel="count (red: wrong)",
        title=f"Latent rollouts: {accuracy:.1%} at the end",
    )
