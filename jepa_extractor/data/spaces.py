"""Which spaces are supported, and how policies see observations: images have their channels first."""

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from jepa_extractor.checks import require_type, shown
from jepa_extractor.data.observations import Arrays, all_finite

_ARRAYS = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
_FLATTENABLE = (spaces.Tuple, spaces.Text, spaces.OneOf)  # what FlattenObservation makes a Box of
_WRAPPERS = "gymnasium.wrappers."
_FLATTEN = f"wrap it in {_WRAPPERS}FlattenObservation"


def require_observation_space(name: str, space: object) -> None:
    """Raise ``ValueError`` unless ``space`` is one of observations that are arrays of numbers, or a ``Dict`` of such.

    Supported are ``Box``, ``Discrete``, ``MultiDiscrete``, ``MultiBinary``, and a ``Dict`` of these. The message names
    what is not, and the wrapper that mends it.
    """
    if not isinstance(space, spaces.Dict):
        flat = isinstance(space, _FLATTENABLE) and space.is_np_flattenable
        _require_array(name, space, _FLATTEN if flat else "turn it into an array by {}", "TransformObservation")
        return
    if not space.spaces:
        raise ValueError(f"{name}={shown(space)} has no key: observations need at least one array")
    for key, part in space.items():
        mend = f"drop the key by {_WRAPPERS}FilterObservation(env, {[other for other in space if other != key]})"
        if {"image", "mission"} <= set(space):
            mend += ", or take minigrid.wrappers.ImgObsWrapper, which keeps the image alone"
        if isinstance(part, spaces.Dict):
            mend += f", or {_FLATTEN}"
        _require_array(f"{name}[{key!r}]", part, mend, "TransformObservation")


def require_action_space(name: str, space: object) -> None:
    """Raise ``ValueError`` unless ``space`` is one of actions that are arrays of numbers.

    Supported are ``Box``, ``Discrete``, ``MultiDiscrete`` and ``MultiBinary``. The message names the wrapper that mends
    others.
    """
    _require_array(name, space, "give the environment one such space, by {}", "TransformAction")


def require_bounded(name: str, space: spaces.Space[Any]) -> None:
    """Raise ``ValueError`` if ``space``, of actions, has no bounds between which actions can be drawn uniformly."""
    if isinstance(space, spaces.Box) and not space.is_bounded():
        raise ValueError(
            f"{name}={shown(space)} has no bounds, and random actions are uniform: give the environment "
            f"a bounded Box by {_WRAPPERS}TransformAction, or give a policy"
        )


def _require_array(name: str, space: object, mend: str, wrapper: str) -> None:
    """Raise ``ValueError`` unless what ``space`` holds is one array of numbers, counted from 0 where discrete."""
    require_type(name, space, spaces.Space, "give a Gymnasium space")
    by = f"{_WRAPPERS}{wrapper}"
    mend = mend.replace("{}", by)
    if not isinstance(space, _ARRAYS):
        raise ValueError(f"{name}={shown(space)} is not a Box, Discrete, MultiDiscrete or MultiBinary: {mend}")
    if np.dtype(space.dtype).kind not in "biuf":
        raise ValueError(f"{name}={shown(space)} is not of numbers, but of {space.dtype}: {mend}")
    assert space.shape is not None
    if 0 in space.shape:
        raise ValueError(f"{name}={shown(space)} is of shape {space.shape}, which holds no number: give another")
    if isinstance(space, spaces.MultiDiscrete) and len(space.shape) > 1:
        raise ValueError(f"{name}={shown(space)} is of shape {space.shape}: flatten it to one axis by {by}")
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete) and np.any(space.start != 0):
        raise ValueError(f"{name}={shown(space)} counts from {space.start}, not from 0: shift it by {by}")


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
    return move_channels(observations, keys_with_channels_last(space))


def keys_with_channels_last(space: spaces.Space[Any]) -> frozenset[str]:
    """Return the keys of a ``Dict`` whose entries ``policy_space`` changes; ``""`` stands for any other space."""
    parts = space if isinstance(space, spaces.Dict) else {"": space}
    return frozenset(key for key, part in parts.items() if has_channels_last(part))


def move_channels(observations: Arrays, keys: frozenset[str]) -> Arrays:
    """Return observations (..., height, width, channels) with channels first, as views, those of ``keys`` alone."""
    if not keys:
        return observations
    if isinstance(observations, dict):
        return {key: np.moveaxis(array, -1, -3) if key in keys else array for key, array in observations.items()}
    return np.moveaxis(observations, -1, -3)


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


def as_batch(observations: Any, space: spaces.Space[Any]) -> tuple[Arrays, bool]:
    """Return observations (n, ...) as the policy sees them, and whether they were a batch.

    Args:
        observations: one, or a batch; images with channels first or last.
        space: as the policy sees it.

    Raises:
        ValueError: they are not of ``space``.
    """
    if isinstance(space, spaces.Dict):
        if not isinstance(observations, dict) or observations.keys() != space.keys():
            raise ValueError(f"observations={type(observations).__name__} must be a dict with the keys {list(space)}")
        parts = {key: as_batch(observations[key], part) for key, part in space.items()}
        return {key: array for key, (array, _) in parts.items()}, any(is_batch for _, is_batch in parts.values())  # type: ignore[misc]
    if isinstance(observations, tuple | dict):
        raise ValueError(
            f"observations is a {type(observations).__name__}: give an array; env.reset() returns it first"
        )
    try:
        array, shape = np.asarray(observations), space.shape
    except ValueError as error:
        raise ValueError("observations are of several shapes: give an array") from error
    assert shape is not None
    if array.dtype.kind not in "biuf":
        raise ValueError(f"observations have dtype {array.dtype}: give an array of numbers")
    if is_image(space):
        if array.dtype != np.uint8:
            raise ValueError(f"observations have dtype {array.dtype}, and the space is of uint8 images: give uint8")
        if not _ends_with(array, shape) and _ends_with(array, (*shape[1:], shape[0])):
            array = np.moveaxis(array, -1, -3)
    if not _ends_with(array, shape):
        raise ValueError(f"observations have shape {array.shape}: give {shape}, or (N, ...) of these, of {space}")
    if not all_finite(array):
        raise ValueError(f"observations hold {array[~np.isfinite(array)][0]}: give finite numbers")
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        most = space.n if isinstance(space, spaces.Discrete) else space.nvec
        if np.any((array < 0) | (array >= most) | (array != np.floor(array))):
            raise ValueError(f"observations hold numbers that are not in {space}: give integers from 0 on")
    return array.reshape(-1, *shape), array.ndim > len(shape)


def _ends_with(array: NDArray[Any], shape: tuple[int, ...]) -> bool:
    """Return whether an array is of ``shape``, or a batch of these."""
    return array.ndim - len(shape) in (0, 1) and array.shape[array.ndim - len(shape) :] == shape


def preprocessed_size(space: spaces.Space[Any]) -> int:
    """Return how many numbers an observation or action of ``space`` has once it is preprocessed and flattened."""
    return spaces.utils.flatdim(space)


def preprocessed_shape(space: spaces.Space[Any]) -> tuple[int, ...]:
    """Return the shape of a preprocessed observation of ``space``, which is no ``Dict``: one-hot where discrete."""
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        return (preprocessed_size(space),)
    assert space.shape is not None
    return space.shape
