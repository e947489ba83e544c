"""The study of the verdict: its truth, its counts and its table."""

import numpy as np
import pytest

from studies import verdicts
from studies.verdicts import AMOUNTS, CONFIGURATIONS, ENCODERS, WORLDS, run, summary, table, trial

GRID = "grid, by episodes"


@pytest.mark.parametrize("world", WORLDS[1::2])
def test_a_trial_of_much_and_of_hardly_any_data(world):
    """Enough data gives the right word; hardly any gives no wrong one."""
    enough = trial(world, "enough", 7)
    assert [enough[kind][0] for kind in ENCODERS[:3]] == ["KEPT", "COLLAPSED", "COLLAPSED"]
    assert {word for word, _ in trial(world, "hardly any", 7).values()} <= {"INCONCLUSIVE", "COLLAPSED"}


def test_the_grid_is_what_its_mdp_says():
    """Walks earn 1 exactly on arrival at the goal, and its pictures have one bright pixel at the place."""
    (episode, *_) = verdicts._episodes(verdicts.worlds()[GRID], 400, seed=0)
    successors, values = verdicts.Grid.mdp()
    places = episode.labels["place"].astype(int)
    assert (successors[places[:-1], episode.actions] == places[1:]).all()
    assert (episode.rewards == values[places[1:]]).all()
    assert (episode.observations.reshape(len(places), -1).argmax(axis=1) == places).all()


def test_a_run_is_the_same_twice():
    """Its seed decides all; each trial is counted once for each encoder, or the set is refused."""
    configuration = {**CONFIGURATIONS[f"{GRID}, {AMOUNTS[2]}"], "trials": 8}
    one, other = (run(configuration, 1_000, None) for _ in range(2))
    assert {**one, "seconds": 0} == {**other, "seconds": 0}
    assert one["refused"] > 0
    for words in one["words"].values():
        assert sum(count.total() for count in words.values()) == 8 - one["refused"]


def test_a_network_that_merges_is_known_by_other_observations():
    """A share of a class whose nearest neighbours are of one other, by hand."""
    places = np.float64([[0], [0.1], [5], [5.1], [5.2], [9.9]])
    assert verdicts._most_taken(places, np.array([0, 0, 1, 1, 1, 1])) == 0
    assert verdicts._most_taken(places, np.array([0, 0, 1, 2, 1, 1])) == 1.0
    assert verdicts._most_taken(places, np.array([0, 1, 1, 2, 2, 2])) == 1.0


def test_the_table_counts_right_open_and_wrong():
    """What is unclear is left out; a KEPT of merged classes, and a word where the constant has none, are counted."""
    words = {
        "faithful": {"KEPT": {"KEPT": 7, "INCONCLUSIVE": 2, "COLLAPSED": 1}},
        "merged": {"COLLAPSED": {"COLLAPSED": 8, "KEPT": 2}},
        "constant": {"COLLAPSED": {"COLLAPSED": 10}},
        "untrained": {"": {"KEPT": 4}, "KEPT": {"KEPT": 3}, "COLLAPSED": {"INCONCLUSIVE": 3}},
    }
    facts = {"results": {f"{GRID}, enough": {"0": {"words": words, "refused": 5, "unfounded": 6}}}}
    assert table(facts).splitlines()[-1] == f"| {GRID}, enough | 5 | 7 · 2 · 1 | 8 · 0 · 2 | 10 · 0 · 0 | 3 · 3 · 0 |"
    assert summary(facts).startswith("Of 36 audits whose truth is known, 2 called an encoder KEPT that had merged")
    assert "6 were not INCONCLUSIVE where the constant encoder was." in summary(facts)
