"""The falsifier against planted faults."""

from dataclasses import replace

import numpy as np
import pytest

from jepa_extractor.machine import Machine, MachineEnv, Verdict, compare, falsify
from tests.machine.machines import random_machine


def planted(machine, seed):
    """Return the machine with one arrow that leads elsewhere, at a node where actions are taken."""
    rng = np.random.default_rng(seed)
    node, action = int(rng.choice(np.flatnonzero(machine.live))), int(rng.integers(2))
    successors = machine.successors.copy()
    successors[node, action] = (successors[node, action] + rng.integers(1, len(successors))) % len(successors)
    return replace(machine, successors=successors), (node, action)


@pytest.mark.parametrize("seed", range(50))
def test_a_wrong_arrow_is_found_by_its_class(seed):
    """Where classes are seen, each planted arrow is found, and the counterexample ends with it."""
    truth = random_machine(seed, nodes=9, ends=0.1, starts=range(9))
    wrong, arrow = planted(truth, seed)
    verdict = falsify(wrong, MachineEnv(truth), steps=600, seed=seed, see=int)
    found = verdict.counterexample
    assert found is not None
    assert (int(found.observations[-2]), found.actions[-1]) == arrow
    assert (found.what, found.expected, found.seen) == (
        "class",
        wrong.successors[arrow],
        truth.successors[arrow],
    )
    assert found.observations[0] == found.start
    assert len(found.observations) == len(found.actions) + 1
    assert "class" in str(found)
    assert falsify(truth, MachineEnv(truth), steps=100, seed=seed, see=int).counterexample is None


@pytest.mark.parametrize("seed", range(50))
def test_a_wrong_arrow_is_found_by_rewards_alone(seed):
    """Where no class is seen, it is found exactly if the machines differ, which ``compare`` knows."""
    truth = random_machine(seed, nodes=9)
    wrong, _ = planted(truth, seed)
    verdict = falsify(wrong, MachineEnv(truth), steps=1_500, seed=seed)
    assert (verdict.counterexample is None) == (compare(wrong, truth) is None)


def test_wrong_rewards_and_ends():
    """What is wrong is named."""
    truth = random_machine(0, nodes=4, starts=range(4))
    paid, ended = truth.rewards.copy(), truth.ends.copy()
    paid[2, 1] += 0.5
    ended[1, 0] = True
    one = falsify(replace(truth, rewards=paid), MachineEnv(truth), see=int).counterexample
    other = falsify(replace(truth, ends=ended), MachineEnv(truth), see=int).counterexample
    assert (one.what, one.expected, one.seen) == ("reward", paid[2, 1], truth.rewards[2, 1])
    assert (other.what, other.expected, other.seen) == ("end", 1.0, 0.0)


def test_it_goes_on_and_counts():
    """After a counterexample it goes on from what is seen; each step by the wrong arrow disagrees."""
    truth = Machine.from_mdp([[1], [0]], [0.0, 0.0])
    wrong = replace(truth, rewards=np.array([[1.0], [0.0]]))
    verdict = falsify(wrong, MachineEnv(truth), steps=10, see=int, go_on=True)
    assert (verdict.steps, verdict.agreeing, verdict.agreement) == (10, 5, 0.5)
    assert (verdict.arrows, verdict.takeable) == (2, 2)
    assert "5 of 10 steps agree" in str(verdict)


def test_the_interval():
    """Where all n steps agree, the lower bound is 0.025 ** (1 / n); where none does, the upper one is its mirror."""
    low, high = Verdict(100, 100, 1, 1, None).interval
    assert high == 1.0
    assert low == pytest.approx(0.025**0.01)
    low, high = Verdict(100, 0, 1, 1, None).interval
    assert low == 0.0
    assert high == pytest.approx(1 - 0.025**0.01)


def test_each_arrow_is_taken_soon():
    """On a chain that random words hardly walk, every arrow is taken within a few ways along it."""
    chain = np.array([[max(state - 1, 0), min(state + 1, 19)] for state in range(20)])
    machine = Machine.from_mdp(chain, np.zeros(20), starts=[0])
    verdict = falsify(machine, MachineEnv(machine), steps=100)
    assert (verdict.arrows, verdict.takeable) == (40, 40)


def test_bad_input():
    """Each is named, with the mend."""
    machine = random_machine(0)
    env = MachineEnv(machine)
    for arguments, options, message in (
        ((env, env), {}, "learned_machine makes one"),
        ((machine, machine), {}, "gym.make"),
        ((machine, env), {"steps": 0}, "steps=0"),
        ((machine, env), {"seed": -1}, "seed=-1"),
        ((machine, MachineEnv(random_machine(0, actions=3))), {}, "2 actions"),
        ((random_machine(0, starts=[0, 1]), env), {}, "2 starts"),
    ):
        with pytest.raises(ValueError, match=message):
            falsify(*arguments, **options)
