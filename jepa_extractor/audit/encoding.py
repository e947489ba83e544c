"""What any encoder makes of observations."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.preprocessing import preprocess_obs
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecNormalize
from torch import nn

from jepa_extractor.audit.audit_set import AuditSet
from jepa_extractor.checks import require_integer
from jepa_extractor.modules import in_chunks, training_mode_kept
from jepa_extractor.observations import Arrays, each
from jepa_extractor.sb3.extractor import JEPAExtractor

Encoder = BaseAlgorithm | BasePolicy | JEPAExtractor | nn.Module | Callable[[Any], Any]


def encode(
    encoder: Encoder,
    audit_set: AuditSet,
    vec_normalize: VecNormalize | None = None,
    frame_stack: int | None = None,
) -> NDArray[np.float32]:
    """Return the latents of all observations of a set, float32 (N, D), without gradient, in chunks.

    Args:
        encoder: one of these; its training mode is left as it was.

            - a model or a policy of Stable-Baselines3: its first features extractor, given what the policy would give
              it.
            - a ``JEPAExtractor``.
            - any ``nn.Module`` or callable: it is given float32 tensors (B, *observation shape), or a dict of them, on
              the module's device. uint8 images have their channels first and are scaled to [0, 1]; everything else is
              given as it is. It returns a tensor or array (B, D).
        audit_set: the observations.
        vec_normalize: normalises observations before they are encoded, and is not changed; by default that of the
            model's own environment, if it has one. A policy, or a model that was loaded without environment, has none,
            even if it was trained under one.
        frame_stack: how many frames ``VecFrameStack`` stacks: those of the same episode, zeros before its first. By
            default as many as the shape of the encoder's observations says, where it has a space, else 1.

    Raises:
        ValueError: the encoder does not take such observations, or does not return one finite row for each.
    """
    if vec_normalize is None and isinstance(encoder, BaseAlgorithm):
        vec_normalize = encoder.get_vec_normalize_env()
    network = encoder.policy if isinstance(encoder, BaseAlgorithm) else encoder
    space = observation_space(network)
    shapes = each(lambda array: array.shape[1:], audit_set.observations)
    if frame_stack is None:
        frame_stack = 1 if space is None else _frames(shapes, _shapes(space))
    require_integer("frame_stack", frame_stack, least=1)
    stacked = each(lambda shape: _stacked(shape, frame_stack), shapes)
    if space is not None and stacked != _shapes(space):
        raise ValueError(
            f"the audit set has observations of shape {_in_words(shapes)}, the encoder takes {_in_words(_shapes(space))}"
            f"{'' if frame_stack == 1 else f', and frame_stack is {frame_stack}'}: give a set of an environment with "
            "the wrappers of the training"
        )
    first = _normalizes(vec_normalize, shapes, stacked)

    def shown(rows: NDArray[np.int64]) -> Arrays:
        """Return what the policy would see at these rows."""

        def frame(array: NDArray[Any], back: int) -> NDArray[Any]:
            frames = array[np.maximum(rows - back, 0)]
            frames[audit_set.steps[rows] < back] = 0
            return frames

        observations = audit_set.observations
        if frame_stack == 1:
            seen = each(lambda array: array[rows], observations)
            return seen if vec_normalize is None else vec_normalize.normalize_obs(seen)  # type: ignore[return-value]
        frames = []
        for back in range(frame_stack - 1, -1, -1):
            seen = each(lambda array, back=back: frame(array, back), observations)
            if first and vec_normalize is not None:  # zeros before the first frame are not normalised
                before = audit_set.steps[rows] < back
                seen = vec_normalize.normalize_obs(seen)  # type: ignore[assignment]
                each(lambda array, before=before: array.__setitem__(before, 0), seen)
            frames.append(seen)
        seen = each(lambda *arrays: np.concatenate(arrays, axis=_axis(arrays[0].shape[1:]) + 1), *frames)
        if vec_normalize is None or first:
            return seen
        return vec_normalize.normalize_obs(seen)  # type: ignore[return-value]

    features, module, device = _features(network)
    if module is None:
        latents = in_chunks(features, shown, len(audit_set), device)
    else:
        with training_mode_kept(module):
            module.eval()
            latents = in_chunks(features, shown, len(audit_set), device)
    wrong = np.flatnonzero(~np.isfinite(latents).all(axis=1))
    if wrong.size:
        rows = ", ".join(map(str, wrong[:10])) + (", ..." if wrong.size > 10 else "")
        raise ValueError(
            f"the encoder returned NaN or infinity for {wrong.size} of {len(latents)} observations ({rows}): mend it, or "
            "load weights from before they diverged"
        )
    return latents


def observation_space(network: Any) -> gym.Space[Any] | None:
    """Return the space of observations that a policy or extractor takes, or ``None`` of what has no space."""
    if isinstance(network, BaseFeaturesExtractor):
        return network._observation_space
    return network.observation_space if isinstance(network, BasePolicy) else None


def _features(network: Any) -> tuple[Callable[[Any], Any], nn.Module | None, torch.device]:
    """Return what maps tensors of observations to latents, the module that does it, and its device."""
    if isinstance(network, BasePolicy):
        extractor = next((part for part in network.modules() if isinstance(part, BaseFeaturesExtractor)), None)
        if extractor is None:
            raise ValueError(f"the policy {type(network).__name__} has no features extractor: give the encoder itself")
        space, scale = network.observation_space, network.normalize_images
        return lambda seen: extractor(preprocess_obs(seen, space, normalize_images=scale)), network, network.device
    if isinstance(network, BaseFeaturesExtractor):
        device = next(network.parameters(), torch.empty(0)).device
        space = network._observation_space
        return lambda seen: network(preprocess_obs(seen, space)), network, device
    if isinstance(network, nn.Module):
        device = next(network.parameters(), torch.empty(0)).device
        return lambda seen: network(each(_as_float, seen)), network, device
    if not callable(network):
        raise ValueError(
            f"encoder={network!r} is no encoder: give a model or a policy of Stable-Baselines3, an nn.Module, or a "
            "function; load a saved model first, as by PPO.load(path)"
        )
    return lambda seen: network(each(_as_float, seen)), None, torch.device("cpu")


def _as_float(tensor: torch.Tensor) -> torch.Tensor:
    """Return a batch (B, ...) as float32, uint8 images scaled to [0, 1]."""
    is_image = tensor.dtype == torch.uint8 and tensor.ndim == 4
    return tensor.float() / 255 if is_image else tensor.float()


def _axis(shape: tuple[int, ...]) -> int:
    """Return along which axis ``VecFrameStack`` stacks observations of ``shape``, as policies see them."""
    return 0 if len(shape) == 3 else len(shape) - 1


def _stacked(shape: tuple[int, ...], frames: int) -> tuple[int, ...]:
    if frames == 1:
        return shape
    if not shape:
        raise ValueError(f"frame_stack={frames}: single numbers cannot be stacked; leave it out")
    axis = _axis(shape)
    return (*shape[:axis], frames * shape[axis], *shape[axis + 1 :])


def _frames(shapes: Any, taken: Any) -> int:
    """Return how many stacked observations of ``shapes`` have the shapes that are ``taken``; 1 if none have."""
    one, whole = (next(iter(shape.values())) if isinstance(shape, dict) else shape for shape in (shapes, taken))
    if not one or len(one) != len(whole) or whole[_axis(one)] % one[_axis(one)]:
        return 1
    frames = int(whole[_axis(one)] // one[_axis(one)])
    return frames if each(lambda shape: _stacked(shape, frames), shapes) == taken else 1


def _shapes(space: gym.Space[Any]) -> Any:
    if isinstance(space, gym.spaces.Dict):
        return {key: subspace.shape for key, subspace in space.items()}
    return space.shape


def _in_words(shapes: Any) -> str:
    return ", ".join(f"{key} {shape}" for key, shape in shapes.items()) if isinstance(shapes, dict) else str(shapes)


def _normalizes(vec_normalize: VecNormalize | None, shapes: Any, stacked: Any) -> bool:
    """Return whether observations are normalised before they are stacked, and not after."""
    if vec_normalize is None:
        return False
    if not isinstance(vec_normalize, VecNormalize):
        raise ValueError(
            f"vec_normalize is a {type(vec_normalize).__name__}, not a VecNormalize: give that of the training, or None"
        )
    taken = _shapes(vec_normalize.observation_space)
    if vec_normalize.norm_obs and taken not in (shapes, stacked):
        raise ValueError(
            f"vec_normalize takes observations of shape {_in_words(taken)}, the encoder {_in_words(stacked)}: an audit "
            "can apply only a VecNormalize that is the last wrapper before the policy, or before VecFrameStack"
        )
    return bool(taken == shapes != stacked)
