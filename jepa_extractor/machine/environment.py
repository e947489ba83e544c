"""A machine as a tabular Gymnasium environment."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from jepa_extractor.checks import require_index, require_type
from jepa_extractor.machine.machine import Machine


class MachineEnv(gym.Env[np.int64, np.int64]):
    """Episodes in a machine: the observation is the node, an episode begins in one of ``starts``, drawn uniformly.

    Args:
        machine: where it goes.

    Raises:
        ValueError: ``machine`` is no machine.
    """

    metadata = {"render_modes": []}  # noqa: RUF012  # as Gymnasium has it

    def __init__(self, machine: Machine) -> None:
        require_type("machine", machine, Machine, "learned_machine makes one")
        self.machine = machine
        nodes, actions = machine.successors.shape
        self.observation_space = spaces.Discrete(nodes)
        self.action_space = spaces.Discrete(actions)
        self._node = int(machine.starts[0])

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.int64, dict[str, Any]]:
        """Begin an episode; ``options={"node": n}`` names where."""
        super().reset(seed=seed)
        if options is not None and "node" in options:
            self._node = int(self.machine.nodes(options["node"])[0])
        else:
            self._node = int(self.np_random.choice(self.machine.starts))
        return np.int64(self._node), {"name": self.machine.names[self._node]}

    def step(self, action: np.int64) -> tuple[np.int64, float, bool, bool, dict[str, Any]]:
        """Follow an arrow.

        Raises:
            ValueError: ``action`` is no action.
        """
        require_index("action", action, self.machine.successors.shape[1], "an action")
        arrow = self._node, int(action)
        self._node = int(self.machine.successors[arrow])
        reward, ended = float(self.machine.rewards[arrow]), bool(self.machine.ends[arrow])
        return np.int64(self._node), reward, ended, False, {"name": self.machine.names[self._node]}


def machine_of_table(table: dict[int, dict[int, list[tuple[float, int, float, bool]]]], starts: Any) -> Machine:
    """Return the machine of a toy-text environment, from ``env.unwrapped.P`` and the states in which it begins.

    Args:
        table: for each state and action one tuple (probability 1, next state, reward, whether the episode ends).
        starts: states in which episodes begin, such as ``np.flatnonzero(env.unwrapped.initial_state_distrib)``.

    Raises:
        ValueError: a step is random, or ``table`` is no such table.
    """
    _require_table(table)
    for state, by_action in table.items():
        for action, ways in by_action.items():
            if len({way[1:] for way in ways if way[0] > 0}) != 1:
                raise ValueError(f"action {action} in state {state} is random: a machine is deterministic")
    rows = [[next(way for way in ways if way[0] > 0) for ways in by_action.values()] for by_action in table.values()]
    successors, rewards, ends = (np.array([[way[i] for way in row] for row in rows]) for i in (1, 2, 3))
    return Machine.from_mdp(successors.astype(np.int64), rewards, ends.astype(np.bool_), starts)


def _require_table(table: Any) -> None:
    """Raise ``ValueError`` unless states are 0..n-1, have the actions 0..k-1, and each step the four entries."""
    fits = isinstance(table, dict) and table and list(table) == list(range(len(table)))
    fits = fits and all(isinstance(row, dict) and row and list(row) == list(range(len(row))) for row in table.values())
    fits = fits and len({len(row) for row in table.values()}) == 1
    ways = [way for row in table.values() for given in row.values() for way in _entries(given)] if fits else [None]
    if not all(isinstance(way, tuple) and len(way) == 4 for way in ways):
        raise ValueError(
            "table is not {state: {action: [(probability, next state, reward, end)]}} with states and actions from 0 "
            "on: give env.unwrapped.P"
        )


def _entries(given: Any) -> list[Any]:
    return given if isinstance(given, list) and given else [None]
