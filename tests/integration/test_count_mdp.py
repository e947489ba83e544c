"""The largest bisimulation of the counting environment: exactly its counts."""

import gymnasium as gym
import numpy as np
import pytest

import counting_env
from counting_env.kernels import ADD, REMOVE
from jepa_extractor.bisimulation import distinguishing_actions, largest_bisimulation


@pytest.mark.parametrize("max_count", range(1, 21))
def test_every_count_is_a_class(max_count):
    """The class of each count is its own, for every target."""
    for target in range(max_count + 1):
        classes = largest_bisimulation(*counting_env.count_mdp(max_count, target))
        assert np.array_equal(classes, np.arange(max_count + 1))


def test_nine_classes_for_the_default():
    """Nine classes; 0 and 1 are told apart by adding three times, 8 and 7 by removing three times."""
    successors, values = counting_env.count_mdp()
    assert largest_bisimulation(successors, values).max() + 1 == 9
    assert distinguishing_actions(successors, values, 0, 1) == [1, 1, 1]
    assert distinguishing_actions(successors, values, 8, 7) == [0, 0, 0]


def test_observations_of_the_environment_fall_into_the_classes_of_their_counts():
    """A complete MDP over 300 scenes, played in the environment: every scene is in the class of its count."""
    env = gym.make("CountingEnv-v0", terminate_on_target=False)
    starts, arrivals = [], []
    for scene in range(300):
        starts.append(env.reset(seed=scene)[1]["count"])
        arrived = []
        for action in (REMOVE, ADD):
            env.reset(seed=scene)
            arrived.append(env.step(action)[4]["count"])
        arrivals.append(arrived)
    rng = np.random.default_rng(0)
    counts = np.array(starts)
    members = [np.flatnonzero(counts == count) for count in range(9)]
    successors = np.array([[rng.choice(members[count]) for count in arrived] for arrived in arrivals])
    classes = largest_bisimulation(successors, counts == 4)
    assert classes.max() + 1 == 9
    assert all(len(np.unique(counts[classes == c])) == 1 for c in range(9))
