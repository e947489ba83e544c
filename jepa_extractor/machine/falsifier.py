"""The falsifier: plays the environment beside a machine until a reward, an end or a class contradicts it."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np

from jepa_extractor.checks import require_bool, require_callable, require_integer, require_type
from jepa_extractor.data.observations import map_arrays
from jepa_extractor.jepa import JEPA
from jepa_extractor.machine.comparison import distinguishing_word
from jepa_extractor.machine.machine import SAME_REWARD, Machine, Numbers

RANDOM = 0.2  # the part of the steps that are random
See = Callable[[Any], int]


@dataclass(frozen=True)
class Counterexample:
    """What contradicts a machine.

    Attributes:
        what: ``"reward"``, ``"end"`` or ``"class"``: what the last action brought against the machine's word.
        expected: the reward, whether it ends, or the node, that the machine says.
        seen: the same as the environment showed it.
        start: the node in which the episode began.
        actions: from there, by number.
        action_names: the same by name.
        observations: what was seen on the way, one more than actions.
    """

    what: str
    expected: float
    seen: float
    start: int
    actions: tuple[int, ...]
    action_names: tuple[str, ...]
    observations: tuple[Any, ...] = field(repr=False)

    def __str__(self) -> str:
        way = ", ".join(self.action_names)
        return f"from node {self.start}, {way}: {self.what} {self.seen:g} where the machine says {self.expected:g}"


@dataclass(frozen=True)
class Verdict:
    """What came of a play beside a machine.

    Attributes:
        steps: made.
        agreeing: those at which reward, end and class were what the machine says.
        arrows: how many of the machine's arrows that can be taken were taken.
        takeable: how many there are.
        counterexample: the first, or ``None``.
    """

    steps: int
    agreeing: int
    arrows: int
    takeable: int
    counterexample: Counterexample | None

    @property
    def agreement(self) -> float:
        """The share of steps that agree, in [0, 1]."""
        return self.agreeing / self.steps

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% interval of the agreement, of Clopper and Pearson."""
        from scipy.special import betaincinv

        wrong = self.steps - self.agreeing
        low = float(betaincinv(self.agreeing, wrong + 1, 0.025)) if self.agreeing else 0.0
        return low, float(betaincinv(self.agreeing + 1, wrong, 0.975)) if wrong else 1.0

    def __str__(self) -> str:
        low, high = self.interval
        told = "nothing contradicts it" if self.counterexample is None else str(self.counterexample)
        return (
            f"{self.agreeing} of {self.steps} steps agree ({low:.3f} to {high:.3f}), {self.arrows} of {self.takeable} "
            f"arrows taken; {told}"
        )


def falsify(
    machine: Machine,
    env: gym.Env[Any, Any],
    steps: int = 2_000,
    seed: int = 0,
    jepa: JEPA | None = None,
    see: See | None = None,
    go_on: bool = False,
) -> Verdict:
    """Play ``env`` beside ``machine``, as conformance tests do, and return what was found.

    The play goes by the shortest way to an arrow that was taken least, takes it, then follows the actions that tell the
    node where it leads from another one; one step in five is random. Where arrows that were taken less are out of reach
    it resets the environment.

    Args:
        machine: what is tested.
        env: with the machine's actions; not a vector environment.
        steps: at most, at least 1.
        seed: of the environment and of what is random, at least 0.
        jepa: by whose encoder classes are told; by default that of the machine.
        see: tells the node of an observation in place of a JEPA; without either, classes are not tested, and the
            machine must have one start.
        go_on: whether to go on after a counterexample, from the node that is seen, and count agreement.

    Raises:
        ValueError: an argument is out of range, or nothing tells in which node an episode begins.
    """
    require_type("machine", machine, Machine, "learned_machine makes one")
    require_type("env", env, gym.Env, "give one environment, as gym.make makes it")
    require_integer("steps", steps, least=1)
    require_integer("seed", seed, least=0)
    require_bool("go_on", go_on)
    if see is not None:
        require_callable("see", see, "an observation, and returns its node")
    count = machine.successors.shape[1]
    if getattr(env.action_space, "n", None) != count:
        raise ValueError(f"env acts in {env.action_space}, and the machine has {count} actions: give its environment")
    tells = see is not None or jepa is not None or machine.jepa is not None
    if see is None and tells:
        see = _by_encoder(machine, jepa)
    if see is None and len(machine.starts) > 1:
        raise ValueError(
            f"the machine has {len(machine.starts)} starts, and nothing tells in which an episode begins: give its jepa"
        )
    play = _Play(machine, np.random.default_rng(seed))
    agreeing, first, node, over = 0, None, 0, True
    for step in range(steps):
        if over or play.is_done(node):
            observation, _ = env.reset(seed=seed if step == 0 else None)
            node = int(machine.starts[0]) if see is None else see(observation)
            start, actions, seen = node, [], [_copied(observation)]
            play.begin()
        action = play.action(node)
        observation, reward, terminated, truncated, _ = env.step(action)
        actions.append(action)
        seen.append(_copied(observation))
        expected = int(machine.successors[node, action])
        found = expected if see is None else see(observation)
        wrong = _wrong(machine, node, action, float(reward), bool(terminated), found)
        agreeing += wrong is None
        if wrong is not None and first is None:
            names = tuple(machine.action_names[one] for one in actions)
            first = Counterexample(*wrong, start, tuple(actions), names, tuple(seen))
        if wrong is not None and not go_on:
            return Verdict(step + 1, agreeing, play.arrows, play.takeable, first)
        node, over = found, terminated or truncated
    return Verdict(steps, agreeing, play.arrows, play.takeable, first)


def _by_encoder(machine: Machine, jepa: JEPA | None) -> See:
    encoder = machine.encoder(jepa)
    known = machine.known_by(encoder.action_space)

    def see(observation: Any) -> int:
        batch = map_arrays(lambda array: np.asarray(array)[None], observation)
        return int(known.nodes_of(encoder.encode(batch))[0])

    return see


def _copied(observation: Any) -> Any:
    return map_arrays(np.array, observation)


def _wrong(
    machine: Machine, node: int, action: int, reward: float, ended: bool, found: int
) -> tuple[str, float, float] | None:
    """Return what contradicts the arrow, what it says, and what was seen."""
    says = float(machine.rewards[node, action])
    if abs(reward - says) > SAME_REWARD:
        return "reward", says, reward
    if ended != machine.ends[node, action]:
        return "end", float(machine.ends[node, action]), float(ended)
    if found != machine.successors[node, action]:
        return "class", float(machine.successors[node, action]), float(found)
    return None


class _Play:
    """Chooses actions such that each arrow is taken, and what follows it is looked at."""

    def __init__(self, machine: Machine, generator: np.random.Generator) -> None:
        self._machine, self._generator = machine, generator
        self._taken: Numbers = np.zeros(machine.successors.shape, np.int64)
        self._live = machine.live
        self._plan: deque[int] = deque()
        self._mdp = machine.as_mdp()

    @property
    def takeable(self) -> int:
        return int(self._live.sum() * self._taken.shape[1])

    @property
    def arrows(self) -> int:
        return int((self._taken[self._live] > 0).sum())

    def begin(self) -> None:
        self._plan.clear()

    def is_done(self, node: int) -> bool:
        """Return whether no way leads from ``node`` to the arrows that were taken least."""
        if self._plan:
            return False
        here, action = self._ways(node)[0]
        return bool(self._taken[here, action] > self._taken[self._live].min())

    def action(self, node: int) -> int:
        if not self._plan and self._generator.random() >= RANDOM:
            self._plan.extend(self._way(node))
        action = self._plan.popleft() if self._plan else int(self._generator.integers(0, self._taken.shape[1]))
        self._taken[node, action] += 1
        return action

    def _ways(self, node: int) -> tuple[tuple[int, int], dict[int, list[int]]]:
        """Return the nearest of the arrows in reach that were taken least, and the shortest way to each node."""
        ways: dict[int, list[int]] = {node: []}
        waiting, best = deque([node]), (node, 0)
        while waiting:
            here = waiting.popleft()
            for action in self._generator.permutation(self._taken.shape[1]).tolist():
                if self._taken[here, action] < self._taken[best]:
                    best = here, action
                there = int(self._machine.successors[here, action])
                if not self._machine.ends[here, action] and there not in ways:
                    ways[there] = [*ways[here], action]
                    waiting.append(there)
        return best, ways

    def _way(self, node: int) -> list[int]:
        """Return the shortest way to the arrow that was taken least, that arrow, and a word that looks at its end."""
        (here, action), ways = self._ways(node)
        way = [*ways[here], action]
        if self._machine.ends[here, action]:
            return way
        other = int(self._generator.integers(0, len(self._taken)))  # the word tells the node from this one
        word = distinguishing_word(*self._mdp, int(self._machine.successors[here, action]), other)
        return way + (word or [])
