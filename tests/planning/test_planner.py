"""LatentPlanner as a policy: what it takes, what it returns, and what it refuses."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from torch import nn

from jepa_extractor import JEPA, Episode, RewardTask, TransitionRing, fit_transition, jepa_policy_kwargs
from jepa_extractor.planning import MPPI, GraphSearch, LatentPlanner
from tests.planning.worlds import Linear, random_world, world

CHAIN = [[max(state - 1, 0), min(state + 1, 5)] for state in range(6)]


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
    jepa = JEPA(spaces.Box(-1, 1, (3,), np.float32), space, latent_dim=4, encoder="mlp")
    with pytest.warns(UserWarning, match="never trained"):
        planner = LatentPlanner(jepa, horizon=2)
    actions, _ = planner.predict(np.zeros((5, 3), np.float32))
    assert actions.shape == (5, *shape)
    assert all(space.contains(action if shape else np.int64(action)) for action in actions)


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
    jepa = JEPA(last, spaces.Discrete(3), encoder="pooled", latent_dim=8)
    with pytest.warns(UserWarning, match="never trained"):
        planner = LatentPlanner(jepa, horizon=2)
    images = np.random.default_rng(0).integers(256, size=(6, 40, 48, 3), dtype=np.uint8)
    actions, _ = planner.predict(images)
    first, _ = planner.predict(np.moveaxis(images, -1, 1))
    assert actions.tolist() == first.tolist()
    assert planner.predict(images[2])[0] == actions[2]


def test_a_dict_of_observations():
    """Observations of a Dict space are planned from, one or many."""
    space = spaces.Dict({"a": spaces.Box(-1, 1, (2,), np.float32), "b": spaces.Discrete(3)})
    jepa = JEPA(space, spaces.Discrete(2), latent_dim=4)
    with pytest.warns(UserWarning, match="never trained"):
        planner = LatentPlanner(jepa, horizon=2)
    assert planner.predict({"a": np.zeros(2, np.float32), "b": np.int64(1)})[0].shape == ()
    assert planner.predict({"a": np.zeros((4, 2), np.float32), "b": np.zeros(4, np.int64)})[0].shape == (4,)


def test_the_jepa_is_left_as_it_was():
    """Planning changes neither weights nor training mode, and sees the network in evaluation mode."""

    class Dropping(nn.Module):
        def __init__(self, latent_dim, action_dim):
            super().__init__()
            self.drop = nn.Dropout(0.5)

        def forward(self, latents, actions):
            return self.drop(latents) + actions[:, :1] / 10

    torch.manual_seed(0)
    jepa = JEPA(
        spaces.Box(-1, 1, (3,), np.float32), spaces.Discrete(2), latent_dim=3, encoder="identity", transition=Dropping
    ).train()
    before = {name: value.clone() for name, value in jepa.state_dict().items()}
    planner = LatentPlanner(jepa, horizon=4)
    observations = np.random.default_rng(0).random((30, 3)).astype(np.float32)
    assert planner.predict(observations)[0].tolist() == planner.predict(observations)[0].tolist()
    assert all(module.training for module in jepa.modules())
    assert all(torch.equal(before[name], value) for name, value in jepa.state_dict().items())


def test_the_jepa_of_a_saved_model(tmp_path):
    """The jepa of a model.zip plans what it planned before the model was saved."""
    env = make_vec_env(Chain, n_envs=2, seed=0)
    model = PPO("MlpPolicy", env, n_steps=4, batch_size=8, policy_kwargs=jepa_policy_kwargs(env), seed=0)
    model.save(tmp_path / "model.zip")
    observations = np.eye(6, dtype=np.float32)
    with pytest.warns(UserWarning, match="never trained"):
        expected, _ = LatentPlanner(model.policy.features_extractor.jepa).predict(observations)
    with pytest.warns(UserWarning, match="never trained"):
        planner = LatentPlanner(PPO.load(tmp_path / "model.zip").policy.features_extractor.jepa)
    assert planner.predict(observations)[0].tolist() == expected.tolist()


def steps(count=8):
    """Return a ring of one episode."""
    seen = np.random.default_rng(0).uniform(-1, 1, (count + 1, 3)).astype(np.float32)
    episode = Episode(seen, np.arange(count) % 2, np.zeros(count, np.float32), False)
    return TransitionRing.from_episodes([episode], seed=0)


def test_a_trained_transition_brings_no_warning():
    """The warning is for a JEPA that neither a loss nor a fit has trained; a look at the loss is no training."""
    ring, space = steps(), spaces.Box(-1, 1, (3,), np.float32)
    for train in (lambda jepa: jepa.loss(ring.sample(4)), lambda jepa: fit_transition(jepa, ring, updates=1)):
        jepa = JEPA(space, spaces.Discrete(2), encoder="identity", latent_dim=3)
        jepa.eval().loss(ring.sample(4))
        with pytest.warns(UserWarning, match="never trained"):
            LatentPlanner(jepa)
        train(jepa.train())
        assert jepa.updates == 1
        LatentPlanner(jepa)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LatentPlanner(world(CHAIN, np.zeros(6)), horizon=0), "horizon=0"),
        (lambda: LatentPlanner(world(CHAIN, np.zeros(6)), horizon=2.5), "horizon=2.5"),
        (lambda: LatentPlanner(world(CHAIN, np.zeros(6)), discount=1.1), "discount=1.1"),
        (lambda: LatentPlanner(world(CHAIN, np.zeros(6)), search=GraphSearch(width=1)), "2 actions, more than width=1"),
        (lambda: GraphSearch(width=0), "width=0"),
        (lambda: GraphSearch(tolerance=-0.1), "tolerance=-0.1"),
        (lambda: MPPI(samples=10, elites=20), "samples=10"),
        (lambda: MPPI(elites=0), "elites=0"),
        (lambda: MPPI(iterations=0), "iterations=0"),
        (lambda: MPPI(seed=-1), "seed=-1"),
    ],
)
def test_wrong_options(make, message):
    """An option out of range is named, with its value."""
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("search", [MPPI(), "graph", GraphSearch], ids=["MPPI", "a string", "a class"])
def test_a_search_for_other_actions(search):
    """Discrete actions take a GraphSearch, and the error says so; continuous ones an MPPI."""
    with pytest.raises(ValueError, match=r"search=.* is not for the actions of Discrete\(2\): give GraphSearch\(...\)"):
        LatentPlanner(world(CHAIN, np.zeros(6)), search=search)
    continuous = JEPA(spaces.Box(-1, 1, (3,), np.float32), spaces.Box(-1, 1, (1,), np.float32))
    with pytest.raises(ValueError, match=r"search=GraphSearch.* is not for the actions of Box.*: give MPPI\(...\)"):
        LatentPlanner(continuous, search=GraphSearch())


def test_what_cannot_be_planned_with():
    """No jepa, no reward to predict, too many actions, actions without bounds: each is an error that says so."""
    box = spaces.Box(-1, 1, (3,), np.float32)
    with pytest.raises(ValueError, match=r"jepa=.*not of type JEPA.*features_extractor"):
        LatentPlanner(nn.Linear(2, 2))
    with pytest.raises(ValueError, match=r"predicts no reward.*retarget"):
        LatentPlanner(JEPA(box, spaces.Discrete(2), auxiliary=()))
    with pytest.raises(ValueError, match="300 actions, more than width=256"):
        LatentPlanner(JEPA(box, spaces.Discrete(300)))
    with pytest.raises(ValueError, match="more than width=256"):
        LatentPlanner(JEPA(box, spaces.MultiBinary(2_000)))
    unbounded = spaces.Box(-np.inf, np.inf, (1,), np.float32)
    with pytest.raises(ValueError, match="no bounds"):
        LatentPlanner(JEPA(box, unbounded, auxiliary=(RewardTask(),)))


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
    """Observations that are not of the jepa's space are an error."""
    with pytest.raises(ValueError, match=r"observation"):
        LatentPlanner(world(CHAIN, np.zeros(6))).predict(observations)


def test_linear_heads_read_states_and_actions():
    """The oracle's own heads: one number for each state, or for each state and action."""
    assert Linear([1.0, 2.0])(torch.eye(2)).tolist() == [[1.0], [2.0]]
    both = torch.cat([torch.eye(2), torch.tensor([[0.0, 1.0], [1.0, 0.0]])], 1)
    assert Linear([[1.0, 2.0], [3.0, 4.0]])(both).tolist() == [[2.0], [3.0]]
