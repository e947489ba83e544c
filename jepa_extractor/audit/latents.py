"""What any encoder makes of observations."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from jepa_extractor.audit.audit_set import AuditSet
from jepa_extractor.checks import require_integer, shown
from jepa_extractor.data.observations import Arrays, map_arrays
from jepa_extractor.jepa import JEPA, preprocess
from jepa_extractor.networks.modules import evaluation_mode, in_chunks

Encoder = Any  # a JEPA, an nn.Module or a function; a policy or a model of Stable-Baselines3
Shapes = Any  # of one observation: a shape, or a dict of shapes


def encode(
    encoder: Encoder, audit_set: AuditSet, vec_normalize: Any = None, frame_stack: int | None = None
) -> NDArray[np.float32]:
    """Return the latents of all observations of a set, float32 (N, D), without gradient, in chunks.

    The arguments are those of ``audit``.

    Raises:
        ValueError: the encoder does not take such observations, or does not return one finite row for each.
    """
    if vec_normalize is None and hasattr(encoder, "get_vec_normalize_env"):
        vec_normalize = encoder.get_vec_normalize_env()
    network = network_of(encoder)
    module = network if isinstance(network, nn.Module) else nn.Module()
    device = next(module.parameters(), torch.empty(0)).device
    features, space = _features(network)
    seen = _seen_by(space, audit_set, vec_normalize, frame_stack)
    with evaluation_mode(module):
        latents = in_chunks(features, seen, len(audit_set), device)
    if (wrong := np.flatnonzero(~np.isfinite(latents).all(axis=1))).size:
        rows = ", ".join(map(str, wrong[:10])) + (", ..." if wrong.size > 10 else "")
        raise ValueError(
            f"the encoder returned NaN or infinity for {wrong.size} of {len(latents)} observations ({rows}): mend it, "
            "or give weights from before they diverged"
        )
    return latents


def network_of(encoder: Encoder) -> Any:
    """Return what encodes: of a model its policy, of a module that ``torch.compile`` wrapped the one within.

    Raises:
        ValueError: it is no encoder.
    """
    is_model = not isinstance(encoder, nn.Module) and hasattr(encoder, "policy")
    network = getattr(encoder.policy if is_model else encoder, "_orig_mod", encoder.policy if is_model else encoder)
    if not callable(network):
        raise ValueError(
            f"encoder={shown(encoder)} is no encoder: give a JEPA, an nn.Module or a function, or a model or a policy "
            "of Stable-Baselines3; load a saved model first, as by PPO.load(path)"
        )
    return network


def jepa_of(encoder: Encoder) -> JEPA | None:
    """Return the ``JEPA`` that an encoder is or holds, or ``None``."""
    network = network_of(encoder)
    modules = network.modules() if isinstance(network, nn.Module) else ()
    return next((module for module in modules if isinstance(module, JEPA)), None)


def _features(network: Any) -> tuple[Callable[[Any], Any], gym.Space[Any] | None]:
    """Return what maps tensors of observations to latents, and the space of the observations if it is known."""
    if hasattr(network, "obs_to_tensor"):  # a policy of Stable-Baselines3
        parts = network.named_modules() if isinstance(network, nn.Module) else ()
        extractor = next((part for name, part in parts if name.split(".")[-1] == "features_extractor"), None)
        if extractor is None:
            raise ValueError(f"the policy {type(network).__name__} has no features extractor: give the encoder itself")
        encoder = getattr(extractor, "_orig_mod", extractor)
        space, scale = network.observation_space, bool(network.normalize_images)
    elif isinstance(network, JEPA):
        encoder, space, scale = network.encoder, network.observation_space, network.normalize_images
    elif isinstance(getattr(network, "jepa", None), JEPA):
        return _features(network.jepa)
    elif hasattr(network, "features_dim") and isinstance(getattr(network, "_observation_space", None), gym.Space):
        encoder, space, scale = network, network._observation_space, True  # a features extractor
    else:
        return lambda seen: _called(network, map_arrays(_as_float, seen)), None
    return lambda seen: encoder(preprocess(seen, space, scale)), space


def _called(network: Any, seen: Any) -> Any:
    """Return what an encoder of unknown space makes of observations, a tensor (B, ...) or a dict of these."""
    try:
        return network(seen)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, TypeError, AttributeError, IndexError) as error:
        shapes = _in_words(map_arrays(lambda tensor: tuple(tensor.shape), seen))
        raise ValueError(f"encoder={shown(network)} fails on observations of shape {shapes}: {error}") from error


def _as_float(tensor: torch.Tensor) -> torch.Tensor:
    """Return a batch (B, ...) as float32, images scaled to [0, 1]."""
    return tensor.float() / 255 if tensor.dtype == torch.uint8 and tensor.ndim == 4 else tensor.float()


def _seen_by(
    space: gym.Space[Any] | None, audit_set: AuditSet, vec_normalize: Any, frame_stack: int | None
) -> Callable[[NDArray[np.int64]], Arrays]:
    """Return a function that gives the observations of some rows (B,) as an encoder of ``space`` sees them."""
    observations = audit_set.observations
    one: Shapes = map_arrays(lambda array: array.shape[1:], observations)
    taken = None if space is None else _shapes(space)
    frames = (1 if taken is None else _frames(one, taken)) if frame_stack is None else frame_stack
    require_integer("frame_stack", frames, least=1)
    stacked: Shapes = map_arrays(lambda shape: _stacked(shape, frames), one)
    if taken not in (None, stacked):
        with_stack = "" if frames == 1 else f", or {_in_words(stacked)} with frame_stack={frames}"
        raise ValueError(
            f"the audit set has observations of shape {_in_words(one)}{with_stack}; the encoder takes observations of "
            f"shape {_in_words(taken)}: give a set of an environment with the wrappers of the training"
        )
    normalize, normalized = _normalizer(vec_normalize)
    if normalized not in (None, one, stacked):
        raise ValueError(
            f"vec_normalize takes observations of shape {_in_words(normalized)}, the encoder {_in_words(stacked)}: an "
            "audit can apply only a VecNormalize that is the last wrapper before the policy, or before VecFrameStack"
        )

    def frame(rows: NDArray[np.int64], back: int) -> Arrays:
        seen = map_arrays(lambda array: array[np.maximum(rows - back, 0)], observations)
        if normalized == one:
            seen = normalize(seen)
        missing = audit_set.steps[rows] < back
        map_arrays(lambda array: array.__setitem__(missing, 0), seen)
        return seen

    def seen(rows: NDArray[np.int64]) -> Arrays:
        if frames == 1:
            return frame(rows, 0)
        oldest_first = [frame(rows, back) for back in reversed(range(frames))]
        stack = map_arrays(lambda *arrays: np.concatenate(arrays, axis=1 + _axis(arrays[0].shape[1:])), *oldest_first)
        return normalize(stack) if normalized == stacked else stack

    return seen


def _normalizer(vec_normalize: Any) -> tuple[Callable[[Any], Arrays], Shapes]:
    """Return what normalises observations, and the shapes of those that it takes, ``None`` if it changes nothing."""
    if vec_normalize is None:
        return lambda seen: seen, None
    if not hasattr(vec_normalize, "normalize_obs"):
        raise ValueError(
            f"vec_normalize is a {type(vec_normalize).__name__}, not a VecNormalize: give that of the training, or None"
        )
    return vec_normalize.normalize_obs, _shapes(vec_normalize.observation_space) if vec_normalize.norm_obs else None


def _axis(shape: tuple[int, ...]) -> int:
    """Return along which axis ``VecFrameStack`` stacks observations of ``shape``, as policies see them."""
    return 0 if len(shape) == 3 else len(shape) - 1


def _stacked(shape: tuple[int, ...], frames: int) -> tuple[int, ...]:
    """Return the shape of so many stacked observations."""
    if frames == 1:
        return shape
    if not shape:
        raise ValueError(f"frame_stack={frames}, but observations are single numbers, which are not stacked: give 1")
    axis = _axis(shape)
    return (*shape[:axis], frames * shape[axis], *shape[axis + 1 :])


def _frames(one: Shapes, taken: Shapes) -> int:
    """Return how many stacked observations of shape ``one`` have the shape that is ``taken``; 1 if none have."""
    pair = [next(iter(shape.values())) if isinstance(shape, dict) else shape for shape in (one, taken)]
    if type(one) is not type(taken) or not pair[0] or len(pair[0]) != len(pair[1]):
        return 1
    axis = _axis(pair[0])
    frames = int(pair[1][axis] // pair[0][axis])
    return frames if frames > 1 and map_arrays(lambda shape: _stacked(shape, frames), one) == taken else 1


def _shapes(space: gym.Space[Any]) -> Shapes:
    if isinstance(space, gym.spaces.Dict):
        return {key: subspace.shape for key, subspace in space.items()}
    return space.shape


def _in_words(shapes: Shapes) -> str:
    return ", ".join(f"{key} {shape}" for key, shape in shapes.items()) if isinstance(shapes, dict) else str(shapes)
