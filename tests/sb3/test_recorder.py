"""What the callback records, held against an environment that encodes the truth in its pixels."""

from functools import partial

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv

from jepa_extractor import JEPACallback, jepa_policy_kwargs
from tests.integration.coded_env import EPISODE_LENGTHS, TIME_LIMIT, coded_reward, decode, make_coded_env

ENVS = 3


@pytest.mark.parametrize("action_space", [spaces.Discrete(5), spaces.Box(-1, 1, (2,), np.float32)])
@pytest.mark.parametrize("horizon", [1, 3])
def test_every_transition_is_right(action_space, horizon):
    """Next observations, rewards, ends and labels are right, with time-outs and over more than one step."""
    env = DummyVecEnv([partial(make_coded_env, number, action_space) for number in range(ENVS)])
    model = PPO(
        "CnnPolicy",
        env,
        n_steps=32,
        batch_size=48,
        n_epochs=1,
        seed=0,
        device="cpu",
        policy_kwargs={"net_arch": [8], **jepa_policy_kwargs(action_space, recipe="paper", latent_dim=8)},
    )
    callback = JEPACallback(probe="code", batch_size=8, buffer_size=ENVS * 60)  # small: old frames are overwritten
    model.learn(192, callback=callback)
    batch = callback.ring.sample(500, horizon)
    assert batch.observations.dtype == torch.uint8
    assert batch.mask[:, 0].all()
    seen_lengths = set()
    for row in range(500):
        number, episode, time = decode(batch.observations[row, 0].numpy())
        length = min(EPISODE_LENGTHS[episode % len(EPISODE_LENGTHS)], TIME_LIMIT)
        for step in range(horizon):
            inside = time + step < length
            assert batch.mask[row, step] == inside or (
                not batch.mask[row, step] and newest(callback, number, row, batch)
            )
            if not batch.mask[row, step]:
                break
            assert decode(batch.observations[row, step + 1].numpy()) == (number, episode, time + step + 1)
            action = batch.actions[row, step].numpy()
            if isinstance(action_space, spaces.Box):
                assert action_space.contains(action), "the stored action is the clipped one that the environment saw"
            assert batch.rewards[row, step].item() == pytest.approx(
                coded_reward(number, episode, time + step + 1, action), abs=1e-5
            )
            ended_itself = time + step + 1 == EPISODE_LENGTHS[episode % len(EPISODE_LENGTHS)]
            assert batch.terminated[row, step] == ended_itself
            assert batch.labels["code"][row, step] == (number * 1000 + episode) * 10 + time + step
            assert batch.labels["code"][row, step + 1] == (number * 1000 + episode) * 10 + time + step + 1
        seen_lengths.add(length)
    assert seen_lengths == {min(length, TIME_LIMIT) for length in EPISODE_LENGTHS}


def newest(callback, number, row, batch):
    """Return whether a stretch was cut because it reaches the newest frame of its environment."""
    kept = int(batch.mask[row].sum())
    latest = callback.ring._frames[number, callback.ring._newest[number]]
    return decode(batch.observations[row, kept].numpy()) == decode(latest)


def test_a_buffer_too_small_for_the_environments_is_named():
    """The message names the callback's own argument, and says how much it takes."""
    env = DummyVecEnv([partial(make_coded_env, number) for number in range(ENVS)])
    kwargs = {"net_arch": [8], **jepa_policy_kwargs(env.action_space, recipe="paper", latent_dim=8)}
    model = PPO("CnnPolicy", env, n_steps=8, batch_size=8, seed=0, device="cpu", policy_kwargs=kwargs)
    with pytest.raises(ValueError, match=r"buffer_size=8 is too small for 3 environments: .*three frames for each, 9"):
        model.learn(8, callback=JEPACallback(batch_size=8, buffer_size=8))
