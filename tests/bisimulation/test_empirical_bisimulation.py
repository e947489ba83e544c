"""The empirical bisimulation against its definition, repeated until nothing changes; and the arrays that it takes."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from scipy import stats

from jepa_extractor.bisimulation import EmpiricalBisimulation, empirical_data, episode_successors, largest_bisimulation
from jepa_extractor.bisimulation.distinguishable_pairs import UNKNOWN, PairTable, WordPairs
from jepa_extractor.data.collection import random_episodes
from jepa_extractor.data.episodes import Episode
from tests.bisimulation.empirical_oracles import random_data, witness_lengths

KINDS = [(False, "none"), (True, "none"), (False, "any"), (True, "first")]


def data_sets(count, single, unknown="none"):
    """``count`` random data sets from fixed seeds."""
    for seed in range(count):
        yield random_data(np.random.default_rng(seed), single, unknown)


def in_episodes(episodes, length):
    """Episodes of 0s whose last observation is 0 and 1 by turns; and how many pairs they tell apart, counted by hand.

    Of two observations at the same time, those of different episodes' kinds; of two at different times, the later
    ends first: if that is with a 1, the other is still at 0 then, else nothing tells them apart.
    """
    n = episodes * length
    successors = np.arange(1, n + 1).reshape(episodes, length)
    successors[:, -1] = -1
    values = np.zeros((episodes, length))
    values[1::2, -1] = 1
    half = episodes // 2
    expected = length * half * half + length * (length - 1) // 2 * half * episodes
    return successors.reshape(n, 1), values.reshape(n), expected


@pytest.mark.parametrize("number", [300, pytest.param(1_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("single", "unknown"), KINDS)
def test_equals_the_definition_on_random_data(single, unknown, number):
    """Every pair, with a shortest witness, and the number of pairs; with and without unknown values."""
    for successors, values in data_sets(number, single, unknown):
        n = len(successors)
        relation = EmpiricalBisimulation(successors, values)
        lengths = witness_lengths(successors, values)
        assert relation.count_pairs() == np.count_nonzero(lengths >= 0) // 2
        for i in range(n):
            for j in range(n):
                assert relation.distinguishable(i, j) == (lengths[i, j] >= 0)
                check_witness(successors, values, i, j, relation.witness(i, j), lengths[i, j])


def check_witness(successors, values, i, j, witness, length):
    """Each action was observed on both ways, known values differ at the end, and it could not be shorter."""
    if witness is None:
        assert length == -1
        return
    assert len(witness) == length
    for action in witness:
        assert type(action) is int
        i, j = successors[i, action], successors[j, action]
        assert i >= 0
        assert j >= 0
    assert not np.isnan(values[[i, j]]).any()
    assert np.any(values[i] != values[j])


def test_both_ways_agree_on_long_data():
    """The table and the words give the same on data that is too long for the definition."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        n, k = int(rng.integers(100, 600)), int(rng.integers(1, 3))
        following = np.arange(1, n + 1) % n  # one long circle
        shortcuts = rng.random(n) < rng.choice([0.0, 0.01, 0.3])
        following[shortcuts] = rng.integers(0, n, shortcuts.sum())
        following[rng.random(n) < rng.choice([0.0, 0.01])] = -1
        successors = np.full((n, k), -1, np.int32)
        successors[np.arange(n), rng.integers(0, k, n)] = following
        labels = (rng.random(n) < rng.choice([0.0, 0.005, 0.1])).astype(np.int32)
        labels[~np.isin(np.arange(n), following) & (rng.random(n) < rng.choice([0.0, 0.5]))] = UNKNOWN
        table, words = PairTable(successors, labels), WordPairs(successors, labels)
        assert table.count == words.count
        for i, j in rng.integers(0, n, (200, 2)):
            assert table.witness(int(i), int(j)) == words.witness(int(i), int(j))


def test_a_circle_with_one_odd_value():
    """Successors may run in a circle: each pair is told apart when the first of the two comes to the odd one."""
    n = 3_000
    successors = (np.arange(1, n + 1) % n).reshape(n, 1)
    relation = EmpiricalBisimulation(successors, np.arange(n) == n - 1)
    assert relation.count_pairs() == n * (n - 1) // 2
    assert relation.witness(0, 5) == [0] * (n - 1 - 5)
    uniform = EmpiricalBisimulation(successors, np.zeros(n))
    assert uniform.count_pairs() == 0
    assert uniform.witness(0, 5) is None


def test_many_observations_in_episodes():
    """Exact for data in episodes, beyond 5,000 observations; the count is worked out by hand."""
    successors, values, expected = in_episodes(episodes=10_000, length=4)
    relation = EmpiricalBisimulation(successors, values)
    assert relation.count_pairs() == expected
    assert relation.witness(0, 4) == [0, 0, 0]
    assert relation.witness(0, 8) is None


def with_first_unknown(episodes, length):
    """``in_episodes`` without the value of each first observation.

    Only this is lost: a first observation, whose value is 0, and a last one, whose value is 1, differ at once alone.
    """
    successors, values, expected = in_episodes(episodes, length)
    values[::length] = np.nan
    return successors, values, expected - episodes * episodes // 2


def test_many_observations_in_episodes_of_unknown_first_value():
    """Episodes whose first values are unknown are exact beyond 5,000 observations too."""
    successors, values, expected = with_first_unknown(episodes=10_000, length=4)
    relation = EmpiricalBisimulation(successors, values)
    assert relation.count_pairs() == expected
    assert relation.witness(0, 4) == [0, 0, 0]
    assert relation.witness(0, 7) is None
    assert relation.witness(1, 7) == []


@pytest.mark.slow
@pytest.mark.parametrize("length", [4, 1_000])
@pytest.mark.parametrize("data", [in_episodes, with_first_unknown])
def test_a_million_observations(data, length):
    """A million observations in episodes are counted exactly, and drawn."""
    successors, values, expected = data(1_000_000 // length, length)
    relation = EmpiricalBisimulation(successors, values)
    assert relation.count_pairs() == expected
    pairs = relation.sample_pairs(1_000, seed=0)
    assert all(relation.distinguishable(i, j) for i, j in pairs)


def test_5_000_observations_of_any_kind():
    """Any data of up to 5,000 observations is exact: a walk to and fro, in which all are told apart."""
    n = 5_000
    states = np.arange(n)
    successors = np.stack([np.maximum(states - 1, 0), np.minimum(states + 1, n - 1)], axis=1)
    relation = EmpiricalBisimulation(successors, states == n - 1)
    assert relation.count_pairs() == n * (n - 1) // 2
    assert relation.witness(10, 3) == [1] * (n - 1 - 10)


def test_unknown_never_tells_apart_and_the_relation_is_not_transitive():
    """What is unknown never tells apart, the relation need not be transitive; in ``classes`` unknown is an answer."""
    #        0: action 0 -> 3    1: nothing known    2: action 0 -> 4    3, 4: ends with values 1, 2
    relation = EmpiricalBisimulation([[3, -1], [-1, -1], [4, -1], [-1, -1], [-1, -1]], [0, 0, 0, 1, 2])
    assert not relation.distinguishable(0, 1)
    assert not relation.distinguishable(1, 2)
    assert relation.witness(0, 2) == [0]
    assert relation.witness(0, 3) == []
    assert relation.classes().tolist() == [0, 1, 2, 3, 4]


def test_an_unknown_value_never_tells_apart_but_successors_do():
    """An observation of unknown value is told apart by what follows it alone; one NaN makes a row unknown."""
    successors = [[3], [3], [4], [-1], [-1]]
    for values in ([np.nan, 0, 1, 5, 6], [[np.nan, 0], [0, 1], [1, 2], [5, 5], [6, 6]]):
        relation = EmpiricalBisimulation(successors, values)
        assert relation.witness(0, 1) is None  # the same follows, and the value of 0 is unknown
        assert relation.witness(0, 2) == [0]
        assert relation.witness(1, 2) == []
        assert relation.witness(0, 3) is None
        assert relation.classes().tolist() == [0, 1, 2, 3, 4]
    nothing = EmpiricalBisimulation(successors, [np.nan] * 5)
    assert nothing.count_pairs() == 0
    assert nothing.classes().tolist() == [0, 0, 0, 1, 1]


def test_no_shared_action_no_difference():
    """Two observations that share no observed action are told apart by their values alone."""
    relation = EmpiricalBisimulation([[2, -1], [-1, 3], [-1, -1], [-1, -1]], [0, 0, 1, 2])
    assert not relation.distinguishable(0, 1)
    assert relation.count_pairs() == 5


@pytest.mark.parametrize(("single", "unknown"), KINDS)
def test_classes_are_those_of_the_completed_mdp(single, unknown):
    """``classes()`` takes unknown as an answer: one absorbing state more for actions, one value more for values."""
    for successors, values in data_sets(200, single, unknown):
        n, k = successors.shape
        complete = np.append(np.where(successors < 0, n, successors), np.full((1, k), n), axis=0)
        rows = values.reshape(n, -1).copy()
        rows[np.isnan(rows).any(axis=1)] = 77
        rows = np.append(rows, np.full((1, rows.shape[1]), 99.0), axis=0)
        relation = EmpiricalBisimulation(successors, values)
        classes = relation.classes()
        assert np.array_equal(classes, largest_bisimulation(complete, rows)[:n])
        together = classes[:, None] == classes[None]
        assert (witness_lengths(successors, values)[together] == -1).all()


def test_on_complete_data_it_is_the_largest_bisimulation():
    """Where nothing is unknown, exactly the pairs of different classes are told apart; coverage is 1."""
    rng = np.random.default_rng(1)
    for _ in range(100):
        n, k = rng.integers(1, 20), rng.integers(1, 4)
        successors, values = rng.integers(0, n, (n, k)), rng.integers(0, 2, n)
        classes = largest_bisimulation(successors, values)
        relation = EmpiricalBisimulation(successors, values)
        assert relation.count_pairs() == np.count_nonzero(classes[:, None] != classes[None]) // 2
        assert np.array_equal(relation.classes(), classes)
        assert relation.coverage == 1.0


def test_coverage():
    """The fraction of observations and actions of which the successor was observed."""
    assert EmpiricalBisimulation([[1, -1], [-1, -1]], [0, 1]).coverage == 0.25
    assert EmpiricalBisimulation([[-1], [-1]], [0, 1]).coverage == 0.0


@pytest.mark.parametrize(("single", "unknown"), KINDS)
def test_sampled_pairs_are_uniform(single, unknown):
    """``sample_pairs`` draws all distinguishable pairs alike: a chi-square test."""
    tested = 0
    for seed, (successors, values) in enumerate(data_sets(80, single, unknown)):
        relation = EmpiricalBisimulation(successors, values)
        count = relation.count_pairs()
        if count < 10:
            continue
        pairs = relation.sample_pairs(100 * count, seed)
        assert pairs.shape == (100 * count, 2)
        assert pairs.dtype == np.int64
        drawn = np.zeros((len(successors), len(successors)), np.int64)
        np.add.at(drawn, tuple(pairs.T), 1)
        expected = np.triu(witness_lengths(successors, values) >= 0)
        assert drawn[~expected].sum() == 0
        assert stats.chisquare(drawn[expected]).pvalue > 1e-4
        tested += 1
    assert tested >= 20


def test_sampled_pairs_follow_from_the_seed():
    """The same seed draws the same, another seed something else; none, if none is asked for."""
    relation = EmpiricalBisimulation([[-1], [-1], [-1]], [0, 1, 2])
    assert np.array_equal(relation.sample_pairs(50, seed=3), relation.sample_pairs(50, seed=3))
    assert not np.array_equal(relation.sample_pairs(50, seed=3), relation.sample_pairs(50, seed=4))
    assert relation.sample_pairs(0, seed=0).shape == (0, 2)


@pytest.mark.parametrize("successors", [[[-1], [-1]], [[0, 1], [1, 0]]])
def test_no_pair_to_draw(successors):
    """An explicit error where no pair is distinguishable."""
    relation = EmpiricalBisimulation(successors, [5, 5])
    assert relation.count_pairs() == 0
    with pytest.raises(ValueError, match="no distinguishable pair"):
        relation.sample_pairs(1, seed=0)


@pytest.mark.parametrize("successors", [[[-1], [-1]], [[0, 1], [1, 0]]])
def test_values_within_the_tolerance_are_the_same(successors):
    """``tolerance``: values no further apart are the same."""
    assert EmpiricalBisimulation(successors, [0.0, 0.1]).distinguishable(0, 1)
    assert not EmpiricalBisimulation(successors, [0.0, 0.1], tolerance=0.2).distinguishable(0, 1)


def test_what_it_was_given_may_change():
    """The relation is that of the arrays as they were."""
    successors, values = np.array([[2], [3], [-1], [-1]], np.int32), np.array([0.0, 0.0, 1.0, 2.0])
    relation = EmpiricalBisimulation(successors, values)
    successors[:], values[:] = -1, 0
    assert relation.witness(0, 1) == [0]
    assert relation.classes().tolist() == [0, 1, 2, 3]


def test_too_many_observations_for_data_not_in_episodes():
    """Above 5,000: an error that names the limit, the observation and the mend."""
    successors = np.full((5_001, 2), -1)
    successors[7] = 0
    with pytest.raises(ValueError, match=r"5,001 rows, .* up to 5,000 observations\. Row 7 has 2 .* keep one"):
        EmpiricalBisimulation(successors, np.zeros(5_001))
    assert EmpiricalBisimulation(successors[:5_000], np.zeros(5_000)).count_pairs() == 0
    successors[7, 1] = -1
    values = np.append(np.nan, np.zeros(5_000))
    with pytest.raises(ValueError, match=r"Row 7 leads to an observation of unknown value: give its value, or set"):
        EmpiricalBisimulation(successors, values)
    assert EmpiricalBisimulation(successors[:5_000], values[:5_000]).count_pairs() == 0


@pytest.mark.parametrize(
    ("successors", "values", "message"),
    [
        ([[2], [0]], [0, 1], r"successors\[0, 0\]=2 is out of range"),
        ([[-2], [0]], [0, 1], r"successors\[0, 0\]=-2 is out of range"),
        ([[0.0], [0.0]], [0, 1], "successors has dtype float64"),
        ([0, 1], [0, 1], r"successors has shape \(2,\)"),
        (np.zeros((0, 2), int), [], "successors is empty"),
        (np.zeros((2, 0), int), [0, 1], "successors is empty"),
        ([[[0.5, 0.5]]], [0, 1], r"shape \(1, 1, 2\): .* there are probabilistic_bisimulation and bisimulation_metric"),
        (None, [0, 1], r"successors has shape \(\)"),
        ([[0], [1]], None, r"values has shape \(\)"),
        ([[0], [1]], [0, None], "values has dtype object"),
        ([[0], [1]], [0, 1, 2], "values has length 3 and successors 2"),
    ],
)
def test_bad_input_is_named(successors, values, message):
    """Out of range, shapes and types that do not match, empty input: an error that names the argument."""
    with pytest.raises(ValueError, match=message):
        EmpiricalBisimulation(successors, values)


@pytest.mark.parametrize("index", [-1, 2, 0.5, True])
def test_bad_indices_are_named(index):
    """Not an observation: an error that names the argument."""
    relation = EmpiricalBisimulation([[0], [1]], [0, 1])
    with pytest.raises(ValueError, match="i="):
        relation.distinguishable(index, 0)
    with pytest.raises(ValueError, match="j="):
        relation.witness(0, index)


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
