"""GymnasiumVecEnv against Stable-Baselines3's own DummyVecEnv, step by step."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import NormalizeObservation, RecordEpisodeStatistics, TransformReward
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor

from counting_env import CountingVectorEnv
from counting_env.sb3 import GymnasiumVecEnv
from tests.sb3.vec_envs import assert_steps_equal, dummy

MODES = list(AutoresetMode)


@pytest.mark.parametrize("copies", [True, False], ids=["copy", "no-copy"])
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize(
    "options", [{}, {"continuous": True, "reward": "dense", "terminate_on_target": False}, {"appearance": "object"}]
)
def test_counting_env(options, mode, copies):
    """Over CountingVectorEnv each step is that of DummyVecEnv, in every autoreset mode."""
    ours = GymnasiumVecEnv(CountingVectorEnv(4, autoreset_mode=mode, copy=copies, **options))
    assert_steps_equal(ours, dummy("CountingEnv-v0", 4, **options), 30)


@pytest.mark.parametrize(
    ("vectorization", "mode"),
    [
        *(("sync", mode) for mode in MODES),
        ("async", AutoresetMode.NEXT_STEP),
        pytest.param("async", AutoresetMode.SAME_STEP, marks=pytest.mark.slow),
        pytest.param("async", AutoresetMode.DISABLED, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_cartpole(vectorization, mode):
    """Over CartPole-v1 in sync and async mode each step is that of DummyVecEnv."""
    kwargs = {} if vectorization == "sync" else {"context": "spawn"}
    vector_env = gym.make_vec(
        "CartPole-v1",
        num_envs=3,
        vectorization_mode=vectorization,
        vector_kwargs={"autoreset_mode": mode, **kwargs},
        max_episode_steps=20,
    )
    ours = GymnasiumVecEnv(vector_env)
    assert_steps_equal(ours, dummy("CartPole-v1", 3, max_episode_steps=20), 120)
    ours.close()


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_wrappers_that_keep_nothing(mode):
    """Under wrappers without a state the transitions are still exactly those of DummyVecEnv."""
    vector_env = CountingVectorEnv(3, autoreset_mode=mode)
    ours = GymnasiumVecEnv(TransformReward(vector_env, lambda rewards: 2 * rewards))
    theirs = DummyVecEnv([lambda: gym.wrappers.TransformReward(gym.make("CountingEnv-v0"), lambda r: 2 * r)] * 3)
    assert_steps_equal(ours, theirs, 30)


def test_a_wrapper_with_a_state_is_not_reset_in_part():
    """Under a wrapper that cannot be reset in part, each episode takes one step more, and its statistics are right."""
    for make in (NormalizeObservation, RecordEpisodeStatistics):
        env = GymnasiumVecEnv(make(gym.make_vec("CartPole-v1", num_envs=3, vectorization_mode="sync")))
        env.seed(0)
        env.reset()
        lengths, length = [], np.zeros(3, int)
        for _ in range(100):
            _, _, dones, infos = env.step(np.ones(3, int))
            length += 1
            for i in np.flatnonzero(dones):
                lengths.append(length[i])
                if make is RecordEpisodeStatistics:
                    assert infos[i]["episode"]["l"] == length[i] - 1
                length[i] = 0
        assert len(lengths) > 20


def test_statistics_of_a_wrapper_reach_the_end_of_the_episode():
    """In mode SAME_STEP the statistics of the episode that ended are in the info of its end."""
    env = GymnasiumVecEnv(RecordEpisodeStatistics(CountingVectorEnv(3, autoreset_mode=AutoresetMode.SAME_STEP)))
    env.reset()
    length, ends = np.zeros(3, int), 0
    for _ in range(20):
        _, _, dones, infos = env.step(np.ones(3, int))
        length += 1
        for i in np.flatnonzero(dones):
            assert infos[i]["episode"]["l"] == length[i]
            length[i], ends = 0, ends + 1
    assert ends > 10


@pytest.mark.parametrize("limit", [12, 500])
def test_cartpole_in_vector_entry_point_mode(limit):
    """CartPole-v1 in vector_entry_point mode gives the steps of single environments, and one more at each end."""
    vector_env: Any = gym.make_vec(
        "CartPole-v1", num_envs=3, vectorization_mode="vector_entry_point", max_episode_steps=limit
    )
    ours = GymnasiumVecEnv(vector_env)
    ours.seed(0)
    observations = ours.reset()
    twins = [gym.make("CartPole-v1", max_episode_steps=limit) for _ in range(3)]

    def restart(i):
        """Begin the twin's episode in the state in which the vector environment began its own."""
        twins[i].reset()
        twins[i].unwrapped.state = vector_env.unwrapped.state[:, i].copy()

    for i in range(3):
        restart(i)
    resting: dict = {}
    rng = np.random.default_rng(0)
    ends = 0
    for _ in range(150):
        last = observations
        actions = rng.integers(0, 2, 3)
        observations, rewards, dones, infos = ours.step(actions)
        assert rewards.dtype == np.float32
        for i in range(3):
            if i in resting:
                end, truncated = resting.pop(i)
                assert (rewards[i], dones[i]) == (0, True)
                np.testing.assert_array_equal(infos[i]["terminal_observation"], end)
                np.testing.assert_array_equal(last[i], end)
                assert infos[i]["TimeLimit.truncated"] == truncated
                assert np.abs(observations[i]).max() <= 0.05  # a first observation
                restart(i)
                ends += 1
            else:
                observation, reward, terminated, truncated, _ = twins[i].step(int(actions[i]))
                np.testing.assert_allclose(observations[i], observation, rtol=1e-5, atol=1e-6)
                assert (rewards[i], dones[i], infos[i]["TimeLimit.truncated"]) == (reward, False, False)
                assert "terminal_observation" not in infos[i]
                if terminated or truncated:
                    resting[i] = (observations[i].copy(), truncated and not terminated)
    assert ends > 5
    ours.close()


def test_the_extra_step_carries_the_info_of_the_end():
    """The extra step reports the info of the episode's end, and the new episode's in reset_infos."""
    vector_env = CountingVectorEnv(2, max_episode_steps=2, terminate_on_target=False)
    ours = GymnasiumVecEnv(vector_env, partial_reset=False)
    twin = CountingVectorEnv(2, max_episode_steps=2, terminate_on_target=False)
    ours.seed(5)
    ours.reset()
    twin.reset(seed=5)
    up = np.ones(2, int)
    plain = [twin.step(up) for _ in range(3)]
    first, second, third = ours.step(up), ours.step(up), ours.step(up)
    assert first[3][0]["count"] == plain[0][4]["count"][0]
    assert second[3] == [{"TimeLimit.truncated": False}] * 2
    for i in range(2):
        assert third[3][i]["count"] == plain[1][4]["count"][i]
        assert third[3][i]["TimeLimit.truncated"] is True
        assert ours.reset_infos[i]["count"] == plain[2][4]["count"][i]
        np.testing.assert_array_equal(third[3][i]["terminal_observation"], plain[1][0][i])
    np.testing.assert_array_equal(third[0], plain[2][0])
    assert third[2].all()


def test_vec_monitor_counts_episodes():
    """VecMonitor on top: returns as over DummyVecEnv; in vector_entry_point mode lengths are one too high."""
    for ours, extra in [
        (gym.make_vec("CartPole-v1", num_envs=2, vectorization_mode="sync"), 0),
        (gym.make_vec("CartPole-v1", num_envs=2, vectorization_mode="vector_entry_point"), 1),
    ]:
        env = VecMonitor(GymnasiumVecEnv(ours))
        env.seed(0)
        env.reset()
        episodes = []
        for _ in range(100):
            infos = env.step(np.array([0, 1]))[3]
            episodes += [info["episode"] for info in infos if "episode" in info]
        assert episodes
        assert all(episode["l"] == episode["r"] + extra for episode in episodes)
        env.close()


class DictObservation(gym.Env):
    """Counts steps in two observations; ends after three."""

    observation_space = gym.spaces.Dict(
        {"step": gym.spaces.Box(0, 9, (1,), np.int64), "twice": gym.spaces.Box(0, 9, (2,))}
    )
    action_space = gym.spaces.Discrete(2)

    def _observe(self):
        return {"step": np.array([self.steps]), "twice": np.full(2, 2 * self.steps, np.float32)}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self._observe(), {"nested": {"kind": "reset"}}

    def step(self, action):
        self.steps += 1
        return self._observe(), 1.0, self.steps == 3, False, {"nested": {"kind": "step"}, "only": self.steps}


@pytest.mark.parametrize("copies", [True, False])
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_dict_observations_and_nested_infos(mode, copies):
    """Dictionaries, as observations and nested in infos, come through as over DummyVecEnv."""
    ours = GymnasiumVecEnv(SyncVectorEnv([DictObservation] * 2, copy=copies, autoreset_mode=mode))
    assert_steps_equal(ours, DummyVecEnv([DictObservation] * 2), 10)


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("algorithm", [PPO, DQN])
@pytest.mark.usefixtures("one_thread")
def test_training(algorithm):
    """Training with a CnnPolicy ends with the same weights as on DummyVecEnv."""
    settings = {"n_steps": 8, "batch_size": 16, "n_epochs": 1} if algorithm is PPO else {"buffer_size": 64}
    if algorithm is DQN:
        settings |= {"learning_starts": 8, "train_freq": 4, "batch_size": 8}
    parameters = []
    for env in (
        GymnasiumVecEnv(CountingVectorEnv(2, image_size=36)),
        GymnasiumVecEnv(CountingVectorEnv(2, image_size=36, autoreset_mode=AutoresetMode.SAME_STEP, copy=False)),
        dummy("CountingEnv-v0", 2, image_size=36),
    ):
        small = {"features_extractor_kwargs": {"features_dim": 8}}
        model = algorithm("CnnPolicy", VecMonitor(env), seed=0, device="cpu", policy_kwargs=small, **settings)
        model.learn(32)
        parameters.append([tensor.numpy().copy() for tensor in model.policy.state_dict().values()])
        evaluate_policy(model, model.get_env(), n_eval_episodes=2)
    for other in parameters[:2]:
        assert all(np.array_equal(a, b) for a, b in zip(other, parameters[2], strict=True))
