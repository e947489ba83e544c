"""Episodes as data of empirical bisimulations, held against rollouts whose states are known."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from jepa_extractor.bisimulation import EmpiricalBisimulation, empirical_data, episode_successors
from jepa_extractor.data.collection import random_episodes
from jepa_extractor.data.episodes import Episode
from tests.bisimulation.empirical_oracles import check_witness, witness_lengths


def test_episode_successors():
    """A helper builds the arrays from arrays of episodes: T + 1 observations each, one after the other."""
    expected = [[-1, 1], [2, -1], [-1, -1], [-1, -1], [-1, 5], [-1, -1]]
    assert episode_successors([[1, 0], np.zeros(0), np.array([1], np.uint8)], num_actions=2).tolist() == expected
    assert episode_successors(np.array([[1, 0]]), num_actions=3).tolist() == [[-1, 1, -1], [2, -1, -1], [-1, -1, -1]]


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ([], "actions is empty"),
        (None, "actions=None is not a sequence: give the actions of each episode"),
        ([None], r"actions\[0\] has shape \(\)"),
        ([[0], [0, 2]], r"actions\[1\] contains 2: actions must lie in 0..1"),
        ([[0], [], [-1]], r"actions\[2\] contains -1"),
        ([[0], [[1]]], r"actions\[1\] has shape \(1, 1\)"),
        ([[0.5]], r"actions\[0\] has shape \(1,\) and dtype float64: .*continuous"),
    ],
)
def test_bad_episodes_are_named(actions, message):
    """An error that names the argument."""
    with pytest.raises(ValueError, match=message):
        episode_successors(actions, num_actions=2)


LINE = 5
GOAL = 4


class LineEnv(gym.Env):
    """A walk on the places 0..4, seen as a number; 1 goes up, 0 down; reward 1 on arriving at 4, which ends it."""

    observation_space = spaces.Box(0, LINE, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._place = int(self.np_random.integers(LINE))
        return self._seen(), {"place": self._place}

    def step(self, action):
        self._place = min(max(self._place + (1 if action else -1), 0), LINE - 1)
        at_goal = self._place == GOAL
        return self._seen(), float(at_goal), at_goal, False, {"place": self._place}

    def _seen(self):
        return np.array([self._place], np.float32)


def line_episodes(mode=AutoresetMode.NEXT_STEP):
    envs = SyncVectorEnv([lambda: gym.wrappers.TimeLimit(LineEnv(), 6)] * 3, autoreset_mode=mode)
    return list(random_episodes(envs, 300, seed=0, labels=("place",)))


def check_line(data):
    """Each observed step goes where the walk goes, and nowhere else."""
    places = data.observations[:, 0]
    assert np.array_equal(places, data.labels["place"])
    assert data.successors.shape == (len(places), 2)
    for i, a in np.argwhere(data.successors >= 0):
        assert places[data.successors[i, a]] == np.clip(places[i] + 2 * a - 1, 0, LINE - 1)
    assert ((data.successors >= 0).sum(axis=1) <= 1).all()
    known = ~np.isnan(data.values)
    assert np.array_equal(data.values[known], places[known] == GOAL)


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_data_of_gymnasium_rollouts(mode):
    """All observations of rollouts, in every autoreset mode; the value of each first one is unknown."""
    episodes = line_episodes(mode)
    data = empirical_data(episodes, num_actions=2)
    check_line(data)
    assert np.array_equal(data.observations, np.concatenate([episode.observations for episode in episodes]))
    assert np.count_nonzero(data.successors >= 0) == sum(len(episode.actions) for episode in episodes)
    begins = np.cumsum([0, *(len(episode.observations) for episode in episodes[:-1])])
    assert np.array_equal(np.flatnonzero(np.isnan(data.values)), begins)


def test_first_observations_are_told_apart_by_what_follows():
    """The relation of episodes equals the definition, first observations among them."""
    episodes = line_episodes()[:30]
    data = empirical_data(episodes, num_actions=2)
    relation = EmpiricalBisimulation(data.successors, data.values)
    lengths = witness_lengths(data.successors, data.values)
    assert relation.count_pairs() == np.count_nonzero(lengths >= 0) // 2
    first = np.flatnonzero(np.isnan(data.values))
    assert (lengths[first] != 0).all()
    assert (lengths[np.ix_(first, first)] > 0).any()
    for i in first:
        for j in range(len(data.values)):
            check_witness(data.successors, data.values, i, j, relation.witness(i, j), lengths[i, j])


def test_data_with_values_from_info():
    """``values`` gives the value of every observation, NaN where it is unknown: none is left out."""
    episodes = line_episodes()
    data = empirical_data(episodes, 2, values=lambda episode: episode.labels["place"] == GOAL)
    check_line(data)
    assert not np.isnan(data.values).any()
    gaps = empirical_data(
        episodes,
        2,
        values=lambda episode: np.where(episode.labels["place"] == 2, np.nan, episode.labels["place"] == GOAL),
    )
    check_line(gaps)
    assert np.array_equal(np.isnan(gaps.values), gaps.labels["place"] == 2)
    assert np.array_equal(gaps.successors, data.successors)


def test_data_tells_apart_only_what_must_stay_apart():
    """What data tells apart, the largest bisimulation of the MDP does; with enough data, each of its classes."""
    data = empirical_data(line_episodes(), 2, values=lambda episode: episode.labels["place"] == GOAL)
    relation = EmpiricalBisimulation(data.successors, data.values)
    places = data.labels["place"].astype(int)
    told = {(places[i], places[j]) for i, j in relation.sample_pairs(20_000, seed=0)}
    told |= {(b, a) for a, b in told}
    assert told == {(a, b) for a in range(LINE) for b in range(LINE) if a != b}


def test_values_of_several_columns():
    """Values may be (T + 1, m) for each episode."""
    episode = Episode(np.zeros((3, 1)), np.array([0, 0]), np.zeros(2, np.float32), True, {"place": np.zeros(3)})
    data = empirical_data([episode], 1, values=lambda _: [[0.0, 1.0], [0.0, np.nan], [0.0, 2.0]])
    assert np.array_equal(data.values, [[0, 1], [0, np.nan], [0, 2]], equal_nan=True)
    assert data.successors.tolist() == [[1], [2], [-1]]


def test_bad_values_of_episodes_are_named():
    """An error that names the argument."""
    episode = Episode(np.zeros((3, 1)), np.array([0, 0]), np.zeros(2, np.float32), True, {"place": np.zeros(3)})
    with pytest.raises(ValueError, match=r"values gave shape \(2,\) for the 3 observations of episode 1"):
        empirical_data([episode, episode._replace(terminated=False)], 1, values=lambda e: np.zeros(2 + e.terminated))
    with pytest.raises(ValueError, match="values are NaN at every observation"):
        empirical_data([episode], 1, values=lambda e: np.full(3, np.nan))
    with pytest.raises(ValueError, match="episodes=None is not a sequence"):
        empirical_data(None, 1)
    with pytest.raises(ValueError, match="values=None is not a function: give one that takes an episode"):
        empirical_data([episode], 1, values=None)
    with pytest.raises(ValueError, match=r"actions\[0\] has shape \(2, 1\)"):
        empirical_data([episode._replace(actions=np.zeros((2, 1)))], 1)
