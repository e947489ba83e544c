"""JEPAExtractor: a JEPA as the features extractor of a Stable-Baselines3 policy."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.preprocessing import (
    get_flattened_obs_dim,
    is_image_space_channels_first,
    preprocess_obs,
)
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

from jepa_extractor.auxiliary import AuxiliaryTask, make_tasks
from jepa_extractor.checks import require_choice, require_integer
from jepa_extractor.encoder import ENCODERS
from jepa_extractor.heads import LatentTransition
from jepa_extractor.jepa import JEPA
from jepa_extractor.transitions import TransitionBatch

CHUNK = 256  # observations encoded at once where there may be many


class JEPAExtractor(BaseFeaturesExtractor):
    """Features are the latents of a JEPA encoder. Its transition and heads live here too.

    So they are trained by the policy's own optimizer, and saved and loaded with the model. The policy
    alone gives them no gradient; ``JEPACallback`` does.

    Args:
        observation_space: an image, channels first (Stable-Baselines3 transposes images by itself).
        action_space: the environment's action space; ``jepa_policy_kwargs`` passes it on.
        latent_dim: width D of the latent, the number of features.
        encoder: name of the encoder, one of ``jepa_extractor.encoder.ENCODERS``.
        auxiliary: tasks by name (``"reward"``) or as ``AuxiliaryTask`` objects; may be empty.

    Raises:
        ValueError: an argument is out of range; the message names it, its value and what would be right.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any] | None = None,
        latent_dim: int = 64,
        encoder: str = "pooled",
        auxiliary: Sequence[str | AuxiliaryTask] = ("reward",),
    ) -> None:
        if not isinstance(action_space, spaces.Space):
            raise ValueError(
                f"action_space={action_space!r} is no space, and the latent transition needs the environment's: "
                "use policy_kwargs=jepa_policy_kwargs(env.action_space)"
            )
        require_integer("latent_dim", latent_dim, least=1)
        require_choice("encoder", encoder, ENCODERS)
        if not isinstance(observation_space, spaces.Box) or len(observation_space.shape) != 3:
            raise ValueError(
                f"observation_space={observation_space} is not an image: encoder={encoder!r} takes a Box of shape "
                "(channels, height, width)"
            )
        if not is_image_space_channels_first(observation_space):
            raise ValueError(
                f"observation_space={observation_space} has its channels last: wrap the environment in "
                "stable_baselines3.common.vec_env.VecTransposeImage, as Stable-Baselines3's algorithms do by themselves"
            )
        least_size = ENCODERS[encoder].least_size
        if min(observation_space.shape[1:]) < least_size:
            raise ValueError(
                f"observation_space={observation_space} is too small: encoder={encoder!r} takes images of at least "
                f"{least_size} x {least_size} pixels"
            )
        super().__init__(observation_space, latent_dim)
        tasks = make_tasks(auxiliary)
        action_dim = get_flattened_obs_dim(action_space)
        self.action_space = action_space
        self.jepa = JEPA(
            ENCODERS[encoder](observation_space.shape[0], latent_dim),
            LatentTransition(latent_dim, action_dim),
            tasks,
            {task.name: task.make_head(latent_dim, action_dim) for task in tasks},
        )

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """Map preprocessed observations (B, C, H, W) to latents (B, D)."""
        latents: torch.Tensor = self.jepa.encoder(observations)
        return latents

    def encode(self, observations: NDArray[np.generic], normalize_images: bool = True) -> NDArray[np.float32]:
        """Map raw observations (N, C, H, W) to latents (N, D), without gradient, in chunks."""
        device = next(self.parameters()).device
        latents = []
        with torch.no_grad():
            for start in range(0, len(observations), CHUNK):
                chunk = torch.from_numpy(observations[start : start + CHUNK]).to(device)
                latents.append(self(_features(chunk, self._observation_space, normalize_images)).cpu().numpy())
        return np.concatenate(latents)

    def losses(
        self, batch: TransitionBatch, normalize_images: bool = True
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Return ``JEPA.losses`` of a batch of raw transitions.

        Images travel to the device as they are stored and become float there, as the policy's own do.
        """
        device = next(self.parameters()).device
        observations, actions, rewards, terminated, labels, mask = (
            torch.from_numpy(array).to(device) for array in batch
        )
        pixels = _features(observations.flatten(0, 1), self._observation_space, normalize_images)
        encoded_actions = _features(actions.flatten(0, 1), self.action_space, normalize_images=False)
        return self.jepa.losses(
            pixels.reshape(observations.shape),
            encoded_actions.reshape(*actions.shape[:2], -1),
            rewards,
            terminated,
            labels,
            mask,
        )


def jepa_policy_kwargs(action_space: spaces.Space[Any], **extractor_kwargs: Any) -> dict[str, Any]:
    """Return the ``policy_kwargs`` that give a Stable-Baselines3 policy a ``JEPAExtractor``.

    Args:
        action_space: the environment's action space.
        extractor_kwargs: further arguments of ``JEPAExtractor``.

    Returns:
        A dict to which other policy arguments (``net_arch``, ``optimizer_class``, ...) may be added.
    """
    return {
        "features_extractor_class": JEPAExtractor,
        "features_extractor_kwargs": {"action_space": action_space, **extractor_kwargs},
    }


def _features(values: torch.Tensor, space: spaces.Space[Any], normalize_images: bool) -> torch.Tensor:
    """Preprocess a batch (B, ...) as Stable-Baselines3 does: images to [0, 1], discrete values to one-hot."""
    features = preprocess_obs(values, space, normalize_images=normalize_images)
    assert isinstance(features, torch.Tensor)
    return features
