"""Whether two machines do the same, and the shortest sequence of actions that tells them apart."""

from dataclasses import dataclass

import numpy as np

from jepa_extractor.bisimulation.deterministic import distinguishing_actions, largest_bisimulation
from jepa_extractor.checks import require_type
from jepa_extractor.machine.machine import SAME_REWARD, Floats, Machine, Numbers

Outcome = tuple[float, bool]


@dataclass(frozen=True)
class Difference:
    """A sequence of actions that tells two machines apart.

    Attributes:
        start: a node in which episodes of ``machine`` begin, and no start of ``other`` does the same.
        other_start: the start of ``other`` that differs from it last.
        actions: a shortest sequence that tells these two apart, by number.
        action_names: the same by name.
        outcome: reward and end of the last action in ``machine``.
        other_outcome: the same in ``other``.
        swapped: whether the start that has no equal is one of the second machine that was compared.
    """

    start: int
    other_start: int
    actions: tuple[int, ...]
    action_names: tuple[str, ...]
    outcome: Outcome
    other_outcome: Outcome
    swapped: bool = False

    def __str__(self) -> str:
        told = [f"reward {reward:g}{', end' if end else ''}" for reward, end in (self.outcome, self.other_outcome)]
        sides = ("second", "first") if self.swapped else ("first", "second")
        return (
            f"{', '.join(self.action_names)}: {told[0]} from node {self.start} of the {sides[0]} machine, "
            f"{told[1]} from node {self.other_start} of the {sides[1]}"
        )


def compare(machine: Machine, other: Machine) -> Difference | None:
    """Return ``None`` where each start of one machine has an equal among the starts of the other, in both directions.

    Two nodes are equal if all sequences of actions earn the same rewards, to 1e-4, and end alike.

    Raises:
        ValueError: one is no machine, or they have other numbers of actions.
    """
    require_type("machine", machine, Machine, "learned_machine makes one")
    require_type("other", other, Machine, "learned_machine makes one")
    if machine.successors.shape[1] != other.successors.shape[1]:
        raise ValueError(
            f"the machines have {machine.successors.shape[1]} and {other.successors.shape[1]} actions: compare those "
            "of one action space"
        )
    (one, one_values), (two, two_values) = machine.as_mdp(), other.as_mdp()
    successors, values = np.vstack([one, two + len(one)]), np.vstack([one_values, two_values])
    classes = largest_bisimulation(successors, values, tolerance=SAME_REWARD)
    starts = np.unique(machine.starts), np.unique(other.starts) + len(one)
    for swapped, (these, those) in enumerate((starts, starts[::-1])):
        lonely = these[~np.isin(classes[these], classes[those])]
        if len(lonely):
            start, target, actions = _longest(successors, values, int(lonely[0]), those)
            names = tuple(machine.action_names[action] for action in actions)
            return Difference(
                start if start < len(one) else start - len(one),
                target if target < len(one) else target - len(one),
                tuple(actions),
                names,
                _outcome(successors, values, start, actions),
                _outcome(successors, values, target, actions),
                bool(swapped),
            )
    return None


def _longest(successors: Numbers, values: Floats, start: int, targets: Numbers) -> tuple[int, int, list[int]]:
    """Return ``start``, that of ``targets`` which differs from it last, and a shortest sequence that shows it."""
    words = {int(target): distinguishing_word(successors, values, start, int(target)) or [] for target in targets}
    best = max(words, key=lambda target: len(words[target]))
    return start, best, words[best]


def distinguishing_word(successors: Numbers, values: Floats, i: int, j: int) -> list[int] | None:
    """Return a shortest sequence of actions whose last one has different rewards or ends from i and from j.

    ``successors`` and ``values`` are as ``Machine.as_mdp`` returns them. If i and j are bisimilar there is none.
    """
    word = distinguishing_actions(successors, values, i, j, SAME_REWARD)
    if word is None:
        return None
    actions = successors.shape[1]
    for action in word:
        i, j = int(successors[i, action]), int(successors[j, action])
    differs = np.abs(values[i] - values[j]) > SAME_REWARD
    return [*word, int(np.flatnonzero(differs[:actions] | differs[actions:])[0])]


def _outcome(successors: Numbers, values: Floats, node: int, actions: list[int]) -> Outcome:
    for action in actions[:-1]:
        node = int(successors[node, action])
    return float(values[node, actions[-1]]), bool(values[node, successors.shape[1] + actions[-1]])
