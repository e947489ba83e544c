"""Which states must stay apart: targets, wrap, least_count and slip, played and as an MDP."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from counting_env import SHAPES, CountingEnv, CountingVectorEnv, count_mdp
from jepa_extractor.bisimulation import largest_bisimulation, probabilistic_bisimulation

REMOVE, ADD = 0, 1
OPTIONS: list[dict[str, Any]] = [
    {},
    {"reward": "dense", "target": 2},
    {"target": (1, 6), "reward": "dense"},
    {"max_count": 5, "target": (0, 3), "wrap": True},
    {"max_count": 5, "target": 0, "wrap": True, "reward": "dense", "least_count": 0, "placement": "persist"},
    {"least_count": 2, "max_count": 6, "target": 2, "wrap": True, "placement": "persist", "appearance": "object"},
    {"least_count": 1, "target": {"circle": 4, "square": (2, 8)}},
    {"least_count": 1, "target": {"circle": 4, "stroke": 2}, "reward": "dense", "wrap": True},
    {"least_count": 8, "target": 8},
    {"max_count": 1, "target": 1, "wrap": True},
]


@pytest.mark.parametrize("k", [1, 2, 3, 4, 6, 12])
def test_a_wrapped_counter_of_12_has_one_class_for_each_remainder(k: int) -> None:
    """Where the multiples of k are rewarded on a circle of 12 counts, the classes are the counts modulo k."""
    env = CountingEnv(max_count=11, target=tuple(range(0, 12, k)), wrap=True)
    assert largest_bisimulation(*env.class_mdp).tolist() == [count % k for count in range(12)]


@pytest.mark.parametrize(
    ("target", "classes"),
    [
        (4, 8),
        (dict.fromkeys(SHAPES, 4), 8),
        ({"circle": 4}, 9),
        ({"circle": 4, "square": 4, "triangle": 2, "stroke": 2}, 16),
        ({"circle": 4, "square": 2}, 17),
        ({"circle": 2, "square": 3, "triangle": 4, "stroke": 5}, 32),
    ],
)
def test_the_target_decides_how_many_classes_counts_and_shapes_have(target: Any, classes: int) -> None:
    """Counts 1 to 8 of four shapes: shapes with the same target merge, and without a target all counts do."""
    successors, values = CountingEnv(least_count=1, target=target).class_mdp
    assert len(values) == (32 if isinstance(target, dict) else 8)
    assert largest_bisimulation(successors, values).max() + 1 == classes


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_environment_plays_its_class_mdp(options: dict[str, Any]) -> None:
    """From every state, each action leads where successors say, with the reward that values say."""
    env = CountingEnv(terminate_on_target=False, **options)
    successors, values = env.class_mdp
    assert successors.shape == (len(values), 2)
    assert successors.dtype == np.int64
    assert values.dtype == np.float64
    counts = env.options.max_count - env.options.least_count + 1
    env.reset(seed=0)
    for state, action in np.ndindex(successors.shape):
        start: dict[str, Any] = {"count": env.options.least_count + state % counts}
        if len(values) > counts:
            start["shape"] = SHAPES[state // counts]
        _, info = env.reset(options=start)
        assert info["state"] == state
        assert type(info["state"]) is int
        _, reward, _, _, info = env.step(action)
        assert info["state"] == successors[state, action]
        assert reward == values[info["state"]]
        assert info["is_success"] == (reward == 1)


def test_class_mdp_by_hand() -> None:
    """Successors and values of a wrapped counter of 1 to 3, and of two shapes, written out."""
    successors, values = CountingEnv(least_count=1, max_count=3, target=(1, 3), wrap=True).class_mdp
    assert successors.tolist() == [[2, 1], [0, 2], [1, 0]]
    assert values.tolist() == [1, 0, 1]
    successors, values = CountingEnv(least_count=1, max_count=2, target={"circle": 2, "triangle": 1}).class_mdp
    assert successors.tolist() == [[0, 1], [0, 1], [2, 3], [2, 3], [4, 5], [4, 5], [6, 7], [6, 7]]
    assert values.tolist() == [0, 1, 0, 0, 1, 0, 0, 0]


def test_class_mdp_of_the_defaults_is_count_mdp() -> None:
    """For the defaults, and in the vector environment, class_mdp is count_mdp()."""
    for env in (CountingEnv(), CountingVectorEnv(2)):
        for ours, theirs in zip(env.class_mdp, count_mdp(), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_dense_rewards_measure_the_way_to_the_nearest_target() -> None:
    """Dense: the distance to the nearest target, around the circle with wrap, scaled to [-1, 0)."""
    assert CountingEnv(target=(1, 6), reward="dense").class_mdp[1].tolist() == [
        -0.5,
        1,
        -0.5,
        -1,
        -1,
        -0.5,
        1,
        -0.5,
        -1,
    ]
    circle = CountingEnv(max_count=5, target=0, reward="dense", wrap=True)
    assert circle.class_mdp[1].tolist() == [1, -1 / 3, -2 / 3, -1, -2 / 3, -1 / 3]
    shapes = CountingEnv(least_count=1, max_count=3, target={"square": 1}, reward="dense")
    assert shapes.class_mdp[1].tolist() == [0, 0, 0, 1, -0.5, -1, 0, 0, 0, 0, 0, 0]


def test_any_of_several_targets_ends_the_episode() -> None:
    """Arriving at each count of a tuple is a success, and so is a shape's own count."""
    env = CountingEnv(target=(2, 5))
    for start, action, success in ((1, ADD, True), (4, ADD, True), (6, REMOVE, True), (3, ADD, False)):
        env.reset(seed=0, options={"count": start})
        _, reward, terminated, _, info = env.step(action)
        assert (reward, terminated, info["is_success"]) == (float(success), success, success)
    env = CountingEnv(target={"circle": 2, "square": (3, 5)}, least_count=1)
    for shape, start, success in (("circle", 1, True), ("circle", 2, False), ("square", 2, True), ("stroke", 1, False)):
        env.reset(seed=0, options={"count": start, "shape": shape})
        assert env.step(ADD)[2] == success


def test_starts_are_uniform_from_the_least_count_on() -> None:
    """Start counts are uniform on least_count..max_count."""
    env = CountingVectorEnv(2_000, least_count=3, max_count=6, image_size=32)
    counts = np.bincount(env.reset(seed=0)[1]["count"], minlength=7)
    assert (counts[:3] == 0).all()
    assert stats.chisquare(counts[3:]).pvalue > 0.001


@pytest.mark.parametrize("slip", [0.0, 0.3, 1.0])
def test_class_transitions_are_the_probabilities_of_play(slip: float) -> None:
    """Rows are distributions over next states, as frequent in play as they say."""
    options: dict[str, Any] = {"least_count": 1, "max_count": 3, "target": {"circle": 2}, "slip": slip}
    env = CountingVectorEnv(2_000, image_size=32, max_episode_steps=None, terminate_on_target=False, **options)
    transitions, values = env.class_transitions
    assert values.tolist() == [0, 1, 0] + 9 * [0]
    _, info = env.reset(seed=0)
    for action, matrix in enumerate(transitions):
        assert matrix.shape == (12, 12)
        assert matrix.dtype == np.float64
        np.testing.assert_array_equal(matrix.sum(axis=1), np.ones(12))
        before = info["state"]
        info = env.step(np.full(2_000, action))[4]
        arrived = np.zeros((12, 12), int)
        np.add.at(arrived, (before, info["state"]), 1)
        for row, expected in zip(arrived, matrix, strict=True):
            assert row[expected == 0].sum() == 0
            for count, chance in zip(row[expected > 0], expected[expected > 0], strict=True):
                assert chance == 1 or stats.binomtest(int(count), int(row.sum()), chance).pvalue > 1e-4


def test_class_transitions_without_slip_are_class_mdp() -> None:
    """Without slip each row has a single 1, where the action leads; slip=1 exchanges the two actions."""
    successors, values = CountingEnv(wrap=True).class_mdp
    transitions, same_values = CountingEnv(wrap=True).class_transitions
    exchanged, _ = CountingEnv(wrap=True, slip=1).class_transitions
    np.testing.assert_array_equal(values, same_values)
    for action in (REMOVE, ADD):
        np.testing.assert_array_equal(transitions[action], np.eye(9)[successors[:, action]])
        np.testing.assert_array_equal(exchanged[1 - action], transitions[action])


@pytest.mark.parametrize("slip", [0.0, 0.2, 0.5])
def test_the_stochastic_tools_take_class_transitions(slip: float) -> None:
    """Every count is a class, unless both actions do the same: then the distance to the target is all that counts."""
    classes = probabilistic_bisimulation(*CountingEnv(slip=slip).class_transitions)
    assert classes.max() + 1 == (5 if slip == 0.5 else 9)


@pytest.mark.parametrize("make", [CountingEnv, CountingVectorEnv])
def test_class_mdp_refuses_slip(make: Any) -> None:
    """With slip there is no deterministic MDP; the error names the stochastic one and its tool."""
    with pytest.raises(ValueError, match=r"slip=0\.1 .*class_transitions.*probabilistic_bisimulation"):
        make(slip=0.1).class_mdp  # noqa: B018


def test_slip_is_the_other_action() -> None:
    """With slip=1 removing adds and adding removes; with 0.25, a quarter of the actions does the opposite."""
    env = CountingEnv(slip=1.0)
    env.reset(seed=0, options={"count": 6})
    assert env.step(ADD)[4]["count"] == 5
    envs = CountingVectorEnv(4_000, slip=0.25, image_size=32)
    envs.reset(seed=0, options={"count": 6})
    removed = (envs.step(np.full(4_000, ADD))[4]["count"] == 5).sum()
    assert stats.binomtest(int(removed), 4_000, 0.25).pvalue > 0.001


@pytest.mark.parametrize("appearance", ["episode", "object"])
def test_persisting_objects_come_and_go_together_where_the_count_wraps(appearance: str) -> None:
    """Wrapping to max_count brings several new objects with looks of their own; wrapping back leaves the first."""
    env = CountingEnv(wrap=True, least_count=1, placement="persist", appearance=appearance, terminate_on_target=False)
    _, one = env.reset(seed=0, options={"count": 1})
    *_, eight = env.step(REMOVE)
    *_, last = env.step(ADD)
    assert (one["count"], eight["count"], last["count"]) == (1, 8, 1)
    assert len(np.unique(eight["positions"], axis=0)) == 8
    for info in (eight, last):
        np.testing.assert_array_equal(info["positions"][0], one["positions"][0])
    assert (last["positions"][1:] == -1).all()
    if appearance == "object":
        assert len(np.unique(eight["color"], axis=0)) == 8
        assert set(eight["shape"]) <= set(SHAPES)
        np.testing.assert_array_equal(last["color"], one["color"])
        assert last["shape"].tolist() == one["shape"].tolist()
