"""The empirical bisimulation against its definition, repeated until nothing changes; and the arrays that it takes."""

import numpy as np
import pytest
from scipy import stats

from jepa_extractor.bisimulation import EmpiricalBisimulation, largest_bisimulation
from jepa_extractor.bisimulation.distinguishable_pairs import UNKNOWN, PairTable, WordPairs
from tests.bisimulation.empirical_oracles import check_witness, random_data, witness_lengths

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
