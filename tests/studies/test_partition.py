"""Does the reward decide which states an encoder keeps apart?"""

import json

import numpy as np
import pytest
from scipy.ndimage import label

from jepa_extractor.bisimulation import largest_bisimulation
from studies import measures, partition
from studies.partition import ROWS, cells
from studies.worlds import CYCLE, ROOM, SHAPED, paid, walks


@pytest.mark.parametrize("name", ROWS)
def test_the_classes_that_a_reward_requires(name):
    """They are computed before any training, and are as many as the row says."""
    row = ROWS[name]
    assert largest_bisimulation(row.world.successors(), row.values()).max() + 1 == row.classes


@pytest.mark.parametrize("world", [SHAPED, CYCLE])
def test_pictures_of_counts(world):
    """The picture of a state shows as many objects as it says: they never touch."""
    images, shown = world.pictures(2, seed=0)
    counts = world.states()["count"]
    assert np.bincount(shown).tolist() == [2] * len(counts)
    connected = np.ones((3, 3))
    assert [label(image.any(axis=0), connected)[1] for image in images] == counts[shown].tolist()


def test_pictures_of_the_room():
    """Each cell has an image of its own, always the same."""
    images, shown = ROOM.pictures(2, seed=0)
    assert len(np.unique(images, axis=0)) == 36
    for state in range(36):
        first, second = images[shown == state]
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("world", [SHAPED, CYCLE, ROOM])
def test_walks_follow_the_successors(world):
    """The state after a step is the one that the table says."""
    successors = world.successors()
    for episode in walks(world, 400, seed=0):
        visited = episode.labels["state"].astype(int)
        assert (successors[visited[:-1], episode.actions.astype(int).ravel()] == visited[1:]).all()


def test_paid():
    """A step earns the value of the state that it arrives in."""
    values = np.arange(12) ** 2.0
    for episode in paid(walks(CYCLE, 200, seed=1), values):
        np.testing.assert_array_equal(episode.rewards, episode.labels["state"][1:] ** 2)


def made_up(kept, r2=1.0):
    """Return what a run returns for the reward "four" of the 32 states."""
    return {
        "dynamics_r2": r2,
        "seconds": 1.0,
        "four": {
            "reward_r2": r2,
            "groups": 8,
            "worst_error": 0.0 if kept == 448 else 0.5,
            "required": 448,
            "kept": kept,
            "mergeable": 48,
            "merged": 40,
        },
    }


def test_the_table_finds_a_counterexample_and_pairs_seeds(tmp_path):
    """A required pair that merged though both losses are low is counted; the difference is the mean over seeds."""
    results = {
        "pooled-joint-four": {"0": made_up(448), "1": made_up(224)},
        "pooled-reward_only-four": {"0": made_up(224, r2=0.9), "1": made_up(0, r2=0.9)},
    }
    facts = {"results": results}
    assert [cell.fits for cell in cells(facts)] == [True, True, False, False]
    table = partition.table(facts)
    assert "| pooled | joint | 2 | 0.750 | 2 | 1 |" in table
    assert "| pooled | reward only | 2 | 0.250 | 0 | 0 |" in table
    assert "| pooled, 4 objects | 1 | 1.0000, 1.0000 | 0.500 | 224 of 448 |" in table
    assert table.count("| pooled, 4 objects |") == 1
    assert "+0.500 [+0.500, +0.500]" in table
    partition.draw(facts, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000


@pytest.mark.parametrize("name", ["pooled-joint-four", "nature-label-room", "pooled-untrained-shaped"])
@pytest.mark.slow
def test_a_run(name, tmp_path, monkeypatch):
    """A short run measures every reward of its configuration, the same if made again, and JSON can hold it."""
    for constant, value in {"TRANSITIONS": 600, "HELD_OUT": 200, "EACH": 4, "TRANSITION_UPDATES": 3}.items():
        monkeypatch.setattr(partition, constant, value)
    monkeypatch.setattr(measures, "UPDATES", 20)
    monkeypatch.setattr(partition, "UPDATES", 3)
    configuration = partition.CONFIGURATIONS[name]
    first, again = (partition.run(configuration, 0, tmp_path / part) for part in "ab")
    del first["seconds"], again["seconds"]
    assert json.loads(json.dumps(first)) == again
    judged = [reward for reward in first if reward in ROWS]
    assert len(judged) == {"four": 1, "room": 4, "shaped": 7}[name.split("-")[-1]]
    for reward in judged:
        assert 0 <= first[reward]["kept"] <= first[reward]["required"]
        assert first[reward]["groups"] <= len(ROWS[reward].values())
