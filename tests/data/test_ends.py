"""Vector environments of every convention: what was collected is what the environment wrote into its journal."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers.vector import DictInfoToList

from jepa_extractor import random_episodes
from jepa_extractor.data.collection import episodes
from jepa_extractor.data.ends import EndReader, autoreset_mode, env_seed, final_observation, vector_infos
from jepa_extractor.data.observations import require_finite
from tests.data.journal import JournalEnv, check_against_journal

NEXT, SAME, OFF = AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED
FULL = ("final_info", "final_obs", "masks")


@pytest.mark.parametrize("form", ["enum", "value", "name"])
@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("more", [(), ("dict",), ("list",), ("single", "int32")], ids=str)
def test_every_mode_as_it_is_declared(mode, form, more):
    """Enumeration or string, arrays or dicts, infos as dict or list: every step is there, and no other."""
    envs = JournalEnv(
        mode, {"autoreset_mode": {"enum": mode, "value": mode.value, "name": mode.name}[form]}, FULL + more
    )
    collected = list(random_episodes(envs, 100, seed=0, labels=("code",)))
    check_against_journal(collected, envs)
    assert 100 <= sum(len(episode.actions) for episode in collected) < 103


@pytest.mark.parametrize("conventions", [("final_obs",), ("final_obs", "masks")], ids=str)
def test_same_step_without_the_last_infos(conventions):
    """As in Atari's own vector environment: last observations are there, their labels are unknown."""
    envs = JournalEnv(SAME, {"autoreset_mode": SAME}, conventions)
    collected = list(random_episodes(envs, 100, seed=0, labels=("code",)))
    check_against_journal(collected, envs, labels_of_last=False)


@pytest.mark.parametrize("conventions", [(), ("final_info", "masks"), ("list",)], ids=str)
def test_same_step_without_the_last_observation(conventions):
    """What is lost cannot be collected: the message says what to do."""
    envs = JournalEnv(SAME, {"autoreset_mode": SAME}, conventions)
    with pytest.raises(ValueError, match=r"environment 0 ended .* SAME_STEP, but its info holds no 'final_obs'"):
        list(random_episodes(envs, 100, seed=0))


@pytest.mark.parametrize(
    "metadata", [{}, {"autoreset_mode": "sometimes"}, {"autoreset_mode": None}, {"autoreset_mode": 1}]
)
def test_undeclared_modes_are_refused(metadata):
    """Nothing is guessed; the message names the metadata and what they should say. Nothing has been reset then."""
    envs = JournalEnv(NEXT, metadata)
    with pytest.raises(ValueError, match=r'metadata\["autoreset_mode"\]=.* of envs=.* set it to a gymnasium'):
        random_episodes(envs, 100, seed=0)
    assert (envs.buffer[:, 1] == -1).all()


def test_declared_modes():
    """A mode is known by its name, its value and itself."""
    for mode in AutoresetMode:
        for said in (mode, mode.value, mode.name):
            assert autoreset_mode("envs", JournalEnv(mode, {"autoreset_mode": said})) is mode


@pytest.mark.parametrize("mode", AutoresetMode)
def test_gymnasiums_list_of_infos(mode):
    """``DictInfoToList`` changes the form of infos and nothing else."""
    plain, listed = (
        gym.make_vec("CartPole-v1", 2, "sync", vector_kwargs={"autoreset_mode": mode}, wrappers=(Numbered,))
        for _ in range(2)
    )
    expected = list(random_episodes(plain, 60, seed=1, labels=("time",)))
    found = list(random_episodes(DictInfoToList(listed), 60, seed=1, labels=("time",)))
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one.observations, other.observations)
        np.testing.assert_array_equal(one.labels["time"], np.arange(len(one.rewards) + 1))
        np.testing.assert_array_equal(one.labels["time"], other.labels["time"])


class Numbered(gym.Wrapper):
    """Tells the time in ``info``."""

    def reset(self, **options):
        self.time = 0
        return self.env.reset(**options)[0], {"time": 0}

    def step(self, action):
        self.time += 1
        return *self.env.step(action)[:4], {"time": self.time}


def test_seeds_are_below_two_to_the_31():
    """Also the last environment's, whatever 32 bits were drawn; small ones are kept."""
    for count in (1, 8, 1000):
        assert env_seed(2**32 - 1, count) + count - 1 < 2**31
        assert env_seed(2**31 - count, count) == 0
        assert env_seed(2**31 - count - 1, count) == 2**31 - count - 1
    given = set()
    for seed in range(20):
        envs = JournalEnv(NEXT, {"autoreset_mode": NEXT}, (*FULL, "int32"), num_envs=4)
        next(random_episodes(envs, 1, seed=seed))
        given.add(envs.seed)
    assert len(given) == 20
    assert max(given) > 2**30


def test_the_seed_draws_the_actions():
    """Where environments draw nothing, the same seed gives the same journal, another another."""
    journals = []
    for seed in (0, 0, 1):
        envs = JournalEnv(NEXT, {"autoreset_mode": NEXT})
        list(random_episodes(envs, 100, seed))
        journals.append(envs.journal)
    assert journals[0] == journals[1] != journals[2]


def test_environments_that_step_in_turns_are_refused():
    """Where only some environments answer, as with EnvPool's ``batch_size``, the message says so."""
    envs = JournalEnv(NEXT, {"autoreset_mode": NEXT})
    envs.observations = lambda: envs.buffer[:2]
    with pytest.raises(ValueError, match="gives 2 observations of its 3 environments: make it without batch_size"):
        next(random_episodes(envs, 1, seed=0))


class Counter:
    """A policy in the form of Stable-Baselines3 that counts its steps since the beginning of each episode."""

    def __init__(self):
        self.seen, self.starts = [], []

    def predict(self, observation, state=None, episode_start=None):
        state = np.where(episode_start, 0, 0 if state is None else state + 1)
        self.seen.append(np.array(observation))
        self.starts.append(episode_start.copy())
        return state % 5, state


@pytest.mark.parametrize("mode", AutoresetMode)
def test_a_policy_acts(mode):
    """A policy gets what the environments show, with its state and where episodes start; its actions are taken."""
    envs, policy = JournalEnv(mode, {"autoreset_mode": mode}), Counter()
    collected = list(episodes(envs, 100, 0, policy, labels=("code",)))
    check_against_journal(collected, envs)
    for episode in collected:
        np.testing.assert_array_equal(episode.actions, np.arange(len(episode.actions)) % 5)
    for seen, starts in zip(policy.seen, policy.starts, strict=True):
        assert (starts == (seen[:, 2] == 0)).all()


def test_bad_policies():
    """What is no policy, and actions that are not one for each environment."""
    envs = JournalEnv(NEXT, {"autoreset_mode": NEXT})
    with pytest.raises(ValueError, match="policy='random' has no predict"):
        episodes(envs, 1, 0, "random")
    policy = Counter()
    policy.predict = lambda observation, **_: (np.zeros(2, int), None)
    with pytest.raises(ValueError, match=r"gives actions of shape \(2,\): 3 of \(\) are needed"):
        next(episodes(envs, 1, 0, policy))


def test_labels_that_no_info_holds():
    """An error where an episode has ended without, or all steps; a warning after 1,000 steps, but not before."""
    envs = JournalEnv(NEXT, {"autoreset_mode": NEXT}, ("no label",))
    with pytest.raises(ValueError, match=r"labels=\['code'\] are not in info, in a whole episode"):
        list(random_episodes(envs, 100, 0, labels=("code",)))
    endless = JournalEnv(NEXT, {"autoreset_mode": NEXT}, ("no label", "endless"))
    with pytest.raises(ValueError, match=r"labels=\['code'\] are not in info, in 34 steps"):
        list(random_episodes(endless, 100, 0, labels=("code",)))
    with (
        pytest.warns(UserWarning, match=r"labels=\['code', 'other'\] are not in info, in 1000 steps") as warned,
        pytest.raises(ValueError, match="in 1200 steps"),
    ):
        list(random_episodes(endless, 3_600, 0, labels=("other", "code")))
    assert len(warned) == 1


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize(("value", "place"), [(np.nan, "rewards"), (np.inf, "observations"), (np.nan, "observations")])
def test_numbers_that_are_not_finite(mode, value, place):
    """The message names the reward or the observation, the environment and the step."""
    envs = JournalEnv(mode, {"autoreset_mode": mode})
    step = envs.step

    def broken(actions):
        observations, rewards, *rest = step(actions)
        if envs.buffer[1, 1] == 2:
            observations = observations.copy()
            (rewards if place == "rewards" else observations)[1] = value
        return observations, rewards, *rest

    envs.step = broken
    at = {NEXT: 6, SAME: 4, OFF: 5}[mode]
    if mode is NEXT and place == "rewards":
        at = 7  # what the step that only resets gives is no reward
    with pytest.raises(ValueError, match=f"{place} of environment 1 hold {value} at step {at}"):
        list(random_episodes(envs, 100, 0))


def test_the_first_environment_that_is_not_finite_is_named():
    """Of several, also where the rows are those of some environments only; integers are always finite."""
    with pytest.raises(ValueError, match="rewards of environment 1 hold inf at step 7"):
        require_finite("rewards", np.array([0, np.inf, np.nan]), 7)
    with pytest.raises(ValueError, match=r"seen\['a'\] of environment 5 hold nan at step 0"):
        require_finite("seen", {"b": np.zeros((2, 1)), "a": np.array([[0.0], [np.nan]])}, 0, [3, 5])
    require_finite("rewards", np.array([1, 2]), 0)


def test_first_observations_that_are_not_finite():
    """Also what ``reset`` gives is looked at, at the start and, in mode DISABLED, later; a dict's key is named."""
    for wrong, message in ((1, "at step 0"), (2, "at step 1")):
        envs = JournalEnv(OFF, {"autoreset_mode": OFF}, (*FULL, "dict"))
        resets: list = []
        reset = envs.reset

        def broken(*, seed=None, options=None, resets=resets, reset=reset, wrong=wrong):
            resets.append(seed)
            observations, infos = reset(seed=seed, options=options)
            if len(resets) == wrong:
                observations["b"][2] = np.nan
            return observations, infos

        envs.reset = broken
        with pytest.raises(ValueError, match=rf"observations\['b'\] of environment 2 hold nan {message}"):
            list(random_episodes(envs, 100, 0))


@pytest.mark.parametrize("mode", AutoresetMode)
def test_moments(mode):
    """What the reader says of one step where an episode ends: the oracle of ``GymnasiumVecEnv``."""
    envs = JournalEnv(mode, {"autoreset_mode": mode}, num_envs=2)
    reader = EndReader(envs, mode)
    observations, _ = reader.reset(seed=0)
    assert observations.tolist() == [[0, 0, 0], [1, 0, 0]]
    moment = reader.step(np.array([4, 3]))
    assert np.array(moment.arrived).tolist() == [[0, 0, 1], [1, 0, 1]]
    assert moment.ended.tolist() == moment.terminated.tolist() == [True, True]
    assert moment.is_step.tolist() == [True, True]
    assert moment.begins.tolist() == [mode is not NEXT] * 2
    assert moment.last_infos["code"].tolist() == [1, 10_001]
    assert np.array(moment.observations)[:, 1:].tolist() == ([[0, 1]] * 2 if mode is NEXT else [[1, 0]] * 2)
    after = reader.step(np.array([1, 1]))
    assert after.is_step.tolist() == [mode is not NEXT] * 2
    assert after.begins.tolist() == [mode is NEXT] * 2
    assert after.infos["code"].tolist() == ([10, 10_010] if mode is NEXT else [11, 10_011])
    envs.buffer[:] = [[0, -1, 0], [1, -1, 0]]
    reader.reset()
    assert reader.step(np.array([0, 0])).ended.all()
    envs.buffer[:] = [[0, -1, 0], [1, -1, 0]]
    reader.reset()  # right after an end, which must not count as one before the next step
    assert reader.step(np.array([0, 0])).is_step.all()


def test_what_a_mask_denies_is_no_last_observation():
    """Where arrays hold numbers for every environment, the mask says whose they are; a dict is read key by key."""
    infos = {"final_obs": np.arange(6).reshape(2, 3), "_final_obs": np.array([False, True])}
    assert final_observation(infos, 1).tolist() == [3, 4, 5]
    with pytest.raises(ValueError, match="environment 0 ended an episode"):
        final_observation(infos, 0)
    last = final_observation({"final_obs": {"a": np.array([1, 2]), "b": np.array([3, 4])}}, 1)
    assert last == {"a": 2, "b": 4}


def test_infos_in_one_form():
    """Lists of dicts become arrays with masks, also where some are missing; dicts stay as they are."""
    infos = vector_infos([{"a": 1}, None, {"a": 3, "b": "x"}], 3)
    assert infos["a"].tolist() == [1, None, 3]
    assert infos["_a"].tolist() == [True, False, True]
    assert infos["_b"].tolist() == [False, False, True]
    assert vector_infos(infos, 3) is infos
