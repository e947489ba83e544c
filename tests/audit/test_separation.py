"""What data or classes tell apart, and why."""

import numpy as np
import pytest

from jepa_extractor.audit import AuditSet, audit
from jepa_extractor.bisimulation import EmpiricalBisimulation, largest_bisimulation
from tests.audit.known_episodes import EPISODES, NAMES, episode


@pytest.fixture(scope="module")
def world():
    """A world whose reward depends on state and action: its MDP, and play in it. State 0 ends an episode.

    An observation is its state, and a number that does not matter. States 3 and 4 are bisimilar.
    """
    rng = np.random.default_rng(0)
    successors = np.array([[0, 0], [0, 2], [1, 3], [2, 5], [2, 5], [4, 1]])
    values = np.array([[0, 0], [1, 2], [2, 1], [1, 1], [1, 1], [1, 1]])
    episodes = []
    for _ in range(60):
        states, actions = [int(rng.integers(1, 6))], rng.integers(2, size=8)
        while len(states) <= 8 and states[-1] != 0:
            states.append(int(successors[states[-1], actions[len(states) - 1]]))
        taken, seen = actions[: len(states) - 1], np.stack([states, rng.random(len(states))], axis=1)
        episodes.append(episode(taken, values[states[:-1], taken], states[-1] == 0, np.float32(seen), state=states))
    return (successors, values), episodes


def test_a_reward_of_observation_and_action(world):
    """By "action_reward", two are apart if the same actions showed something else, as counting step by step says."""
    mdp, episodes = world
    data = AuditSet.from_episodes(episodes, NAMES, auxiliary="action_reward")

    def witness(i, j):
        actions = []
        while data.actions[i] == data.actions[j] >= 0:
            actions.append(int(data.actions[i]))
            i, j = i + 1, j + 1
            if (data.rewards[i], data.ends[i]) != (data.rewards[j], data.ends[j]):
                return actions
        return None

    left, right = np.triu_indices(len(data), k=1)
    expected = [witness(i, j) for i, j in zip(left, right, strict=True)]
    apart = data.apart(left, right)
    assert apart.tolist() == [actions is not None for actions in expected]
    assert f"Data tells {apart.mean():.2%} of the pairs of {len(data)} observations apart" in data.coverage()
    for i, j, actions in list(zip(left, right, expected, strict=True))[::97]:
        said = data.why(i, j)
        assert said.split(":")[0] == (", ".join(NAMES[a] for a in actions) if actions else "no data tells them apart")
    state = data.labels["state"].astype(int)
    classes = largest_bisimulation(*mdp)[state]
    assert not (apart & (classes[left] == classes[right])).any()
    assert {(i, j) for i in range(1, 6) for j in range(i + 1, 6)} - {(3, 4)} == {
        tuple(sorted(pair)) for pair in zip(state[left[apart]], state[right[apart]], strict=True)
    }


def test_a_perfect_encoder_where_the_reward_depends_on_the_action(world):
    """Rewards of arriving accuse it, and the set says why; rewards of observation and action do not."""
    _, episodes = world
    merged = np.array([0, 1, 2, 3, 3, 5])

    def perfect(observations):
        return merged[observations[:, 0].long().numpy()][:, None]

    by_arrival, by_action = (
        AuditSet.from_episodes(episodes, NAMES, auxiliary=auxiliary) for auxiliary in ("reward", "action_reward")
    )
    assert audit(perfect, by_arrival).collapse_index > 0.1
    assert audit(perfect, by_action).collapse_index == 0
    # what does not matter is left out, so that observations are seen again
    states = [episode(e.actions, e.rewards, e.terminated, np.float32(e.observations[:, :1])) for e in episodes]
    said = AuditSet.from_episodes(states, NAMES).coverage()
    assert "but never after the same observation and action" in said
    assert 'give auxiliary="action_reward"' in said
    assert "again" not in AuditSet.from_episodes(states, NAMES, auxiliary="action_reward").coverage()
    assert "again" not in AuditSet.from_episodes(EPISODES, NAMES).coverage()


def test_tolerance():
    """Rewards within the tolerance are the same; ends are never within it."""
    episodes = [episode([0], [0.0]), episode([0], [0.4]), episode([0], [5.0]), episode([0], [0.0], terminated=True)]
    exact, coarse = (AuditSet.from_episodes(episodes, 1, tolerance=tolerance) for tolerance in (0.0, 1.0))
    firsts = np.array([0, 0, 0]), np.array([2, 4, 6])
    assert exact.apart(*firsts).tolist() == [True, True, True]
    assert coarse.apart(*firsts).tolist() == [False, True, True]


def test_coverage_by_hand():
    """The text names the share of pairs told apart and how much data would show one action more."""
    rng = np.random.default_rng(0)
    episodes = [episode(rng.integers(2, size=3), rng.integers(2, size=3)) for _ in range(250)]
    audit_set = AuditSet.from_episodes(episodes, NAMES)
    n = len(audit_set)
    left, right = np.triu_indices(n, k=1)
    share = audit_set.required.differ(left, right).mean()
    required = audit_set.required
    # three quarters of the observations are followed by one action, a half by two, a quarter by three
    assert [required.both_take(length) for length in range(5)] == pytest.approx(
        [1, (3 / 8) ** 2, (1 / 8) ** 2, (1 / 32) ** 2, 0]
    )
    assert required.actions_seen() == 2  # 1 / 32 ** 2 is less than 1.5 / 1,000
    text = audit_set.coverage()
    assert f"Data tells {share:.2%} of the pairs of 1,000 observations apart." in text
    assert "first differ after 3 actions or more may go unseen" in text
    assert "follows both in one of 1,024 pairs" in text
    assert "record longer episodes, or about 1,536 in episodes such as these" in text  # 1.5 * 4 ** 3 is 96


def test_what_data_tells_apart_and_why():
    """Pairs are told apart as the empirical bisimulation of rewards and ends says; the sentence names what was seen."""
    audit_set = AuditSet.from_episodes(EPISODES, NAMES)
    successors = np.full((8, 2), -1)
    for i, action in enumerate(audit_set.actions):
        if action >= 0:
            successors[i, action] = i + 1
    values = np.stack([audit_set.rewards, audit_set.ends], axis=1)
    relation = EmpiricalBisimulation(successors, values)
    left, right = np.divmod(np.arange(64), 8)
    expected = [relation.distinguishable(i, j) for i, j in zip(left, right, strict=True)]
    assert audit_set.apart(left, right).tolist() == expected
    assert audit_set.why(0, 4) == "add, add: the left one is rewarded (1), the right one is not (0)"
    assert audit_set.why(4, 0) == "add, add: the left one is not rewarded (0), the right one is (1)"
    assert audit_set.why(2, 6) == "on arrival: the left one is rewarded (1), the right one is not (0)"
    assert audit_set.why(5, 6) == "add: the episode of the right one is over, that of the left one is not"
    assert audit_set.why(0, 3) == "no data tells them apart"
    two = AuditSet.from_episodes([episode([0], [2.0]), episode([0], [3.5])], NAMES)
    cost = AuditSet.from_episodes([episode([0], [0.0]), episode([0], [-1.0])], NAMES)
    assert cost.why(0, 2) == "remove: the reward of the left one is 0, that of the right one -1"
    assert two.why(0, 2) == "remove: the reward of the left one is 2, that of the right one 3.5"


def test_classes():
    """Classes are the numbers under the label; unknown ones must stay apart from none."""
    episodes = [episode([0, 0], [0, 0], count=[3, np.nan, 5]), episode([0], [0], count=[3, 5])]
    audit_set = AuditSet.from_classes(episodes, "count")
    left, right = np.divmod(np.arange(25), 5)
    expected = [{i, j} in ({0, 2}, {0, 4}, {3, 2}, {3, 4}) for i, j in zip(left, right, strict=True)]
    assert audit_set.apart(left, right).tolist() == expected
    assert audit_set.why(0, 2) == "count 3 and count 5"
    assert audit_set.coverage() == "There are 2 classes of count. The rarest, count 3, was seen 2 times."


def test_classes_of_an_mdp():
    """The classes are those of its largest bisimulation, and the actions that tell two states apart are named."""
    mdp = [[0, 1], [0, 2], [2, 2], [2, 2]], [0, 0, 1, 1]  # 2 and 3 are bisimilar
    episodes = [episode([1, 1], [0, 1], state=[0, 1, 2]), episode([1, 1], [1, 1], state=[3, 2, 2])]
    audit_set = AuditSet.from_classes(episodes, "state", mdp, NAMES)
    assert audit_set.apart(np.array([0, 2, 0]), np.array([1, 3, 3])).tolist() == [True, False, True]
    assert audit_set.why(0, 1) == "state 0 and state 1: add: the value is 0 on the left, 1 on the right"
    assert audit_set.why(0, 3) == "state 0 and state 3: at once: the value is 0 on the left, 1 on the right"
    assert "Fewer than two observations show state 0, 1: nothing is said of it" in audit_set.coverage()
