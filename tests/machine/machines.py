"""Random machines, and slow twins of what is computed about them."""

import itertools
from collections import deque

import numpy as np

from jepa_extractor.machine import Machine


def random_machine(seed, nodes=6, actions=2, ends=0.0, starts=(0,)):
    """Return a machine with rewards 0 and 1 on its arrows."""
    rng = np.random.default_rng(seed)
    successors = rng.integers(nodes, size=(nodes, actions))
    rewards = rng.integers(2, size=(nodes, actions)).astype(float)
    return Machine.from_mdp(successors, rewards, rng.random((nodes, actions)) < ends, np.array(starts))


def outcomes(machine, node, word):
    """Return reward and end of each action of ``word`` from ``node``; after an end nothing happens."""
    told, over = [], False
    for action in word:
        if over:
            told.append((0.0, False))
            continue
        told.append((float(machine.rewards[node, action]), bool(machine.ends[node, action])))
        over, node = bool(machine.ends[node, action]), int(machine.successors[node, action])
    return told


def words(actions, longest):
    """Yield all sequences of 1 to ``longest`` actions, the shortest first."""
    for length in range(1, longest + 1):
        yield from itertools.product(range(actions), repeat=length)


def shortest_difference(one, node, other, other_node, longest):
    """Return the length of a shortest word whose outcomes differ, by trying all; ``None`` if there is none."""
    tried = words(one.successors.shape[1], longest)
    return next((len(w) for w in tried if outcomes(one, node, w) != outcomes(other, other_node, w)), None)


def distance(machine, start, goals):
    """Return how many steps the shortest way from ``start`` to arrive at one of ``goals`` has; ``None`` without one."""
    waiting, seen = deque([(start, 0)]), {start}
    while waiting:
        node, steps = waiting.popleft()
        for action in range(machine.successors.shape[1]):
            to = int(machine.successors[node, action])
            if to in goals:
                return steps + 1
            if to not in seen and not machine.ends[node, action]:
                seen.add(to)
                waiting.append((to, steps + 1))
    return None
