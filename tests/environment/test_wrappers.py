"""Gymnasium's own wrappers on the environment."""

import gymnasium as gym
import numpy as np
from gymnasium.wrappers import FrameStackObservation, RecordEpisodeStatistics, TransformObservation
from gymnasium.wrappers.vector import RecordEpisodeStatistics as RecordVectorStatistics

import counting_env

gym.register_envs(counting_env)

REMOVE, ADD = 0, 1


def test_record_episode_statistics():
    """RecordEpisodeStatistics reports the return and the length of an episode."""
    env = RecordEpisodeStatistics(gym.make("CountingEnv-v0"))
    env.reset(seed=0, options={"count": 2})
    env.step(ADD)
    *_, terminated, _, info = env.step(ADD)
    assert terminated
    assert (info["episode"]["r"], info["episode"]["l"]) == (1.0, 2)


def test_record_episode_statistics_of_many():
    """The same for the vector entry point, over episodes that end at different times."""
    envs = RecordVectorStatistics(gym.make_vec("CountingEnv-v0", 16, vectorization_mode="vector_entry_point"))
    envs.reset(seed=0)
    lengths = []
    for _ in range(20):
        *_, infos = envs.step(envs.action_space.sample())
        if "episode" in infos:
            ended = infos["_episode"]
            lengths += list(infos["episode"]["l"][ended])
            assert np.isin(infos["episode"]["r"][ended], (0.0, 1.0)).all()
    assert lengths
    assert set(lengths) <= {1, 2, 3, 4}


def test_frame_stack():
    """FrameStackObservation gives the last images, oldest first; the reset image fills the stack."""
    env = FrameStackObservation(gym.make("CountingEnv-v0"), stack_size=3)
    plain = gym.make("CountingEnv-v0")
    stacked, _ = env.reset(seed=0, options={"count": 7})
    first, _ = plain.reset(seed=0, options={"count": 7})
    assert env.observation_space.shape == stacked.shape == (3, 64, 64, 3)
    images = [first, plain.step(REMOVE)[0], plain.step(REMOVE)[0]]
    env.step(REMOVE)
    assert np.array_equal(env.step(REMOVE)[0], np.stack(images))


def test_transform_observation():
    """TransformObservation gives a grey image of half the size, in the space that it announces."""
    space = gym.spaces.Box(0, 255, (32, 32), np.uint8)
    env = TransformObservation(gym.make("CountingEnv-v0"), lambda image: image.max(axis=-1)[::2, ::2], space)
    observation, _ = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    assert np.array_equal(observation, gym.make("CountingEnv-v0").reset(seed=0)[0].max(axis=-1)[::2, ::2])
