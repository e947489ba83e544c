"""What an audit during a training keeps of its moment: numbers, and the plane in which its latents are drawn."""

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

WIDE = 512  # latents whose covariance is not computed


class Plane(NamedTuple):
    """The first two principal components of N latents.

    Attributes:
        places: float64 (N, 2).
        shares: of the variance, of each component, in [0, 1].
    """

    places: NDArray[np.float64]
    shares: tuple[float, float]


class Moment(NamedTuple):
    """An audit during a training.

    Attributes:
        steps: environment steps until then.
        numbers: those of its report, by name.
        plane: that of its latents, ``None`` if it was not kept.
    """

    steps: int
    numbers: Mapping[str, float]
    plane: Plane | None = None


def pca_plane(latents: NDArray[np.floating[Any]]) -> Plane:
    """Return the plane of latents (N, D); the second component of latents of one number is 0."""
    from sklearn.decomposition import PCA

    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore")  # where all latents are equal, shares of the variance are 0 / 0
        pca = PCA(min(2, *latents.shape), svd_solver=_solver(latents), random_state=0)
        places = np.asarray(pca.fit_transform(latents), np.float64)
    shares = np.nan_to_num(pca.explained_variance_ratio_)
    if places.shape[1] == 1:
        places, shares = np.hstack([places, np.zeros_like(places)]), np.append(shares, 0.0)
    return Plane(places, (float(shares[0]), float(shares[1])))


def _solver(latents: NDArray[np.floating[Any]]) -> str:
    """Return how to find components of latents (N, D): never by a matrix D x D where D is large."""
    if latents.shape[1] < 2 or len(latents) < 3:
        return "full"
    return "covariance_eigh" if latents.shape[1] <= WIDE else "randomized"
