"""Pictures of latents. matplotlib is needed here alone: it comes with the ``examples`` extra."""

from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA

SHOWN = 500  # most latents in the distance matrix: with more, one would be smaller than a pixel


def plot_latents(latents: NDArray[np.floating], classes: NDArray[np.generic], path: Path, class_name: str) -> None:
    """Write a picture of latents (N, D), N >= 2, whose observations belong to ``classes`` (N,).

    Left: the two principal components, coloured by class. Right: all pairwise Euclidean distances, sorted
    by class, so that classes kept apart show as dark squares along the diagonal.
    """
    figure = Figure(figsize=(11, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_pca(left, latents, classes, class_name)
    draw_distances(right, latents, classes, class_name)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def draw_pca(axes: Axes, latents: NDArray[np.floating], classes: NDArray[np.generic], class_name: str) -> None:
    """Draw the first two principal components of ``latents``, coloured by class."""
    points = principal_plane(latents)(latents)
    names = np.unique(classes)
    colors = matplotlib.colormaps["turbo"](np.linspace(0, 1, len(names)))
    for name, color in zip(names, colors, strict=True):
        members = classes == name
        axes.scatter(points[members, 0], points[members, -1], color=color, s=8, label=str(name))
    axes.legend(title=class_name, fontsize="small")
    axes.set(xlabel="first principal component", ylabel="second", title=f"Latents by {class_name}")


def draw_distances(axes: Axes, latents: NDArray[np.floating], classes: NDArray[np.generic], class_name: str) -> None:
    """Draw the matrix of pairwise distances of up to ``SHOWN`` latents, sorted by class."""
    by_class = np.argsort(classes, kind="stable")
    kept = by_class[np.linspace(0, len(latents) - 1, min(SHOWN, len(latents))).astype(int)]
    image = axes.imshow(cdist(latents[kept], latents[kept]), cmap="viridis", interpolation="nearest")
    names, starts, sizes = np.unique(classes[kept], return_index=True, return_counts=True)
    axes.set_xticks(starts + sizes / 2, names)
    axes.set_yticks(starts + sizes / 2, names)
    axes.set(xlabel=class_name, ylabel=class_name, title="Distance of latents")
    assert axes.figure is not None
    axes.figure.colorbar(image, ax=axes, shrink=0.8)


def principal_plane(latents: NDArray[np.floating]) -> Callable[[NDArray[np.floating]], NDArray[np.floating]]:
    """Return the map of latents (N, D) to their first two principal components, (N, 2), or (N, 1) where D is 1."""
    with np.errstate(invalid="ignore"):  # where all latents are equal, the explained share of the variance is 0 / 0
        pca = PCA(n_components=min(2, latents.shape[1]), svd_solver="full").fit(latents)
    transform: Callable[[NDArray[np.floating]], NDArray[np.floating]] = pca.transform
    return transform
