"""What largest bisimulations refuse, and how they say it."""

import numpy as np
import pytest
from scipy import sparse

from jepa_extractor.bisimulation import distinguishing_actions, largest_bisimulation, quotient_mdp
from jepa_extractor.bisimulation.inputs import checked_successors

CHAIN = np.array([[0, 1], [0, 2], [1, 3], [2, 3]])
END = np.array([0.0, 0.0, 0.0, 1.0])


HUGE = np.broadcast_to(np.int8(0), (2**31, 1))  # two thousand million rows in one byte


@pytest.mark.parametrize(
    ("successors", "values", "parts"),
    [
        (np.full((2, 2, 2), 0.5), [0, 1], ["successors", "(2, 2, 2)", "probabilistic_bisimulation"]),
        ([sparse.eye_array(2)] * 2, [0, 1], ["successors", "(2,)", "probabilistic_bisimulation"]),
        (sparse.eye_array(2), [0, 1], ["successors", "()", "probabilistic_bisimulation"]),
        (np.full((2, 2), 0.5), [0, 1], ["successors", "float64", "bisimulation_metric"]),
        (None, [0, 1], ["successors", "()"]),
        ([[0], [1]], None, ["values", "()"]),
        ([[0], [1]], [0, None], ["values", "object", "floats"]),
        ([[0], [2]], [0, 1], ["successors[1, 0]=2", "0..1"]),
        ([[0], [-2]], [0, 1], ["successors[1, 0]=-2", "0..1"]),
        ([[0, 1], [1, -1]], [0, 1], ["successors[1, 1]=-1", "EmpiricalBisimulation"]),
        (np.array([[2**64 - 1]], np.uint64), [0], ["successors[0, 0]=18446744073709551615"]),
        ([[0.0], [1.0]], [0, 1], ["successors", "float64", "integers"]),
        ([[True], [False]], [0, 1], ["successors", "bool", "integers"]),
        ([0, 1], [0, 1], ["successors", "(2,)", "row"]),
        ([[0], [1, 0]], [0, 1], ["successors", "equal length"]),
        ([], [], ["successors", "(0,)"]),
        (np.empty((0, 2), int), [], ["successors", "empty", "(0, 2)"]),
        (np.empty((2, 0), int), [0, 1], ["successors", "empty", "(2, 0)"]),
        (HUGE, [0, 1], ["successors", "2,147,483,648", "int32"]),
        ([[0], [1]], [0, 1, 2], ["values", "3", "successors", "2"]),
        ([[0], [1]], [], ["values", "empty"]),
        ([[0], [1]], np.empty((2, 0)), ["values", "empty", "(2, 0)"]),
        ([[0], [1]], HUGE[:, 0], ["values", "2,147,483,648", "int32"]),
        ([[0], [1]], [0.0, np.nan], ["values", "NaN", "row 1", "EmpiricalBisimulation"]),
        ([[0], [1]], [[0.0, np.nan], [np.nan, 0.0]], ["values", "NaN", "row 0"]),
        ([[0], [1]], 1.0, ["values", "shape ()"]),
        ([[0], [1]], np.zeros((2, 1, 1)), ["values", "(2, 1, 1)"]),
        ([[0], [1]], ["a", "b"], ["values", "<U1", "floats"]),
        ([[0], [1]], [0j, 1j], ["values", "complex128"]),
        ([[0], [1]], [[0], [1, 2]], ["values", "equal length"]),
    ],
)
def test_bad_input_is_named(successors, values, parts):
    """Every function names the argument, its value and the mend."""
    for function in (
        lambda: largest_bisimulation(successors, values),
        lambda: distinguishing_actions(successors, values, 0, 1),
        lambda: quotient_mdp(successors, values, [0, 1]),
    ):
        with pytest.raises(ValueError, match=rf"^{parts[0].split('[')[0]}") as error:
            function()
        for part in parts:
            assert part in str(error.value)


@pytest.mark.parametrize("tolerance", [-0.1, np.inf, np.nan, "0", None, True])
def test_bad_tolerance_is_named(tolerance):
    """A tolerance that is no finite number of at least 0 is refused."""
    with pytest.raises(ValueError, match=r"^tolerance="):
        largest_bisimulation(CHAIN, END, tolerance)


@pytest.mark.parametrize("state", [4, -1, 1.0, True, "1", None])
def test_a_state_that_is_none_is_named(state):
    """Negative numbers do not count from the end."""
    with pytest.raises(ValueError, match=r"^i=.* is not a state: give an integer in 0\.\.3"):
        distinguishing_actions(CHAIN, END, state, 0)
    with pytest.raises(ValueError, match=r"^j="):
        distinguishing_actions(CHAIN, END, 0, state)


def test_unobserved_actions_may_be_allowed():
    """Shared with the empirical relation, where -1 is legal and -2 is not."""
    assert checked_successors([[-1, 0]], least=-1).tolist() == [[-1, 0]]
    with pytest.raises(ValueError, match="or -1 where the action was never observed"):
        checked_successors([[-2, 0]], least=-1)
