"""A machine as a policy: one pass of the encoder says at which node one is, and a table what to do there."""

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from jepa_extractor.data.observations import Arrays
from jepa_extractor.data.spaces import as_batch
from jepa_extractor.jepa import JEPA
from jepa_extractor.machine.clusters import nearest_of
from jepa_extractor.machine.machine import Floats, Machine
from jepa_extractor.planning.model import LatentModel, State, every_pair


class MachinePolicy:
    """Takes the action of the largest value at the node of an observation, the first of equal ones.

    Args:
        machine: says at which node an observation is.
        action_values: of each action at each node, (N, A).
        jepa: the encoder; by default that of the machine.

    Attributes:
        observation_space: that of the JEPA.
        action_space: that of the JEPA.

    Raises:
        ValueError: there is no JEPA, or the machine has no prototypes.
    """

    def __init__(self, machine: Machine, action_values: Floats, jepa: JEPA | None = None) -> None:
        self._jepa = require_jepa(machine, jepa)
        self._machine = machine
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
        actions = self._best[nodes_seen(self._machine, self._jepa, observations)].astype(self.action_space.dtype)
        return (actions if is_batch else actions[0]), state


class MachinePlans:
    """Actions by a machine whose rewards and ends a model predicts, H steps ahead.

    Args:
        machine: where actions lead.
        model: what they earn; its Q head, if there is one, says what comes after the last step.
        horizon: steps H, at least 1.
        discount: of a reward one step later, in [0, 1].

    Raises:
        ValueError: the machine has no prototypes, or they or the actions are not those of the model.
    """

    def __init__(self, machine: Machine, model: LatentModel, horizon: int, discount: float) -> None:
        self._prototypes, self._nodes = _prototypes(machine, model.action_space)
        space = model.action_space
        assert isinstance(space, spaces.Discrete)
        self._dtype = space.dtype
        nodes, actions = machine.successors.shape
        first = np.searchsorted(self._nodes, np.arange(nodes))  # the prototype near the mean of its node
        features = model.features(torch.arange(actions))
        with torch.no_grad():
            latents = torch.from_numpy(self._prototypes[first]).to(features.device)
            predicted = model.predict(*every_pair(latents, features))
            values = model.best_value(latents, features).cpu().numpy().astype(np.float64)
        rewards, going_on = (
            tensor.cpu().numpy().reshape(nodes, actions) for tensor in (predicted.rewards, predicted.continue_prob)
        )
        for _ in range(horizon):
            action_values = rewards + discount * going_on * values[machine.successors]
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
        nearest, _ = nearest_of(latents.cpu().numpy(), self._prototypes)
        return self._best[self._nodes[nearest]].astype(self._dtype), state


def nodes_seen(machine: Machine, jepa: JEPA, observations: Arrays) -> NDArray[np.int64]:
    """Return the node of each of ``observations`` (n, ...), (n,): that of the nearest prototype."""
    prototypes, nodes = _prototypes(machine, jepa.action_space)
    nearest, _ = nearest_of(jepa.encode(observations), prototypes)
    return nodes[nearest]


def require_jepa(machine: Machine, jepa: JEPA | None) -> JEPA:
    """Return ``jepa``, or that of the machine; raise ``ValueError`` where it cannot tell the machine's nodes."""
    jepa = machine.jepa if jepa is None else jepa
    if jepa is None:
        raise ValueError("jepa=None, and the machine has none, as one from a file: give the JEPA that it was made from")
    prototypes, _ = _prototypes(machine, jepa.action_space)
    if prototypes.shape[1] != jepa.latent_dim:
        raise ValueError(
            f"jepa has latents of width {jepa.latent_dim}, and the machine's prototypes {prototypes.shape[1]}: give "
            "the JEPA that it was made from"
        )
    return jepa


def _prototypes(machine: Machine, space: spaces.Space[Any]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return prototypes and their nodes; raise ``ValueError`` where there are none, or the actions are others."""
    if machine.prototypes is None or machine.prototype_nodes is None:
        raise ValueError("the machine has no prototypes by which to know its nodes: make it by learned_machine")
    if not isinstance(space, spaces.Discrete) or space.n != machine.successors.shape[1]:
        raise ValueError(
            f"jepa acts in {space}, and the machine has {machine.successors.shape[1]} actions: give the JEPA that it "
            "was made from"
        )
    return machine.prototypes, machine.prototype_nodes
