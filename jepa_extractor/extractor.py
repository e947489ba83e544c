"""JEPAExtractor: a JEPA as the features extractor of a Stable-Baselines3 policy."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.preprocessing import preprocess_obs
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

from jepa_extractor.auxiliary import AuxiliaryTask, make_tasks
from jepa_extractor.checks import require_integer
from jepa_extractor.jepa import make_jepa
from jepa_extractor.transitions import TransitionBatch

CHUNK = 256  # observations encoded at once where there may be many


class JEPAExtractor(BaseFeaturesExtractor):
    """Features are the latents of a JEPA encoder. Its transition and heads live here too.

    So they are trained by the policy's own optimizer, and saved and loaded with the model. The policy
    alone gives them no gradient; ``JEPACallback`` does.

    Args:
        observation_space: for image encoders an image, channels first (Stable-Baselines3 transposes by itself).
        action_space: the environment's action space; ``jepa_policy_kwargs`` passes it on.
        latent_dim: width D of the latent, the number of features.
        encoder: ``"pooled"``, ``"nature"`` or ``"resnet"`` for images, ``"mlp"`` for flat observations,
            ``"identity"`` for observations that are latents already.
        auxiliary: tasks, any of ``"reward"`` (on the arriving latent), ``"action_reward"`` (on latent and
            action), ``"q"``, ``"random"``, ``"label"``, or ``AuxiliaryTask`` objects; may be empty.
        target: what the latent transition has to predict: ``"online"`` latents with gradient (the paper),
            ``"detach"`` without, or ``"ema"``: those of a slowly following encoder.
        horizon: steps k for which the transition is unrolled in latent space, at least 1.

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
        target: str = "online",
        horizon: int = 1,
    ) -> None:
        if not isinstance(action_space, spaces.Space):
            raise ValueError(
                f"action_space={action_space!r} is no space, and the latent transition needs the environment's: "
                "use policy_kwargs=jepa_policy_kwargs(env.action_space)"
            )
        if not isinstance(action_space, spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary) or (
            isinstance(action_space, spaces.Discrete | spaces.MultiDiscrete) and np.any(action_space.start)
        ):
            raise ValueError(
                f"action_space={action_space} is none in which Stable-Baselines3's policies act: Box, MultiBinary, or "
                "Discrete or MultiDiscrete that start at 0"
            )
        require_integer("latent_dim", latent_dim, least=1)
        require_integer("horizon", horizon, least=1)
        super().__init__(observation_space, latent_dim)
        self.action_space = action_space
        self.horizon = horizon
        self.jepa = make_jepa(observation_space, action_space, latent_dim, encoder, target, make_tasks(auxiliary))

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """Map preprocessed observations (B, ...) to latents (B, D)."""
        latents: torch.Tensor = self.jepa.encoder(observations)
        return latents

    def encode(self, observations: NDArray[np.generic], normalize_images: bool = True) -> NDArray[np.float32]:
        """Map raw observations (N, ...) to latents (N, D), without gradient, in chunks."""
        device = next(self.parameters()).device
        latents = []
        with torch.no_grad():
            for start in range(0, len(observations), CHUNK):
                chunk = torch.from_numpy(observations[start : start + CHUNK]).to(device)
                latents.append(self(_features(chunk, self._observation_space, normalize_images)).cpu().numpy())
        return np.concatenate(latents)

    def losses(
        self,
        batch: TransitionBatch,
        normalize_images: bool = True,
        next_actions: NDArray[np.generic] | None = None,
        discount: float = 0.99,
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Return ``JEPA.losses`` of a batch of raw transitions.

        Images travel to the device as they are stored and become float there, as the policy's own do.

        Args:
            batch: B stretches of k steps.
            normalize_images: the policy's ``normalize_images``.
            next_actions: the policy's action after each step, (B, k, *action shape), if a task needs them.
            discount: the algorithm's discount factor.
        """
        device = next(self.parameters()).device
        observations, actions, rewards, terminated, labels, mask = (
            torch.from_numpy(array).to(device, non_blocking=True) for array in batch
        )
        pixels = _features(observations.flatten(0, 1), self._observation_space, normalize_images)
        return self.jepa.losses(
            pixels.reshape(*observations.shape[:2], *pixels.shape[1:]),
            self._action_features(actions),
            rewards,
            terminated,
            labels,
            mask if mask.shape[1] > 1 else None,  # the first step of a stretch always belongs to it
            None if next_actions is None else self._action_features(torch.from_numpy(next_actions).to(device)),
            discount,
        )

    def _action_features(self, actions: torch.Tensor) -> torch.Tensor:
        """Map actions (B, k, *action shape) to features (B, k, A)."""
        features = _features(actions.flatten(0, 1), self.action_space, normalize_images=False)
        return features.reshape(*actions.shape[:2], -1)


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
