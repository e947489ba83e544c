"""A machine as a policy: one pass of the encoder says at which node one is, and a table what to do there."""

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from jepa_extractor.data.observations import Arrays
from jepa_extractor.data.spaces import as_batch
from jepa_extractor.jepa import JEPA
from jepa_extractor.machine.clusters import nearest_of
from jepa_extractor.machine.machine import Floats, Machine


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


def nodes_seen(machine: Machine, jepa: JEPA, observations: Arrays) -> NDArray[np.int64]:
    """Return the node of each of ``observations`` (n, ...), (n,): that of the nearest prototype."""
    assert machine.prototypes is not None
    assert machine.prototype_nodes is not None
    nearest, _ = nearest_of(jepa.encode(observations), machine.prototypes)
    return machine.prototype_nodes[nearest]


def require_jepa(machine: Machine, jepa: JEPA | None) -> JEPA:
    """Return ``jepa``, or that of the machine; raise ``ValueError`` where it cannot tell the machine's nodes."""
    jepa = machine.jepa if jepa is None else jepa
    if jepa is None:
        raise ValueError("jepa=None, and the machine has none, as one from a file: give the JEPA that it was made from")
    if machine.prototypes is None or machine.prototype_nodes is None:
        raise ValueError("the machine has no prototypes by which to know its nodes: make it by learned_machine")
    if machine.prototypes.shape[1] != jepa.latent_dim:
        raise ValueError(
            f"jepa has latents of width {jepa.latent_dim}, and the machine's prototypes {machine.prototypes.shape[1]}: "
            "give the JEPA that it was made from"
        )
    if not isinstance(jepa.action_space, spaces.Discrete) or jepa.action_space.n != machine.successors.shape[1]:
        raise ValueError(
            f"jepa acts in {jepa.action_space}, and the machine has {machine.successors.shape[1]} actions: give the "
            "JEPA that it was made from"
        )
    return jepa
