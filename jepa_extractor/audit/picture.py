"""Pictures of audits. matplotlib is needed here alone: it comes with the ``examples`` extra."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from jepa_extractor.audit.collapse import MOST_MARGIN, CollapseReport
from jepa_extractor.audit.report import Report
from jepa_extractor.plots import draw_pca, principal_plane


def plot_report(report: Report, path: Path) -> None:
    """Write the picture of a report: of its classes, see ``plot_audit``, or else of what its latents have collapsed.

    The latter shows the two principal components of the latents, coloured by the share of neighbours that must be kept
    apart, grey where there are none, with a red line between each of the worst pairs.
    """
    if report.classes is not None:
        plot_audit(report.classes, path)
        return
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.subplots()
    points = principal_plane(report.latents)(report.latents)
    known = np.isfinite(report.hits)
    axes.scatter(points[~known, 0], points[~known, -1], color="lightgrey", s=4)
    shown = axes.scatter(points[known, 0], points[known, -1], c=report.hits[known], vmin=0, vmax=1, s=4, cmap="viridis")
    figure.colorbar(shown, ax=axes, shrink=0.8, label="share of neighbours that must be kept apart")
    for pair in report.worst_pairs:
        ends = points[[pair.left, pair.right]]
        axes.plot(ends[:, 0], ends[:, -1], color="red", linewidth=1, marker="o", markersize=3)
    axes.set(xlabel="first principal component", ylabel="second", title=f"Collapse index {report.collapse_index:.3f}")
    figure.savefig(path, dpi=110)


def plot_audit(report: CollapseReport, path: Path) -> None:
    """Write a picture of an audit that points at the collapsed pairs.

    Left: the two principal components of the latents, with a red line between the means of each collapsed pair.
    Right: the margin of each pair of classes, up to 5, with a red ring around each collapsed pair.
    """
    figure = Figure(figsize=(12, 5.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_pca(left, report.latents, report.classes[report.members], "class")
    left.set_title(f"{report.classes_kept} of {report.classes_required} classes kept")
    where = {name: i for i, name in enumerate(report.classes.tolist())}
    means = principal_plane(report.latents)(
        np.stack([report.latents[report.members == i].mean(axis=0) for i in range(len(where))])
    )
    image = right.imshow(np.minimum(report.margins, MOST_MARGIN), vmin=0, vmax=MOST_MARGIN, cmap="viridis")
    figure.colorbar(image, ax=right, shrink=0.8, label="margin")
    for one, other in report.collapsed_pairs:
        i, j = where[one], where[other]
        left.plot(means[[i, j], 0], means[[i, j], -1], color="red", linewidth=2)
        right.scatter([i, j], [j, i], s=160, facecolors="none", edgecolors="red", linewidths=2)
    right.set_xticks(range(len(where)), report.classes)
    right.set_yticks(range(len(where)), report.classes)
    right.set(xlabel="class", ylabel="class", title="Margins (red: collapsed)")
    figure.savefig(path, dpi=110)
