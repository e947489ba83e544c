"""LatentPlanner against brute force on worlds that its extractor knows exactly."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from torch import nn

from jepa_extractor import JEPAExtractor, LatentPlanner, RewardTask, jepa_policy_kwargs, policy_space
from jepa_extractor.planning.graph import search
from jepa_extractor.planning.model import LatentModel
from tests.planning.worlds import Given, Linear, best_returns, world

CHAIN = [[max(state - 1, 0), min(state + 1, 5)] for state in range(6)]


def random_world(seed, states=5, actions=3):
    rng = np.random.default_rng(seed)
    return rng.integers(states, size=(states, actions)), rng


def values_of(extractor, horizon, discount=0.9, width=1_000, tolerance=0.25):
    """Return the planner's values (S, A) at every state."""
    roots = torch.eye(extractor.features_dim)
    features = torch.eye(extractor.action_space.n)
    with torch.no_grad():
        return search(LatentModel(extractor), roots, features, horizon, discount, width, tolerance)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), horizon=st.integers(1, 5), tolerance=st.sampled_from([0.0, 0.25]))
def test_values_are_those_of_brute_force(seed, horizon, tolerance):
    """The value of each action is the best return over all sequences, whatever heads there are."""
    successors, rng = random_world(seed)
    heads = {}
    rewards = rng.normal(size=5) if seed % 2 else rng.normal(size=(5, 3))
    if seed % 3:
        heads["ends"] = rng.random(5)
    if seed % 5:
        heads["q"] = rng.normal(size=(5, 3))
    planned = values_of(world(successors, rewards, **heads), horizon, tolerance=tolerance)
    np.testing.assert_allclose(planned, best_returns(successors, rewards, horizon, 0.9, **heads), atol=1e-5)


@pytest.mark.parametrize("goal", range(6))
def test_a_goal_is_reached_by_the_shortest_way(goal):
    """On a chain with one rewarded state the planner walks straight to it, from every start."""
    planner = LatentPlanner(world(CHAIN, np.arange(6) == goal), horizon=5)
    actions, state = planner.predict(np.eye(6, dtype=np.float32))
    starts = np.arange(6)
    assert state is None
    assert actions.dtype == np.int64
    assert (actions[starts < goal] == 1).all()
    assert (actions[starts > goal] == 0).all()


class Count(nn.Module):
    """A transition that counts how many rows it is asked for."""

    rows = 0

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, latents, actions):
        self.rows += len(latents)
        return self.inner(latents, actions)


def test_latents_that_meet_are_expanded_once():
    """On a chain of six states a search of 20 steps asks for each state's actions once, not for 2 ** 20 sequences."""
    extractor = world(CHAIN, np.arange(6) == 5)
    extractor.jepa.transition = Count(extractor.jepa.transition)
    planner = LatentPlanner(extractor, horizon=20)
    action, _ = planner.predict(np.eye(6, dtype=np.float32)[0])
    assert action == 1
    assert extractor.jepa.transition.rows == 6 * 2


class Drift(nn.Module):
    """Walks on a line in steps of 1: the first component. The second is an error, up to ``error``, of each way."""

    def __init__(self, latent_dim, action_dim, error):
        super().__init__()
        self.error = error

    def forward(self, latents, actions):
        moved = latents[:, :1] + actions[:, 1:] - actions[:, :1]
        return torch.cat(
            [moved, self.error * torch.sin(1e3 * latents.sum(1, keepdim=True) + 10 * actions[:, :1])], dim=1
        )


class Peak(nn.Module):
    def forward(self, latents):
        return (1 - (latents[..., :1] - 3).abs()).clamp(min=0)


def line(error):
    return JEPAExtractor(
        spaces.Box(-9, 9, (2,), np.float32),
        spaces.Discrete(2),
        latent_dim=2,
        encoder="identity",
        transition=Drift,
        transition_kwargs={"error": error},
        auxiliary=(Given("reward", Peak()),),
    )


@pytest.mark.parametrize("error", [0.0, 0.05])
def test_pruning_changes_no_value(error):
    """Merging latents that meet gives what the exhaustive search gives, on exact and on slightly wrong predictions."""
    extractor = line(error)
    extractor.jepa.transition = transition = Count(extractor.jepa.transition)
    roots = torch.tensor([[place, 0.0] for place in (-1.0, 0.0, 2.0, 3.0, 5.0)])

    def values_and_rows(tolerance):
        transition.rows = 0
        with torch.no_grad():
            return search(LatentModel(extractor), roots, torch.eye(2), 7, 0.99, 1_000, tolerance), transition.rows

    pruned, few = values_and_rows(0.25)
    exhaustive, many = values_and_rows(0.0)
    np.testing.assert_allclose(pruned, exhaustive, atol=1e-5)
    assert few <= 5 * 2 * 13  # at most 13 places are within six steps of a root
    assert error == 0.0 or many == 5 * (2**8 - 2)


class Pit(nn.Module):
    """As ``Drift`` without error, but beyond -1 no action moves the first component; the second drifts a little."""

    def __init__(self, latent_dim, action_dim):
        super().__init__()

    def forward(self, latents, actions):
        place, drift = latents[:, :1], latents[:, 1:]
        fallen = place <= -1
        moved = place + torch.where(fallen, 0.0, actions[:, 1:] - actions[:, :1])
        return torch.cat([moved, torch.where(fallen, drift + 0.001 * (1 + actions[:, 1:]), drift)], dim=1)


def test_an_end_that_drifts_is_one_node():
    """Where no action moves but T errs a little, the search does not fill up with copies of that state."""
    extractor = JEPAExtractor(
        spaces.Box(-9, 9, (2,), np.float32),
        spaces.Discrete(2),
        latent_dim=2,
        encoder="identity",
        transition=Pit,
        auxiliary=(Given("reward", Peak()),),
    )
    extractor.jepa.transition = transition = Count(extractor.jepa.transition)
    planner = LatentPlanner(extractor, horizon=8, width=4)
    actions, _ = planner.predict(np.zeros((1, 2), np.float32))
    assert actions == [1]
    assert transition.rows <= 2 * 9  # the pit, and the places from 0 to 7


def test_a_narrow_search_keeps_the_best_ways():
    """With more new nodes than the width, those of the highest return so far go on."""
    tree = np.array([[1, 2], [3, 4], [5, 6], [3, 3], [4, 4], [5, 5], [6, 6]])  # two levels, then loops
    rewards = np.array([0.0, 0.2, 0.1, 0.0, 0.0, 5.0, 0.0])
    wide, narrow = (values_of(world(tree, rewards), 2, 1.0, width)[0] for width in (2, 1))
    np.testing.assert_allclose(wide, [0.2, 5.1], atol=1e-6)
    np.testing.assert_allclose(narrow, [0.2, 0.1], atol=1e-6)


def test_a_batch_gives_what_single_observations_give():
    """No observation's actions depend on the others in the batch."""
    successors, rng = random_world(3, states=8, actions=3)
    planner = LatentPlanner(world(successors, rng.normal(size=8)), horizon=4)
    observations = rng.random((20, 8)).astype(np.float32)
    together, _ = planner.predict(observations)
    alone = [planner.predict(observation)[0] for observation in observations]
    assert together.tolist() == [int(action) for action in alone]
    assert all(np.shape(action) == () for action in alone)


@pytest.mark.parametrize(
    ("space", "shape"), [(spaces.MultiDiscrete([2, 3]), (2,)), (spaces.MultiBinary(2), (2,)), (spaces.Discrete(2), ())]
)
def test_actions_belong_to_their_space(space, shape):
    """Every discrete space is searched, and the actions are of its shape and dtype."""
    extractor = JEPAExtractor(spaces.Box(-1, 1, (3,), np.float32), space, latent_dim=4, encoder="mlp")
    with pytest.warns(UserWarning, match="never trained"):
        planner = LatentPlanner(extractor, horizon=2)
    actions, _ = planner.predict(np.zeros((5, 3), np.float32))
    assert actions.shape == (5, *shape)
    assert all(space.contains(action if shape else np.int64(action)) for action in actions)


class Push(nn.Module):
    """A point on a line is moved by a tenth of the force (B, 1)."""

    def __init__(self, latent_dim, action_dim):
        super().__init__()

    def forward(self, latents, actions):
        return latents + actions / 10


class Near(nn.Module):
    def forward(self, latents):
        return -(latents - 0.5).abs()


def pushed(auxiliary=None, low=-2.0, high=6.0):
    return JEPAExtractor(
        spaces.Box(-9, 9, (1,), np.float32),
        spaces.Box(low, high, (1,), np.float32),
        latent_dim=1,
        encoder="identity",
        transition=Push,
        auxiliary=auxiliary or (Given("reward", Near()),),
    )


def test_continuous_actions_approach_the_goal():
    """A point goes to 0.5 as fast as the bounds allow, and stays: the best force is known in closed form."""
    planner = LatentPlanner(pushed(), horizon=3)
    places: np.ndarray = np.array([[-1.0], [0.3], [0.5], [0.65], [2.0]], np.float32)
    actions, state = planner.predict(places)
    assert actions.dtype == np.float32
    np.testing.assert_allclose(actions, [[6.0], [2.0], [0.0], [-1.5], [-2.0]], atol=0.6)
    assert state is not None
    for _ in range(4):
        places = places + actions / 10
        actions, state = planner.predict(places, state, episode_start=np.zeros(5, bool))
    np.testing.assert_allclose(places[1:4], 0.5, atol=0.05)


def test_the_q_head_counts_what_follows_the_horizon():
    """With a reward of nothing, one step of planning follows the Q head of the state it leads to."""

    class Far(nn.Module):
        def forward(self, inputs):  # latent and force
            return -(inputs[..., :1] + inputs[..., 1:] / 10 - 1.0).abs()

    class Nothing(nn.Module):
        def forward(self, latents):
            return latents * 0

    planner = LatentPlanner(pushed((Given("reward", Nothing()), Given("q", Far()))), horizon=1)
    action, _ = planner.predict(np.array([-0.2], np.float32))
    assert action == pytest.approx(6.0, abs=1.0)  # two steps of 0.6 reach 1.0


def test_the_return_of_a_continuous_plan():
    """Later rewards are discounted, and the last action counts by the Q head alone."""

    class Sum(nn.Module):
        def forward(self, inputs):
            return inputs.sum(-1, keepdim=True)

    extractor = pushed((Given("reward", Near()), Given("q", Sum())), low=-1.0, high=1.0)
    planner = LatentPlanner(extractor, horizon=2, discount=0.5)
    sequences = torch.tensor([[0.5, -1.0, 0.25], [1.0, 1.0, -1.0]])
    values = planner._mppi._values(torch.tensor([[0.2]]), sequences[None, :, :, None])
    expected = [-0.25 - 0.5 * 0.35 + 0.25 * (0.15 + 0.25), -0.2 - 0.5 * 0.1 + 0.25 * (0.4 - 1.0)]
    np.testing.assert_allclose(values[0], expected, atol=1e-6)


def test_a_continuous_plan_goes_on_one_step_later():
    """The state is the plan of the step before: its second action is where the next search begins."""
    planner = LatentPlanner(pushed(low=-1.0, high=1.0), horizon=3, samples=1, elites=1, iterations=1, seed=8)
    place = np.zeros(1, np.float32)
    fresh, _ = planner.predict(place)
    assert abs(fresh.item()) < 0.8  # so that nothing is clipped
    later, _ = planner.predict(place, (np.array([[[0.7], [0.1], [-0.3]]], np.float32),))
    assert later - fresh == pytest.approx(0.1, abs=1e-6)


def test_continuous_plans_are_reproducible():
    """The same observation and state give the same action, alone or in a batch; a new episode forgets the state."""
    planner = LatentPlanner(pushed(), horizon=3, samples=64, elites=8, iterations=3)
    places = np.array([[-1.0], [0.3]], np.float32)
    actions, state = planner.predict(places)
    again, _ = planner.predict(places)
    alone, _ = planner.predict(places[1])
    assert (actions == again).all()
    assert alone.shape == (1,)
    np.testing.assert_allclose(alone, actions[1], atol=1e-6)
    restarted, _ = planner.predict(places, state, episode_start=np.array([True, True]))
    going_on, _ = planner.predict(places, state, episode_start=np.array([False, False]))
    assert (restarted == actions).all()
    assert (going_on != actions).any()


def test_actions_that_are_not_deterministic_come_from_the_seed():
    """deterministic=False draws among the best plans, the same ones for the same seed."""
    place = np.array([0.3], np.float32)
    drawn = [
        [LatentPlanner.predict(planner, place, deterministic=False)[0].item() for _ in range(5)]
        for planner in (LatentPlanner(pushed(), seed=seed) for seed in (1, 1, 2))
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) > 1


class Chain(gym.Env):
    """Walk on the integers 0..5 to 5; the observation is one-hot."""

    def __init__(self):
        self.observation_space = spaces.Box(0, 1, (6,), np.float32)
        self.action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.steps = int(self.np_random.integers(5)), 0
        return np.eye(6, dtype=np.float32)[self.place], {}

    def step(self, action):
        self.place, self.steps = CHAIN[self.place][action], self.steps + 1
        done = self.place == 5
        return np.eye(6, dtype=np.float32)[self.place], float(done), done, self.steps == 5, {}


@pytest.mark.parametrize("n_envs", [1, 3])
def test_evaluate_policy_takes_a_planner(n_envs):
    """Stable-Baselines3 evaluates a planner as it does a policy."""
    env = make_vec_env(Chain, n_envs=n_envs, seed=0)
    planner = LatentPlanner(world(CHAIN, np.arange(6) == 5), horizon=5)
    assert evaluate_policy(planner, env, n_eval_episodes=12) == (1.0, 0.0)


def test_images_with_channels_first_or_last():
    """An image is taken as the environment gives it, and as a policy sees it."""
    last = spaces.Box(0, 255, (40, 48, 3), np.uint8)
    torch.manual_seed(0)
    extractor = JEPAExtractor(policy_space(last), spaces.Discrete(3), encoder="pooled", latent_dim=8)
    with pytest.warns(UserWarning, match="never trained"):
        planner = LatentPlanner(extractor, horizon=2)
    images = np.random.default_rng(0).integers(256, size=(6, 40, 48, 3), dtype=np.uint8)
    actions, _ = planner.predict(images)
    first, _ = planner.predict(np.moveaxis(images, -1, 1))
    assert actions.tolist() == first.tolist()
    assert planner.predict(images[2])[0] == actions[2]


def test_a_dict_of_observations():
    """Observations of a Dict space are planned from, one or many."""
    space = spaces.Dict({"a": spaces.Box(-1, 1, (2,), np.float32), "b": spaces.Discrete(3)})
    extractor = JEPAExtractor(space, spaces.Discrete(2), latent_dim=4)
    with pytest.warns(UserWarning, match="never trained"):
        planner = LatentPlanner(extractor, horizon=2)
    assert planner.predict({"a": np.zeros(2, np.float32), "b": np.int64(1)})[0].shape == ()
    assert planner.predict({"a": np.zeros((4, 2), np.float32), "b": np.zeros(4, np.int64)})[0].shape == (4,)


def test_the_extractor_is_left_as_it_was():
    """Planning changes neither weights nor training mode, and sees the network in evaluation mode."""

    class Dropping(nn.Module):
        def __init__(self, latent_dim, action_dim):
            super().__init__()
            self.drop = nn.Dropout(0.5)

        def forward(self, latents, actions):
            return self.drop(latents) + actions[:, :1] / 10

    torch.manual_seed(0)
    extractor = JEPAExtractor(
        spaces.Box(-1, 1, (3,), np.float32), spaces.Discrete(2), latent_dim=3, encoder="identity", transition=Dropping
    ).train()
    before = {name: value.clone() for name, value in extractor.state_dict().items()}
    planner = LatentPlanner(extractor, horizon=4)
    observations = np.random.default_rng(0).random((30, 3)).astype(np.float32)
    assert planner.predict(observations)[0].tolist() == planner.predict(observations)[0].tolist()
    assert all(module.training for module in extractor.modules())
    assert all(torch.equal(before[name], value) for name, value in extractor.state_dict().items())


def test_an_extractor_of_a_saved_model(tmp_path):
    """The extractor of a model.zip plans what it planned before the model was saved."""
    env = make_vec_env(Chain, n_envs=2, seed=0)
    model = PPO("MlpPolicy", env, n_steps=4, batch_size=8, policy_kwargs=jepa_policy_kwargs(env.action_space), seed=0)
    model.save(tmp_path / "model.zip")
    observations = np.eye(6, dtype=np.float32)
    with pytest.warns(UserWarning, match="never trained"):
        expected, _ = LatentPlanner(model.policy.features_extractor).predict(observations)
    with pytest.warns(UserWarning, match="never trained"):
        planner = LatentPlanner(PPO.load(tmp_path / "model.zip").policy.features_extractor)
    assert planner.predict(observations)[0].tolist() == expected.tolist()


def test_a_trained_transition_brings_no_warning():
    """The warning is for transitions that no update has moved."""
    extractor = JEPAExtractor(spaces.Box(-1, 1, (3,), np.float32), spaces.Discrete(2), encoder="identity", latent_dim=3)
    optimizer = torch.optim.Adam(extractor.jepa.transition.parameters(), 1e-3)
    extractor.jepa.next(torch.ones(4, 3), torch.ones(4, 2)).square().sum().backward()
    optimizer.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LatentPlanner(extractor)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"horizon": 0}, "horizon=0"),
        ({"horizon": 2.5}, "horizon=2.5"),
        ({"discount": 1.1}, "discount=1.1"),
        ({"width": 0}, "width=0"),
        ({"width": 1}, "2 actions, more than width=1"),
        ({"tolerance": -0.1}, "tolerance=-0.1"),
        ({"samples": 10, "elites": 20}, "samples=10"),
        ({"iterations": 0}, "iterations=0"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_wrong_options(options, message):
    """An option out of range is named, with its value."""
    with pytest.raises(ValueError, match=message):
        LatentPlanner(world(CHAIN, np.zeros(6)), **options)


def test_what_cannot_be_planned_with():
    """No extractor, no reward to predict, too many actions, actions without bounds: each is an error that says so."""
    box = spaces.Box(-1, 1, (3,), np.float32)
    with pytest.raises(ValueError, match=r"extractor=.*not of type JEPAExtractor.*features_extractor"):
        LatentPlanner(nn.Linear(2, 2))
    with pytest.raises(ValueError, match=r"predicts no reward.*retarget"):
        LatentPlanner(JEPAExtractor(box, spaces.Discrete(2), auxiliary=()))
    with pytest.raises(ValueError, match="300 actions, more than width=256"):
        LatentPlanner(JEPAExtractor(box, spaces.Discrete(300)))
    with pytest.raises(ValueError, match="more than width=256"):
        LatentPlanner(JEPAExtractor(box, spaces.MultiBinary(2_000)))
    unbounded = spaces.Box(-np.inf, np.inf, (1,), np.float32)
    with pytest.raises(ValueError, match="no bounds"):
        LatentPlanner(JEPAExtractor(box, unbounded, auxiliary=(RewardTask(),)))


@pytest.mark.parametrize(
    "observations",
    [
        np.zeros(5, np.float32),
        np.zeros((2, 3, 6), np.float32),
        (np.zeros(6, np.float32), {}),
        {"a": np.zeros(6, np.float32)},
    ],
    ids=["another size", "two batches", "what reset returns", "a dict"],
)
def test_observations_of_another_space(observations):
    """Observations that are not of the extractor's space are an error."""
    with pytest.raises(ValueError, match=r"observation"):
        LatentPlanner(world(CHAIN, np.zeros(6))).predict(observations)


def test_linear_heads_read_states_and_actions():
    """The oracle's own heads: one number for each state, or for each state and action."""
    assert Linear([1.0, 2.0])(torch.eye(2)).tolist() == [[1.0], [2.0]]
    both = torch.cat([torch.eye(2), torch.tensor([[0.0, 1.0], [1.0, 0.0]])], 1)
    assert Linear([[1.0, 2.0], [3.0, 4.0]])(both).tolist() == [[2.0], [3.0]]
