"""The machine in a JEPA, on worlds that it knows exactly, or wrongly on purpose."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from gymnasium import spaces

from jepa_extractor import JEPA, Episode
from jepa_extractor.audit import AuditSet
from jepa_extractor.machine import Machine, NoClusters, compare, learned_machine
from jepa_extractor.machine.clusters import trees_of
from jepa_extractor.planning import LatentPlanner, retarget
from tests.planning.worlds import Count, Given, Linear, best_returns, random_world, world


def walks(successors, rewards, count=60, steps=8, noise=0.0, seed=0, ends=None, actions=None):
    """Return random walks of a world; observations are one-hot, with Gaussian noise."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        states, taken = [int(rng.integers(len(successors)))], list[int]()
        while len(taken) < steps and not (taken and ends is not None and ends[states[-1]]):
            taken.append(int(rng.choice(np.arange(successors.shape[1]) if actions is None else actions)))
            states.append(int(successors[states[-1], taken[-1]]))
        seen = np.eye(len(successors), dtype=np.float32)[states]
        seen += noise * rng.normal(size=seen.shape).astype(np.float32)
        over = ends is not None and bool(ends[states[-1]])
        found.append(Episode(seen, np.array(taken), rewards[states[1:]].astype(np.float32), over))
    return found


@pytest.mark.parametrize("noise", [0.0, 0.03])
@pytest.mark.parametrize("seed", range(8))
def test_it_is_the_world(seed, noise):
    """The number of nodes is found, each arrow is the world's, and the starts are those that were seen."""
    successors, rng = random_world(seed, states=7, actions=2)
    rewards = rng.integers(2, size=7).astype(float)
    machine = learned_machine(world(successors, rewards), walks(successors, rewards, noise=noise))
    assert len(machine.names) == 7
    assert machine.prototypes is not None
    assert machine.prototype_nodes is not None
    node_of = machine.prototypes[np.searchsorted(machine.prototype_nodes, range(7))].argmax(1)
    assert sorted(node_of) == list(range(7))
    assert (node_of[machine.successors] == successors[node_of]).all()
    assert (machine.rewards == rewards[successors[node_of]]).all()
    assert (machine.certainty == 1).all()
    assert machine.counts.sum() == 60 * 8
    assert compare(machine, Machine.from_mdp(successors, rewards)) is None


def test_what_was_never_seen_comes_from_the_transition():
    """Arrows without data are marked by a count of 0; their reward is the one seen that is nearest to the head's."""
    successors, _ = random_world(3, states=6, actions=3)
    rewards = np.array([0.0, 1.0, 0.0, 1.0, 0.0, 1.0])
    jepa = world(successors, 0.9 * rewards)  # the head is a little wrong
    machine = learned_machine(jepa, walks(successors, rewards, actions=[0, 1]))
    assert (machine.counts[:, :2] > 0).all()
    assert (machine.counts[:, 2] == 0).all()
    assert (machine.certainty == 1).all()
    assert compare(machine, Machine.from_mdp(successors, rewards)) is None


def test_ends_are_seen():
    """Arrows to a state that ends say so, and what follows it counts no more."""
    successors = np.array([[0, 1], [0, 2], [1, 3], [3, 3]])
    rewards = ends = np.array([0.0, 0.0, 0.0, 1.0])
    machine = learned_machine(world(successors, rewards), walks(successors, rewards, ends=ends))
    truth = Machine.from_mdp(successors, rewards, ends > 0)
    assert compare(machine, truth) is None
    assert compare(machine, Machine.from_mdp(successors, rewards)) is not None


def test_an_arrow_that_goes_two_ways():
    """A JEPA that merges two states which behave otherwise has a machine that is not sure, with a warning."""
    successors = np.array([[1, 2], [3, 0], [0, 3], [0, 0]])
    rewards = np.array([0.0, 0.0, 0.0, 1.0])
    merged = JEPA(spaces.Box(-9, 9, (4,), np.float32), spaces.Discrete(2), latent_dim=4, encoder="identity")
    episodes = walks(successors, rewards)
    for episode in episodes:
        episode.observations[:, 1] += episode.observations[:, 2]  # states 1 and 2 look the same
        episode.observations[:, 2] = 0
    with pytest.warns(UserWarning, match="some arrow contradicts the data"):
        machine = learned_machine(merged, episodes)
    assert len(machine.names) == 3
    assert 0.3 < machine.certainty.min() < 0.9


def test_latents_without_clusters():
    """Noise without rewards that it explains is no machine: the error holds the distances."""
    rng = np.random.default_rng(0)
    jepa = JEPA(spaces.Box(-9, 9, (8,), np.float32), spaces.Discrete(2), latent_dim=8, encoder="identity")
    noise = [
        Episode(rng.normal(size=(9, 8)).astype(np.float32), rng.integers(2, size=8), rng.random(8, np.float32), False)
        for _ in range(40)
    ]
    with pytest.raises(NoClusters, match=r"360 observations have no clusters.*distances") as caught:
        learned_machine(jepa, noise)
    assert (np.diff(caught.value.heights) <= 0).all()
    still = [episode._replace(observations=np.zeros((9, 8), np.float32)) for episode in noise]
    with pytest.raises(NoClusters):
        learned_machine(jepa, still)
    two = trees_of(np.float32([[0, 0], [3, 4]]), rng)
    assert (two.merges["single"][:, 2].tolist(), two.levels(100)) == ([5.0], [])


def test_rare_states_are_nodes():
    """Of 20,000 observations, three of a state that is far from the others are enough."""
    rng = np.random.default_rng(0)
    latents = np.eye(5, dtype=np.float32)[rng.integers(4, size=20_000)] + rng.normal(0, 0.01, (20_000, 5))
    latents[[5, 777, 19_000]] = 3 * np.eye(5)[4] + rng.normal(0, 0.01, (3, 5))
    trees = trees_of(latents.astype(np.float32), np.random.default_rng(0))
    top = trees.levels(100)[0]
    assert top.clusters == 5
    of_rare = trees.cut(top)[trees.nearest][[5, 777, 19_000]]
    assert len(set(of_rare)) == 1
    assert (trees.cut(top)[trees.nearest] == of_rare[0]).sum() == 3


def test_an_audit_set_is_taken_too():
    """The machine is the same from episodes and from the set that holds them."""
    successors, rng = random_world(1, states=6, actions=2)
    rewards = rng.integers(2, size=6).astype(float)
    episodes, jepa = walks(successors, rewards), world(successors, rewards)
    one = learned_machine(jepa, episodes)
    other = learned_machine(jepa, AuditSet.from_episodes(episodes, 2))
    for name in ("successors", "rewards", "ends", "counts", "certainty", "starts", "prototypes"):
        assert (getattr(one, name) == getattr(other, name)).all()


def test_the_same_seed_gives_the_same_machine():
    """Also where only a part of the latents is in the trees."""
    successors, rng = random_world(1, states=6, actions=2)
    rewards = rng.integers(2, size=6).astype(float)
    episodes, jepa = walks(successors, rewards, count=400, noise=0.02), world(successors, rewards)
    one, other = (learned_machine(jepa, iter(episodes), seed=3) for _ in range(2))
    assert (one.prototypes == other.prototypes).all()
    assert one.pictures.shape == (6, 4, 6)
    assert learned_machine(jepa, episodes, pictures=0).pictures is None


@pytest.mark.parametrize("goal", range(6))
def test_the_policy_takes_the_shortest_way(goal):
    """On a chain the policy walks straight to the goal, for one observation and for many."""
    successors = np.array([[max(state - 1, 0), min(state + 1, 5)] for state in range(6)])
    rewards = np.arange(6) == 2
    machine = learned_machine(world(successors, rewards), walks(successors, rewards))
    states = np.eye(6, dtype=np.float32)
    node = machine.prototype_nodes[machine.prototypes.argmax(1) == goal][0]
    policy = machine.policy(int(node))
    actions, state = policy.predict(states, state="kept")
    assert state == "kept"
    assert actions.dtype == np.int64
    assert (actions[:goal] == 1).all()
    assert (actions[goal + 1 :] == 0).all()
    alone, _ = policy.predict(states[0])
    assert alone.shape == ()
    assert alone == actions[0]


def test_a_policy_needs_an_encoder():
    """A machine of a table has no prototypes, one from a file no JEPA, and a JEPA may be another's."""
    successors, rng = random_world(1, states=6, actions=2)
    rewards = rng.integers(2, size=6).astype(float)
    table, jepa = Machine.from_mdp(successors, rewards), world(successors, rewards)
    with pytest.raises(ValueError, match=r"jepa=None.*give the JEPA"):
        table.policy(1)
    with pytest.raises(ValueError, match="no prototypes"):
        table.policy(1, jepa=jepa)
    machine = learned_machine(jepa, walks(successors, rewards))
    with pytest.raises(ValueError, match=r"latents of width 5.*prototypes 6"):
        machine.policy(1, jepa=world(random_world(0)[0][:, :2], np.zeros(5)))
    three, _ = random_world(0, states=6, actions=3)
    with pytest.raises(ValueError, match="2 actions"):
        machine.policy(1, jepa=world(three, np.zeros(6)))


def bad(**changes):
    one = walks(np.array([[0, 1], [1, 0]]), np.array([0.0, 1.0]), count=1)[0]
    return [one._replace(**changes)]


@pytest.mark.parametrize(
    ("episodes", "options", "message"),
    [
        ([], {}, "episodes is empty"),
        (3, {}, "episodes=3 is not a sequence"),
        (bad()[0], {}, "episodes is one episode"),
        (bad(actions=np.zeros(8)), {}, "actions of shape.*dtype float64"),
        (bad(actions=np.zeros((8, 1), int)), {}, r"actions of shape \(8, 1\)"),
        (bad(actions=np.zeros(7, int)), {}, "episode 0 has 8 rewards and 7 actions"),
        (bad(actions=np.full(8, 2)), {}, "not all in 0..1"),
        (bad(rewards=np.full(8, np.nan, np.float32)), {}, "episode 0 has rewards of nan"),
        (bad(), {"action_names": ["a"]}, "action_names=.*2 actions"),
        (bad(), {"pictures": -1}, "pictures=-1"),
        (bad(), {"most": 1}, "most=1"),
        (bad(), {"seed": -1}, "seed=-1"),
    ],
)
def test_bad_input(episodes, options, message):
    """Each is named, with the mend."""
    jepa = world(np.array([[0, 1], [1, 0]]), np.array([0.0, 1.0]))
    with pytest.raises(ValueError, match=message):
        learned_machine(jepa, episodes, **options)


def test_actions_that_are_no_arrows():
    """Continuous actions, and what is no JEPA."""
    continuous = JEPA(spaces.Box(-1, 1, (3,), np.float32), spaces.Box(-1, 1, (1,), np.float32))
    with pytest.raises(ValueError, match="must be Discrete"):
        learned_machine(continuous, bad())
    with pytest.raises(ValueError, match="features_extractor"):
        learned_machine(SimpleNamespace(), bad())


def test_the_end_head_tells_of_what_was_not_seen():
    """Where no data shows an arrow, its end is what the head says."""
    successors = np.array([[1, 0], [0, 2], [2, 2]])
    rewards = np.array([0.0, 1.0, 0.0])
    jepa = JEPA(
        spaces.Box(0, 1, (3,), np.float32),
        spaces.Discrete(2),
        latent_dim=3,
        encoder="identity",
        transition=type(world(successors, rewards).transition),
        transition_kwargs={"successors": successors},
        auxiliary=(Given("reward", Linear(rewards)), Given("end", Linear([0.0, 0.0, 1.0]))),
    )
    seen = walks(successors, rewards, actions=[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        machine = learned_machine(jepa, seen)
    assert machine.ends.sum() == 2
    assert machine.ends[:, 0].sum() == 0


@pytest.mark.parametrize("horizon", [1, 3, 8])
@pytest.mark.parametrize("seed", range(6))
def test_a_planner_acts_by_the_machine(seed, horizon):
    """Its actions are worth what the best of the graph search are, for the old goal and for a new one."""
    successors, rng = random_world(seed, states=6, actions=2)
    rewards, heads = rng.random(6), {"ends": (rng.random(6) < 0.2).astype(float), "q": rng.random((6, 2))}
    jepa = world(successors, rewards, **heads)
    machine = learned_machine(jepa, walks(successors, rewards, noise=0.02))
    jepa.transition = transition = Count(jepa.transition)
    planner = LatentPlanner(jepa, horizon, search=machine)
    transition.rows = 0
    states = np.eye(6, dtype=np.float32)
    actions, state = planner.predict(states)
    assert transition.rows == 0  # the encoder alone
    assert state is None
    assert actions.dtype == np.int64
    best = best_returns(successors, rewards, horizon, 0.99, **heads)
    np.testing.assert_allclose(best[np.arange(6), actions], best.max(1), atol=0.2)
    new = retarget(world(successors, rewards), states, np.arange(6) == 3)
    best = best_returns(successors, (np.arange(6) == 3).astype(float), horizon, 0.99)
    actions, _ = LatentPlanner(new, horizon, search=machine).predict(states)
    np.testing.assert_allclose(best[np.arange(6), actions], best.max(1), atol=1e-6)


def test_a_planner_with_a_machine_is_not_saved(tmp_path):
    """A planner's file holds the settings of a search; a machine has a file of its own."""
    successors, rng = random_world(1, states=6, actions=2)
    rewards = rng.integers(2, size=6).astype(float)
    jepa = world(successors, rewards)
    machine = learned_machine(jepa, walks(successors, rewards))
    with pytest.raises(ValueError, match=r"search is a Machine.*save_machine"):
        LatentPlanner(jepa, search=machine).save(tmp_path / "planner.pt")
    with pytest.raises(ValueError, match="no prototypes"):
        LatentPlanner(jepa, search=Machine.from_mdp(successors, rewards))
