"""A machine as a policy: one pass of the encoder says at which node one is, and a table what to do there."""

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from jepa_extractor.checks import require_type
from jepa_extractor.data.observations import Arrays
from jepa_extractor.data.spaces import as_batch
from jepa_extractor.jepa import JEPA
from jepa_extractor.machine.clusters import Prototypes
from jepa_extractor.planning.model import LatentModel, State, every_pair


class MachinePolicy:
    """Takes the action of the largest value at the node of an observation, the first of equal ones.

    Args:
        prototypes: say at which node a latent is.
        action_values: of each action at each node, (N, A).
        jepa: the encoder.

    Attributes:
        observation_space: that of the JEPA.
        action_space: that of the JEPA.

    Raises:
        ValueError: an argument has the wrong type, or ``action_values`` another shape.
    """

    def __init__(self, prototypes: Prototypes, action_values: NDArray[np.float64], jepa: JEPA) -> None:
        require_type("prototypes", prototypes, Prototypes, "machine.known_by(space) gives them")
        require_type("action_values", action_values, np.ndarray, "machine.action_values() gives them")
        require_type("jepa", jepa, JEPA, "that of a policy is model.policy.features_extractor.jepa")
        shape = (int(np.max(prototypes.nodes)) + 1, spaces.flatdim(jepa.action_space))
        if action_values.shape != shape or action_values.dtype.kind != "f" or not np.isfinite(action_values).all():
            raise ValueError(f"action_values has shape {action_values.shape}: give finite numbers {shape}")
        self._jepa = jepa
        self._prototypes = prototypes
        self._best = action_values.argmax(1)
        self.observation_space = self._jepa.observation_space
        self.action_space = self._jepa.action_space

    def predict(
        self,
        observation: Arrays,
        state: Any = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[Any], Any]:
        """Return the best action for one observation, or those for a batch (n, ...), and ``state`` as given.

        Args:
            observation: as the environment or Stable-Baselines3 gives it: images with channels first or last.
            state: is returned; a machine knows where it is from what it sees.
            episode_start: is not read.
            deterministic: is not read: the action is the best in either case.

        Raises:
            ValueError: the observations are not of the observation space.
        """
        del episode_start, deterministic
        observations, is_batch = as_batch(observation, self.observation_space)
        assert isinstance(self.action_space, spaces.Discrete)
        actions = self._best[self._prototypes.nodes_of(self._jepa.encode(observations))].astype(self.action_space.dtype)
        return (actions if is_batch else actions[0]), state


class MachinePlans:
    """Actions by a machine whose rewards and ends a model predicts, H steps ahead.

    Args:
        prototypes: say at which node a latent is.
        successors: where actions lead, (N, A).
        model: what they earn; its Q head, if there is one, says what comes after the last step.
        horizon: steps H, at least 1.
        discount: of a reward one step later, in [0, 1].
    """

    def __init__(
        self,
        prototypes: Prototypes,
        successors: NDArray[np.int64],
        model: LatentModel,
        horizon: int,
        discount: float,
    ) -> None:
        self._prototypes = prototypes
        space = model.action_space
        assert isinstance(space, spaces.Discrete)
        self._dtype = space.dtype
        nodes, actions = successors.shape
        first = np.searchsorted(prototypes.nodes, np.arange(nodes))  # the prototype near the mean of its node
        features = model.features(torch.arange(actions))
        with torch.no_grad():
            latents = torch.from_numpy(prototypes.latents[first]).to(features.device)
            predicted = model.predict(*every_pair(latents, features))
            values = model.best_value(latents, features).cpu().numpy().astype(np.float64)
        rewards, going_on = (
            tensor.cpu().numpy().reshape(nodes, actions) for tensor in (predicted.rewards, predicted.continue_prob)
        )
        for _ in range(horizon):
            action_values = rewards + discount * going_on * values[successors]
            values = action_values.max(1)
        self._best = action_values.argmax(1)

    def choose(
        self,
        latents: torch.Tensor,
        state: State = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[Any], State]:
        """Return the best action at the node of each of ``latents`` (B, D), and ``state`` as given."""
        del episode_start, deterministic
        return self._best[self._prototypes.nodes_of(latents.cpu().numpy())].astype(self._dtype), state
