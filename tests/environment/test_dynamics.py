"""What a count does, apart from any picture."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from counting_env import count_mdp
from counting_env.dynamics import ADD, REMOVE, next_count, reward_at


def test_actions_move_the_count_by_one_and_stop_at_the_ends() -> None:
    """PAPER.md: "Two actions, remove and add", "also where the count is clipped at 0 or 8"."""
    assert [next_count(count, REMOVE, 8) for count in range(9)] == [0, 0, 1, 2, 3, 4, 5, 6, 7]
    assert [next_count(count, ADD, 8) for count in range(9)] == [1, 2, 3, 4, 5, 6, 7, 8, 8]


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
    """CountingEnv: "1 at the target and elsewhere minus the distance to it, scaled to [-1, 0)"."""
    assert [reward_at(count, target, max_count, True) for count in range(max_count + 1)] == rewards


def test_sparse_reward_is_one_at_the_target_only() -> None:
    """PAPER.md: "Reward 1 on arriving at count 4 [...]; otherwise 0"."""
    assert [reward_at(count, 4, 8, False) for count in range(9)] == [0, 0, 0, 0, 1, 0, 0, 0, 0]


@pytest.mark.parametrize(("max_count", "target"), [(8, 4), (8, 0), (1, 1), (64, 40)])
def test_count_mdp_is_the_dynamics_as_two_arrays(max_count: int, target: int) -> None:
    """DESIGN.md: "count_mdp(max_count=8, target=4)  # -> successors (n, 2) int, values (n,) float"."""
    successors, values = count_mdp(max_count, target)
    assert successors.dtype == np.int64
    assert values.dtype == np.float64
    counts = range(max_count + 1)
    assert successors.tolist() == [[next_count(c, action, max_count) for action in (REMOVE, ADD)] for c in counts]
    assert values.tolist() == [reward_at(c, target, max_count, False) for c in counts]


def test_count_mdp_defaults_to_the_paper() -> None:
    """PAPER.md: 0 to 8 objects, ``p = 1{count = 4}``."""
    for default, asked in zip(count_mdp(), count_mdp(8, 4), strict=True):
        np.testing.assert_array_equal(default, asked)


def test_a_random_policy_succeeds_exactly_one_time_in_three() -> None:
    """PAPER.md: "A uniformly random one succeeds about one time in three": 48 of 9 x 2^4 equally likely cases."""
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
        (8, 9, r"target=9 cannot be reached: give one in 0..max_count, here 0..8"),
    ],
)
def test_counts_out_of_range_are_refused(max_count: int, target: int, message: str) -> None:
    """Issue 2, bad input: "target outside 0..max_count" names the option, the value and what would be right."""
    with pytest.raises(ValueError, match=message):
        count_mdp(max_count, target)
