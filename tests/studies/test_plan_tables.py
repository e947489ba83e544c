"""The study of planning on toy-text environments."""

import pytest

from studies import plan_tables
from studies.plan_tables import CONFIGURATIONS, check, run, table


@pytest.mark.filterwarnings("ignore:what arrives at the highest", "ignore:no action leads from a labelled")
@pytest.mark.slow
@pytest.mark.parametrize("world", ["lake", "cliff"])
def test_it_runs_on_both_worlds(world, tmp_path):
    """Hardly trained, and with one step to look ahead, it still says how many starts reach each goal."""
    short = {"second": 5, "updates": 1, "transition_updates": 1, "horizon": 1}
    shares = run({**CONFIGURATIONS[world], **short}, 0, tmp_path)
    assert shares.keys() == {"goal", "second"}
    assert all(0 <= share <= 1 for share in shares.values())


@pytest.mark.parametrize("second", [19, 63, -1])
def test_a_hole_is_no_second_goal(second):
    """State 19 of the lake is a hole: the error names the setting, its value and the mend."""
    message = f"second={second} is not a state that can be passed: give one of 0 to 62, and no hole"
    with pytest.raises(ValueError, match=message):
        check({**CONFIGURATIONS["lake"], "second": second})
    check(CONFIGURATIONS["lake"])


def test_the_table():
    """A row for each environment and seed."""
    facts = {"results": {"lake": {"0": {"goal": 1.0, "second": 0.5}}}}
    assert "| FrozenLake-v1 | 0 | 1.000 | 0.500 |" in table(facts)
    assert set(plan_tables.WORLDS) == set(CONFIGURATIONS)


@pytest.mark.slow
@pytest.mark.parametrize("world", ["lake", "cliff"])
def test_both_goals_are_reached_from_nearly_every_start(world, tmp_path):
    """At least 95% of the starts reach the goal of the training, and one that only its picture tells."""
    assert min(run(CONFIGURATIONS[world], 0, tmp_path).values()) >= 0.95
