"""Random episodes of vector environments, held against an environment that encodes the truth in its pixels."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import counting_env
from jepa_extractor import TransitionRing, random_episodes
from jepa_extractor.data import policy_space
from tests.integration.coded_env import EPISODE_LENGTHS, TIME_LIMIT, coded_reward, decode, make_coded_env

gym.register_envs(counting_env)

ENVS = 3


def coded_envs(mode, action_space=None):
    makers = [lambda number=number: make_coded_env(number, action_space) for number in range(ENVS)]
    return SyncVectorEnv(makers, autoreset_mode=mode)


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("action_space", [spaces.Discrete(5), spaces.Box(-1, 1, (2,), np.float32)])
def test_every_episode_is_right(mode, action_space):
    """Frames, rewards, ends and labels are right
    however the environment starts its next episode, and the last, unfinished episodes are there."""
    episodes = list(random_episodes(coded_envs(mode, action_space), 100, seed=0, labels=("code",)))
    steps = sum(len(episode.actions) for episode in episodes)
    assert 100 <= steps < 100 + ENVS
    for episode in episodes:
        number, index, time = decode(episode.observations[0])
        assert time == 0
        length = EPISODE_LENGTHS[index % len(EPISODE_LENGTHS)]
        assert len(episode.actions) <= min(length, TIME_LIMIT)
        assert episode.terminated == (len(episode.actions) == length)
        assert len(episode.observations) == len(episode.labels["code"]) == len(episode.actions) + 1
        for step, action in enumerate(episode.actions):
            assert decode(episode.observations[step + 1]) == (number, index, step + 1)
            assert episode.rewards[step] == pytest.approx(coded_reward(number, index, step + 1, action), abs=1e-5)
        assert list(episode.labels["code"]) == [
            (number * 1000 + index) * 10 + step for step in range(len(episode.observations))
        ]
    starts = sorted(decode(episode.observations[0])[:2] for episode in episodes)
    assert len(set(starts)) == len(starts), "no episode is given twice"


def test_same_seed_same_bytes():
    """The same seed gives the same episodes, another others."""
    envs = gym.make_vec("CountingEnv-v0", 5, vectorization_mode="vector_entry_point", image_size=36)
    first, again, other = (list(random_episodes(envs, 40, seed)) for seed in (0, 0, 1))
    for one, two in zip(first, again, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one[:3], two[:3], strict=True))
    assert not np.array_equal(first[0].observations, other[0].observations)


def test_actions_do_not_follow_from_the_environments_seed():
    """Random actions are uniform, and others than the first draws of the environments' own generators."""
    envs = gym.make_vec("CountingEnv-v0", 50, vectorization_mode="vector_entry_point", image_size=36)
    actions = np.concatenate([episode.actions for episode in random_episodes(envs, 4_000, seed=3)])
    assert abs(actions.mean() - 0.5) < 0.03


def test_flat_observations_stay_as_they_are():
    """Observations that are no images are not transposed, and their space is the environment's own."""
    envs = gym.make_vec("CartPole-v1", 2, vectorization_mode="sync")
    assert policy_space(envs.single_observation_space) == envs.single_observation_space
    assert next(random_episodes(envs, 100, seed=0)).observations.shape[1:] == (4,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"transitions": 0}, "transitions=0"),
        ({"seed": -1}, "seed=-1"),
        ({"labels": ("number",)}, r"labels=\['number'\] are not in info"),
        ({"labels": "count"}, "labels='count' is not a sequence of strings"),
        ({"envs": "CountingEnv-v0"}, "envs='CountingEnv-v0' is not of type VectorEnv: make them with gym.make_vec"),
    ],
)
def test_bad_arguments(arguments, message):
    """An argument out of range is an error that names it."""
    with pytest.raises(ValueError, match=message):
        next(
            random_episodes(**{"envs": coded_envs(AutoresetMode.NEXT_STEP), "transitions": 10, "seed": 0, **arguments})
        )


def test_a_ring_of_episodes_holds_their_transitions():
    """Every transition of the episodes can be drawn, and no other, for any horizon."""
    episodes = list(random_episodes(coded_envs(AutoresetMode.NEXT_STEP), 60, seed=0, labels=("code",)))
    ring = TransitionRing.from_episodes(episodes, seed=0)
    assert len(ring) == sum(len(episode.actions) for episode in episodes)
    newest = ring.newest(1_000)
    row = 0
    for episode in episodes:
        for step in range(len(episode.actions)):
            assert np.array_equal(newest.observations[row], episode.observations[step : step + 2])
            assert newest.actions[row, 0] == episode.actions[step]
            assert newest.rewards[row, 0] == episode.rewards[step]
            assert newest.terminated[row, 0] == (episode.terminated and step == len(episode.actions) - 1)
            assert np.array_equal(newest.labels["code"][row], episode.labels["code"][step : step + 2])
            row += 1
    stretches = ring.sample(500, horizon=3)
    for observations, mask in zip(stretches.observations.numpy(), stretches.mask.numpy(), strict=True):
        for step in np.flatnonzero(mask).tolist():
            before, after = decode(observations[step]), decode(observations[step + 1])
            assert after == (*before[:2], before[2] + 1)


@pytest.mark.parametrize("observation_space", [spaces.Tuple([spaces.Discrete(3)] * 2), spaces.Text(3)], ids=str)
def test_spaces_are_checked_before_anything_is_collected(observation_space):
    """Where observations are no arrays, nothing is reset; the message names the space and the mend."""
    envs = coded_envs(AutoresetMode.NEXT_STEP)
    envs.single_observation_space = observation_space
    with pytest.raises(ValueError, match=r"envs.single_observation_space=.*FlattenObservation"):
        random_episodes(envs, 10, seed=0)
    envs = coded_envs(AutoresetMode.NEXT_STEP, spaces.Box(-1, np.inf, (2,), np.float32))
    with pytest.raises(ValueError, match=r"envs.single_action_space=Box.* has no bounds"):
        random_episodes(envs, 10, seed=0)
    envs.single_action_space = spaces.Tuple([spaces.Discrete(2)])
    with pytest.raises(ValueError, match=r"envs.single_action_space=Tuple"):
        random_episodes(envs, 10, seed=0)


def test_blackjack():
    """Gymnasium's environment of tuples is refused, and collected once it is flattened."""
    with pytest.raises(ValueError, match=r"wrap it in gymnasium.wrappers.FlattenObservation"):
        random_episodes(gym.make_vec("Blackjack-v1", 3, "sync"), 10, seed=0)
    envs = gym.make_vec("Blackjack-v1", 3, "sync", wrappers=(gym.wrappers.FlattenObservation,))
    for episode in random_episodes(envs, 30, seed=0):
        assert episode.observations.shape == (len(episode.actions) + 1, 32 + 11 + 2)
        assert (episode.observations.sum(axis=1) == 3).all()
