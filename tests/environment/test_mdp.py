"""What a count does, apart from any picture."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from counting_env import CountingEnv, count_mdp
from counting_env.kernels import ADD, REMOVE, next_count


def test_actions_move_the_count_by_one_and_stop_at_the_ends() -> None:
    """Removing and adding change the count by one, clipped at 0 and 8."""
    assert [next_count(count, REMOVE, 0, 8, False) for count in range(9)] == [0, 0, 1, 2, 3, 4, 5, 6, 7]
    assert [next_count(count, ADD, 0, 8, False) for count in range(9)] == [1, 2, 3, 4, 5, 6, 7, 8, 8]


def test_with_wrap_the_ends_meet() -> None:
    """Adding at the largest count leads to the smallest, removing at the smallest to the largest."""
    assert [next_count(count, REMOVE, 2, 5, True) for count in range(2, 6)] == [5, 2, 3, 4]
    assert [next_count(count, ADD, 2, 5, True) for count in range(2, 6)] == [3, 4, 5, 2]


@pytest.mark.parametrize(
    ("target", "max_count", "rewards"),
    [
        (4, 8, [-1.0, -0.75, -0.5, -0.25, 1.0, -0.25, -0.5, -0.75, -1.0]),
        (2, 8, [-2 / 6, -1 / 6, 1.0, -1 / 6, -2 / 6, -3 / 6, -4 / 6, -5 / 6, -1.0]),
        (0, 2, [1.0, -0.5, -1.0]),
        (1, 1, [-1.0, 1.0]),
    ],
)
def test_dense_reward_is_the_scaled_distance(target: int, max_count: int, rewards: list[float]) -> None:
    """The dense reward is 1 at the target and elsewhere minus the distance to it, scaled to [-1, 0)."""
    assert CountingEnv(target, max_count, reward="dense").class_mdp[1].tolist() == rewards


def test_sparse_reward_is_one_at_the_target_only() -> None:
    """The sparse reward is 1 for arriving at the target, otherwise 0."""
    assert CountingEnv().class_mdp[1].tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0]


@pytest.mark.parametrize(("max_count", "target"), [(8, 4), (8, 0), (1, 1), (64, 40)])
def test_count_mdp_is_the_dynamics_as_two_arrays(max_count: int, target: int) -> None:
    """count_mdp returns int64 successors (n, 2) and float64 values (n,) that by the documented rule."""
    successors, values = count_mdp(max_count, target)
    assert successors.dtype == np.int64
    assert values.dtype == np.float64
    counts = range(max_count + 1)
    assert successors.tolist() == [[max(c - 1, 0), min(c + 1, max_count)] for c in counts]
    assert values.tolist() == [float(c == target) for c in counts]


def test_count_mdp_defaults_to_the_paper() -> None:
    """The defaults are the paper's: 0 to 8 objects, reward at 4."""
    for default, asked in zip(count_mdp(), count_mdp(8, 4), strict=True):
        np.testing.assert_array_equal(default, asked)


def test_a_random_policy_succeeds_exactly_one_time_in_three() -> None:
    """A uniformly random policy succeeds in 48 of 9 x 2^4 equally likely cases."""
    successors, values = count_mdp()
    arrived = 0
    for start, actions in product(range(9), product((REMOVE, ADD), repeat=4)):
        count = start
        for action in actions:
            count = successors[count, action]
            if values[count]:
                arrived += 1
                break
    assert Fraction(arrived, 9 * 2**4) == Fraction(1, 3)


@pytest.mark.parametrize(
    ("max_count", "target", "message"),
    [
        (0, 0, "max_count=0 is not an integer of at least 1"),
        (8.0, 4, "max_count=8.0 is not an integer"),
        (True, 0, "max_count=True is not an integer"),
        (8, -1, "target=-1 is not an integer of at least 0"),
        (8, 9, r"target=9 cannot be reached: give counts in least_count..max_count, here 0..8"),
    ],
)
def test_counts_out_of_range_are_refused(max_count: int, target: int, message: str) -> None:
    """Counts out of range raise an error that names the argument, its value and what would be right."""
    with pytest.raises(ValueError, match=message):
        count_mdp(max_count, target)
