"""Observation spaces as policies see them: images have their channels first."""

from typing import Any

import numpy as np
from gymnasium import spaces

from jepa_extractor.data.observations import Arrays, map_arrays


def policy_space(space: spaces.Space[Any]) -> spaces.Space[Any]:
    """Return the space of observations as Stable-Baselines3's policies see them: images with channels first.

    Args:
        space: of an environment. An image is a uint8 ``Box`` from 0 to 255 with three axes. Unless its first axis is
            the shortest, its last axis becomes the first.

    Returns:
        For an image the space with its axes in that order; for a ``Dict`` a ``Dict`` whose entries are treated so, one
        by one; any other space as it is.
    """
    if isinstance(space, spaces.Dict):
        return spaces.Dict({key: policy_space(subspace) for key, subspace in space.items()})
    if not has_channels_last(space):
        return space
    assert isinstance(space, spaces.Box)
    low, high = (np.moveaxis(bound, -1, 0) for bound in (space.low, space.high))
    return spaces.Box(low, high, dtype=space.dtype.type)


def channels_first(observations: Arrays, space: spaces.Space[Any]) -> Arrays:
    """Return observations (..., *shape of ``space``) in ``policy_space``, as views."""
    if isinstance(space, spaces.Dict):
        assert isinstance(observations, dict)
        return {key: channels_first(observations[key], subspace) for key, subspace in space.items()}  # type: ignore[misc]
    return (
        map_arrays(lambda array: np.moveaxis(array, -1, -3), observations) if has_channels_last(space) else observations
    )


def has_channels_last(space: spaces.Space[Any]) -> bool:
    """Return whether Stable-Baselines3 would move the last axis of such observations to the front.

    It does where they are images, uint8 from 0 to 255 with three axes, of which the first is not the smallest.
    """
    return is_image(space) and space.shape is not None and space.shape.index(min(space.shape)) != 0


def is_image(space: spaces.Space[Any]) -> bool:
    """Return whether Stable-Baselines3 takes ``space`` for one of images: uint8 from 0 to 255, with three axes."""
    return (
        isinstance(space, spaces.Box)
        and len(space.shape) == 3
        and space.dtype == np.uint8
        and bool(np.all(space.low == 0) and np.all(space.high == 255))
    )


def preprocessed_size(space: spaces.Space[Any]) -> int:
    """Return how many numbers an observation or action of ``space`` has once it is preprocessed and flattened."""
    return spaces.utils.flatdim(space)


def preprocessed_shape(space: spaces.Space[Any]) -> tuple[int, ...]:
    """Return the shape of a preprocessed observation of ``space``, which is no ``Dict``: one-hot where discrete."""
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        return (preprocessed_size(space),)
    assert space.shape is not None
    return space.shape
