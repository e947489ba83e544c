"""Machines: their quotient, values and goals, against slow twins."""

import itertools

import numpy as np
import pytest

from jepa_extractor.machine import Machine, compare
from tests.machine.machines import distance, outcomes, random_machine, shortest_difference, words


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("ends", [0.0, 0.3])
def test_the_quotient_has_one_node_for_each_behaviour(seed, ends):
    """Nodes that can be reached are one exactly where all words of six actions have the same outcomes."""
    machine = random_machine(seed, nodes=5, ends=ends)
    small = machine.minimised()
    reached = {0}
    for _ in range(5):
        reached |= {int(machine.successors[node, a]) for node in reached for a in range(2) if not machine.ends[node, a]}
    behaviours = {str([outcomes(machine, node, word) for word in words(2, 5)]) for node in reached}
    # where arrows end, the node that they lead to is one more: nothing follows there
    assert small.live.sum() == len(behaviours)
    assert len(small.names) - small.live.sum() in ((0, 1) if ends else (0,))
    assert compare(machine, small) is None
    assert small.minimised().successors.tolist() == small.successors.tolist()


def test_what_was_seen_is_added_up():
    """Two nodes that do the same are one, with the counts of both and the share of what agrees."""
    machine = Machine(
        np.array([[1], [2], [1]]),
        np.zeros((3, 1)),
        np.zeros((3, 1), bool),
        np.array([[2], [6], [0]]),
        np.array([[1.0], [0.5], [0.25]]),
        np.array([2, 0]),
        ("a", "b", "c"),
        ("go",),
        np.eye(3, dtype=np.float32),
        np.arange(3),
        np.arange(6).reshape(3, 2, 1),
    )
    small = machine.minimised()
    assert small.names == ("a",)
    assert small.counts.tolist() == [[8]]
    assert small.certainty.tolist() == [[(2 + 3) / 8]]
    assert small.starts.tolist() == [0]
    assert small.prototype_nodes.tolist() == [0, 0, 0]
    assert small.pictures.tolist() == [[[0], [1]]]


@pytest.mark.parametrize("seed", range(10))
def test_values_are_those_of_brute_force(seed):
    """With discount 0.5 the best of all words of twelve actions is the value, but for 0.5 ** 12."""
    machine = random_machine(seed, nodes=4, ends=0.2)
    best = np.full((4, 2), -np.inf)
    for node, word in itertools.product(range(4), itertools.product(range(2), repeat=10)):
        total = sum(0.5**t * reward for t, (reward, _) in enumerate(outcomes(machine, node, word)))
        best[node, word[0]] = max(best[node, word[0]], total)
    np.testing.assert_allclose(machine.action_values(discount=0.5), best, atol=0.5**9)
    np.testing.assert_allclose(machine.values(discount=0.5), best.max(1), atol=0.5**9)


@pytest.mark.parametrize("seed", range(10))
def test_a_goal_is_worth_what_its_distance_says(seed):
    """Arriving after n steps is worth 0.9 ** (n - 1), and 0 where no way leads there; ends are no way."""
    machine = random_machine(seed, nodes=8, ends=0.2)
    for goal in (3, [2, 5]):
        steps = [distance(machine, node, {goal} if isinstance(goal, int) else set(goal)) for node in range(8)]
        expected = [0.0 if n is None else 0.9 ** (n - 1) for n in steps]
        np.testing.assert_allclose(machine.values(goal, discount=0.9), expected, atol=1e-12)


def test_goals_by_name():
    """A goal is a node's number or name; others are named, with those that exist."""
    machine = random_machine(0).renamed(["none", "one", "two", "three", "four", "five"])
    assert machine.nodes(["two", "none"]).tolist() == [2, 0]
    assert machine.nodes(3).tolist() == [3]
    np.testing.assert_array_equal(machine.values("two"), machine.values(2))
    for goal, message in (
        ("six", "goal='six' is no node.*none, one"),
        (6, "goal=6"),
        (True, "goal=True"),
        ([], "empty"),
    ):
        with pytest.raises(ValueError, match=message):
            machine.values(goal)


def test_rewards_of_arriving():
    """What is given for each state belongs to every arrow that leads there."""
    machine = Machine.from_mdp([[1, 0], [0, 1]], [2.0, 3.0], ends=[False, True])
    assert machine.rewards.tolist() == [[3.0, 2.0], [2.0, 3.0]]
    assert machine.ends.tolist() == [[True, False], [False, True]]
    assert machine.live.tolist() == [True, True]
    assert Machine.from_mdp([[1, 0], [0, 1]], [2.0, 3.0], [False, True], [0]).live.tolist() == [True, False]


def test_values_that_grow():
    """Rewards for ever, undiscounted, are an error that names the discount."""
    machine = Machine.from_mdp([[0]], [1.0])
    with pytest.raises(ValueError, match=r"discount=1\.0 lets values grow"):
        machine.values(discount=1.0)
    with pytest.raises(ValueError, match="discount=2"):
        machine.values(discount=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[0, 2], [0, 0]], [0, 0]), r"successors\[0, 1\]=2"),
        (([[0, 1], [0, 0]], [0, 0, 0]), "rewards has shape"),
        (([[0, 1], [0, 0]], [0, np.nan]), "rewards are not all finite"),
        (([[0, 1], [0, 0]], [0, 0], [True]), "ends has shape"),
        (([[0, 1], [0, 0]], [0, 0], None, [2]), r"starts=array\(\[2\]\) is not an array of integers .*, each in 0..1"),
        (([[0, 1], [0, 0]], [0, 0], None, []), "starts is empty"),
        (([[0, 1], [0, 0]], [0, 0], None, [0], ["a", "a"]), "names=.*not a tuple of 2 different"),
        (([[0, 1], [0, 0]], [0, 0], None, [0], ["a", "b"], ["x"]), "action_names=.*not a tuple of 2 different"),
    ],
)
def test_what_is_no_machine(arguments, message):
    """Each argument that does not fit is named."""
    with pytest.raises(ValueError, match=message):
        Machine.from_mdp(*arguments)


@pytest.mark.parametrize("seed", range(30))
def test_a_difference_is_shortest(seed):
    """Against all words: machines are equal where none differs, and the word that is returned is as short as any."""
    one, other = random_machine(seed, 4, ends=0.1), random_machine(seed, 4, ends=0.1)
    node, action = seed % 4, seed // 4 % 2
    other.successors[node, action] = (other.successors[node, action] + 1) % 4
    expected = shortest_difference(one, 0, other, 0, longest=8)
    found = compare(one, other)
    assert (found is None) == (expected is None)
    if found is not None:
        assert len(found.actions) == expected
        assert (found.start, found.other_start, found.swapped) == (0, 0, False)
        assert outcomes(one, 0, found.actions)[-1] == found.outcome
        assert outcomes(other, 0, found.actions)[-1] == found.other_outcome
        assert found.outcome != found.other_outcome
        assert f"reward {found.outcome[0]:g}" in str(found)


def test_each_start_needs_an_equal():
    """A start that only the second machine has is found too, and the side is named."""
    one = Machine.from_mdp([[0], [0]], [[0.0], [1.0]], starts=[0])
    both = Machine.from_mdp([[0], [0]], [[0.0], [1.0]], starts=[0, 1])
    assert compare(one, one) is None
    found = compare(one, both)
    assert found is not None
    assert (found.swapped, found.start, found.actions, found.outcome) == (True, 1, (0,), (1.0, False))
    assert "from node 1 of the second machine" in str(found)
    with pytest.raises(ValueError, match="1 and 2 actions"):
        compare(one, random_machine(0))
