"""Pictures of latents."""

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

SHOWN = 500  # most latents in the distance matrix: with more, one would be smaller than a pixel


def draw_pca(axes: Axes, latents: NDArray[np.floating], classes: NDArray[np.generic], class_name: str) -> None:
    """Draw the first two principal components of ``latents``, coloured by class."""
    centred = latents - latents.mean(axis=0)
    points = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
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
