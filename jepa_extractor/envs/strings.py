"""Strings: an environment whose observation is the string so far, and whose reward says whether it is in a language."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from jepa_extractor.bisimulation.inputs import checked_successors
from jepa_extractor.checks import as_array, require_index, require_integer, shown

Language = tuple[list[list[int]], list[int]]  # successors (states, letters), and whether each state accepts; 0 begins

# Tomita's seven languages over a and b, as their minimal automata (Tomita, "Dynamic construction of finite-state
# automata from examples using hill-climbing", 1982). Here a is his 0, b his 1.
TOMITA: dict[int, Language] = {
    1: ([[1, 0], [1, 1]], [1, 0]),  # b*
    2: ([[2, 1], [0, 2], [2, 2]], [1, 0, 0]),  # (ba)*
    3: ([[0, 1], [2, 0], [3, 4], [2, 1], [4, 4]], [1, 1, 0, 1, 0]),  # no odd run of b and then an odd run of a
    4: ([[1, 0], [2, 0], [3, 0], [3, 3]], [1, 1, 1, 0]),  # no aaa
    5: ([[1, 2], [0, 3], [3, 0], [2, 1]], [1, 0, 0, 0]),  # even numbers of a and of b
    6: ([[1, 2], [2, 0], [0, 1]], [1, 0, 0]),  # as many a as b, modulo 3
    7: ([[0, 1], [2, 1], [2, 3], [4, 3], [4, 4]], [1, 1, 1, 1, 0]),  # a*b*a*b*
}


def parentheses(depth: int) -> Language:
    """Return the language of balanced parentheses of nesting up to ``depth``, at least 1; letter 0 opens."""
    require_integer("depth", depth, least=1)
    dead = depth + 1
    rows = [[level + 1 if level < depth else dead, level - 1 if level else dead] for level in range(depth + 1)]
    return [*rows, [dead, dead]], [1] + [0] * (depth + 1)


def random_language(states: int, letters: int, seed: int) -> Language:
    """Return a random automaton: each arrow leads anywhere, each state accepts with probability 1/2.

    It need not be minimal; ``Machine.from_mdp(...).minimised()`` makes it so.
    """
    require_integer("states", states, least=1)
    require_integer("letters", letters, least=1)
    require_integer("seed", seed, least=0)
    rng = np.random.default_rng(seed)
    return rng.integers(states, size=(states, letters)).tolist(), rng.integers(2, size=states).tolist()


class Strings(gym.Env[NDArray[np.float32], np.int64]):
    """Append letters to a string. The reward is 1 where the string is in the language, otherwise 0.

    The observation is float32 ``(longest,)``: 1 plus the number of each letter, then 0. An episode is truncated when
    the string has ``longest`` letters. ``info["state"]`` is the automaton's state.

    The largest bisimulation of what can be reached is the minimal automaton, by Myhill and Nerode.

    Args:
        successors: of the automaton, integers (states, letters); 0 is the first state.
        accepting: which states accept, (states,), truth values.
        longest: letters of the longest string, at least 1.

    Raises:
        ValueError: ``successors`` and ``accepting`` are no automaton, or ``longest`` is out of range.
    """

    metadata = {"render_modes": []}  # noqa: RUF012  # as Gymnasium has it

    def __init__(self, successors: ArrayLike, accepting: Sequence[Any], longest: int = 16) -> None:
        self.successors = checked_successors(successors)
        self.accepting = as_array("accepting", accepting)
        if self.accepting.dtype.kind not in "biu":
            raise ValueError(f"accepting={shown(accepting)} are not truth values: give one for each state")
        self.accepting = self.accepting.astype(np.bool_)
        if self.accepting.shape != (len(self.successors),):
            raise ValueError(
                f"accepting has shape {self.accepting.shape} for {len(self.successors)} states: give one for each"
            )
        require_integer("longest", longest, least=1)
        self.longest = longest
        letters = self.successors.shape[1]
        self.observation_space = spaces.Box(0, letters, (longest,), np.float32)
        self.action_space = spaces.Discrete(letters)
        self._string: list[int] = []
        self._state = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin with the empty string."""
        super().reset(seed=seed, options=options)
        self._string, self._state = [], 0
        return self._seen(), {"state": self._state}

    def step(self, action: np.int64) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Append a letter.

        Raises:
            ValueError: ``action`` is no letter.
        """
        require_index("action", action, self.successors.shape[1], "a letter")
        self._string.append(int(action))
        self._state = int(self.successors[self._state, int(action)])
        over = len(self._string) >= self.longest
        return self._seen(), float(self.accepting[self._state]), False, over, {"state": self._state}

    def _seen(self) -> NDArray[np.float32]:
        seen = np.zeros(self.longest, np.float32)
        seen[: len(self._string)] = np.array(self._string, np.float32) + 1
        return seen
