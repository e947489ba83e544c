"""Toy-text environments as images: their MDP is that of play, and every image is that of its state."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from jepa_extractor import JEPA, random_episodes
from jepa_extractor.audit import AuditSet, audit, compare_classes
from jepa_extractor.bisimulation import EmpiricalBisimulation, largest_bisimulation, probabilistic_bisimulation
from jepa_extractor.envs.table_images import TableImages
from tests.envs.tables import LAKE, TAXI, WORLDS, make


@pytest.fixture(scope="module")
def taxi():
    """Taxi, whose images are kept for every test that asks for it."""
    return make(**TAXI)


@pytest.mark.parametrize(
    "options",
    [
        *(pytest.param(options, id=name) for name, options in WORLDS.items()),
        pytest.param(TAXI, id="taxi", marks=pytest.mark.slow),
    ],
)
def test_mdp_is_that_of_play(options):
    """Every action in every state leads where the table says, with its reward and end, and shows that state's image."""
    env = make(**options)
    successors, values = env.class_mdp
    for state in np.flatnonzero(~env.ends):
        for action in range(env.action_space.n):
            observation, info = env.reset(options={"state": state})
            assert info["state"] == state
            np.testing.assert_array_equal(observation, env.images[state])
            observation, reward, terminated, truncated, info = env.step(action)
            arrived = info["state"]
            assert successors[state, action] == arrived
            assert reward == (values[arrived] if values.ndim == 1 else values[state, action])
            assert (terminated, truncated) == (env.ends[arrived], False)
            np.testing.assert_array_equal(observation, env.images[arrived])
    for end in np.flatnonzero(env.ends):
        assert (successors[end] == end).all()
        assert values.ndim == 1 or not values[end].any()


@pytest.mark.parametrize(
    ("world", "states", "ends", "shape", "classes", "pictures"),
    [
        ("lake", 16, 5, (16,), 13, 13),
        ("large lake", 64, 11, (64,), 55, 55),
        ("own lake", 5, 2, (5,), 5, 5),
        ("cliff", 38, 1, (38, 4), 38, 38),
        pytest.param("taxi", 404, 4, (404, 6), 401, 404, marks=pytest.mark.slow),
    ],
)
def test_sizes(world, states, ends, shape, classes, pictures):
    """Only what play can reach is a state; holes are one class and one picture; the cliff and the taxi need actions.

    4 x 4 has 4 holes, 8 x 8 has 10. In Taxi 300 states wait for the taxi, 100 hold the passenger, and 4 end it.
    """
    env = make(**{**WORLDS, "taxi": TAXI}[world])
    successors, values = env.class_mdp
    assert (len(env.states), env.ends.sum(), values.shape) == (states, ends, shape)
    assert len(env.images) == len(successors) == states
    assert largest_bisimulation(successors, values).max() + 1 == classes
    assert len(np.unique(env.images, axis=0)) == pictures


def test_lake_without_a_goal_is_one_class():
    """Where nothing is rewarded, nothing must stay apart."""
    env = make(**LAKE, reward_schedule=(0, 0, 0))
    assert largest_bisimulation(*env.class_mdp).max() == 0


def test_image_is_the_area_mean_of_the_rendered_frame():
    """Where the frame is a whole number of times as large, a pixel is the mean of its block, rounded."""
    env = make(**LAKE, image_size=64)
    env.reset(seed=0)
    for action in (2, 1, 1):
        *_, info = env.step(action)
        frame = env.render()
        blocks = frame.reshape(64, frame.shape[0] // 64, 64, frame.shape[1] // 64, 3).mean(axis=(1, 3))
        np.testing.assert_allclose(env.images[info["state"]], blocks, atol=0.5)


@pytest.mark.slow
def test_image_of_a_state_does_not_depend_on_the_way_there(taxi):
    """Taxi's own frame shows where its taxi came from; the image does not."""
    played = gym.make("Taxi-v4", render_mode="rgb_array")
    played.reset(seed=0)
    played.step(3)
    np.testing.assert_array_equal(TableImages(played, image_size=32).images, taxi.images)
    observation, info = taxi.reset(seed=3)
    before = {info["state"]: observation}
    for _ in range(200):
        observation, _, terminated, truncated, info = taxi.step(taxi.action_space.sample())
        np.testing.assert_array_equal(observation, before.setdefault(info["state"], observation))
        if terminated or truncated:
            taxi.reset()


def test_equal_environments_are_rendered_once(monkeypatch):
    """One frame tells whether an environment is equal to one that lives; another map is rendered, also if its table is
    the same. What a user writes into the images of one is not seen in the other.
    """
    frames = []
    render = FrozenLakeEnv.render
    monkeypatch.setattr(FrozenLakeEnv, "render", lambda lake: frames.append(lake.s) or render(lake))
    one = make(**LAKE, image_size=48)
    assert len(frames) == 17
    same = make(**LAKE, image_size=48)
    assert len(frames) == 18
    other = make(**LAKE, image_size=48, desc=["FSFF", "FHFH", "FFFH", "HFFG"])
    assert one.unwrapped.P == other.unwrapped.P
    assert (one.images != other.images).any(axis=(1, 2, 3)).all()
    expected = one.images.copy()
    one.images[:] = 0
    np.testing.assert_array_equal(same.images, expected)


def test_starts():
    """An episode starts as the environment does, where told, or anywhere but in an end, by the seed alone."""
    assert make(**LAKE).reset(seed=0)[1]["state"] == 0
    assert make(**LAKE).reset(seed=0, options={"state": 9})[1]["state"] == 9
    env = make(**LAKE, random_starts=True)
    starts = [env.reset(seed=0)[1]["state"], *(env.reset()[1]["state"] for _ in range(300))]
    assert set(starts) == set(np.flatnonzero(~env.ends))
    assert starts == [env.reset(seed=0)[1]["state"], *(env.reset()[1]["state"] for _ in range(300))]
    assert env.reset(options={"state": 9})[1]["state"] == 9


@pytest.mark.slow
def test_info_fits_the_start(taxi):
    """Taxi's mask of actions is that of the state in which the episode starts."""
    for start in (5, 100, 300):
        mask = taxi.reset(options={"state": start})[1]["action_mask"]
        np.testing.assert_array_equal(mask, taxi.unwrapped.action_mask(taxi.states[start]))


@pytest.mark.parametrize("mode", AutoresetMode)
def test_vectorised_episodes(mode):
    """In every autoreset mode, random episodes hold the images of their states and follow the MDP."""
    envs = gym.make_vec(
        "CliffWalking-v1",
        3,
        "sync",
        vector_kwargs={"autoreset_mode": mode},
        wrappers=(lambda env: TableImages(env, image_size=32, random_starts=True),),
        render_mode="rgb_array",
        max_episode_steps=30,
    )
    env = make("CliffWalking-v1")
    successors, values = env.class_mdp
    episodes = list(random_episodes(envs, 600, seed=0, labels=("state",)))
    assert any(episode.terminated for episode in episodes)
    for episode in episodes:
        states = episode.labels["state"].astype(int)
        np.testing.assert_array_equal(episode.observations, np.moveaxis(env.images[states], -1, 1))
        np.testing.assert_array_equal(successors[states[:-1], episode.actions], states[1:])
        np.testing.assert_array_equal(values[states[:-1], episode.actions], episode.rewards)
        assert episode.terminated == env.ends[states[-1]]


@pytest.mark.parametrize("options", WORLDS.values(), ids=WORLDS)
def test_all_transitions_tell_apart_all_that_the_mdp_does(options):
    """In this data two states are distinguishable if and only if their classes differ."""
    env = make(**options)
    successors, values = env.class_mdp
    episodes = env.all_transitions()
    assert len(episodes) == successors.size
    table, seen = np.full(successors.shape, -1), np.full(values.shape, np.nan)
    for episode in episodes:
        (i, j), (action,), (reward,) = episode.labels["state"].astype(int), episode.actions, episode.rewards
        np.testing.assert_array_equal(episode.observations, np.moveaxis(env.images[[i, j]], -1, 1))
        assert episode.terminated == env.ends[j]
        table[i, action] = j
        seen[(j,) if values.ndim == 1 else (i, action)] = reward
    classes = largest_bisimulation(successors, values)
    relation = EmpiricalBisimulation(table, numbers_of(seen))
    for i, j in np.ndindex(len(classes), len(classes)):
        assert relation.distinguishable(i, j) == (classes[i] != classes[j])


def numbers_of(values):
    """One number for each different value or row of values."""
    return np.unique(values, axis=0, return_inverse=True)[1].ravel()


@pytest.mark.parametrize("id", ["FrozenLake-v1", "CliffWalkingSlippery-v1"])
def test_stochastic_table(id):
    """The deterministic MDP refuses it and names the tool; the probabilities are those of the table."""
    env = make(id)
    with pytest.raises(ValueError, match=r"stochastic table .* probabilistic_bisimulation"):
        env.class_mdp  # noqa: B018
    with pytest.raises(ValueError, match="stochastic table"):
        env.all_transitions()
    transitions, values = env.class_transitions
    assert probabilistic_bisimulation(transitions, values).max() + 1 == {16: 13, 38: 38}[len(env.states)]
    table = env.unwrapped.P
    for i in np.flatnonzero(~env.ends):
        for action, matrix in enumerate(transitions):
            outcomes = table[env.states[i]][action]
            expected = np.zeros(len(env.states))
            for probability, state, _, _ in outcomes:
                expected[np.flatnonzero(env.states == state)[0]] += probability
            np.testing.assert_allclose(matrix[i], expected)
            if values.ndim == 2:
                assert values[i, action] == pytest.approx(sum(p * reward for p, _, reward, _ in outcomes))


class LakeWithImpossibleEnd(FrozenLakeEnv):
    """A lake whose table lists an end that has no probability."""

    def __init__(self, **options):
        super().__init__(**options)
        self.P[0][0].append((0.0, 4, 9, True))


def test_what_has_no_probability_does_not_count():
    """A slippery lake on which nothing slips is one that is not slippery, and an impossible end is none."""
    lake = TableImages(LakeWithImpossibleEnd(render_mode="rgb_array", is_slippery=False))
    for ours, theirs in zip(lake.class_mdp, make(**LAKE).class_mdp, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in zip(make("FrozenLake-v1", success_rate=1.0).class_mdp, make(**LAKE).class_mdp, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_gymnasium_accepts_it():
    """Gymnasium's own checker finds nothing wrong, and the wrapped environment can be made again from its spec."""
    env = make(**LAKE, random_starts=True)
    with pytest.warns(UserWarning, match="different from the unwrapped version"):  # it says so of every wrapper
        check_env(env, skip_render_check=True)
    np.testing.assert_array_equal(gym.make(env.spec).reset(seed=1)[0], env.reset(seed=1)[0])


def test_audit_of_an_encoder():
    """An encoder is held against the exact classes; none can tell the holes apart, which have one image."""
    env = make(**LAKE, image_size=64)
    envs = gym.make_vec(
        "FrozenLake-v1",
        4,
        "sync",
        wrappers=(lambda env: TableImages(env, random_starts=True),),
        render_mode="rgb_array",
        is_slippery=False,
    )
    jepa = JEPA(env.observation_space, env.action_space, encoder="nature")
    report = audit(jepa, AuditSet.collect(envs, 500), controls=False)
    assert len(report.classes.classes) == 13
    latents = jepa.encode(np.concatenate([env.images, env.images]))
    classes = largest_bisimulation(*env.class_mdp)
    pairs = compare_classes(latents, np.tile(np.arange(16), 2), np.not_equal.outer(classes, classes))
    assert pairs.numbers()["required_pairs"] == 16 * 15 / 2 - 6
    assert {pair[:2] for pair in pairs.merged_pairs()} == {(5, 7), (5, 11), (5, 12), (7, 11), (7, 12), (11, 12)}
    assert all(error == 0.5 for *_, error in pairs.merged_pairs())
