"""A vector environment that writes down what happens, and shows it in its observations: the oracle of collections."""

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

LENGTHS = (1, 3, 2, 5)  # of successive episodes
TIME_LIMIT = 4  # cuts those of length 5


class JournalEnv(VectorEnv):
    """Observations are (environment, episode, step), as an array or a dict of arrays, in one buffer that is reused.

    The reward is a function of these and of the action. ``journal[(env, episode)]`` holds the steps taken: actions,
    rewards, and whether the episode terminated.

    Args:
        mode: what it does.
        metadata: what it says it does.
        conventions: of ``"final_info"`` (has it), ``"final_obs"`` (has it), ``"masks"`` (infos have them), ``"list"``
            (infos are a list of dicts), ``"single"`` (``action_space`` is that of one environment, as in EnvPool),
            ``"int32"`` (seeds are below 2**31, as in Atari), ``"endless"`` (no episode ends), ``"dict"`` (observations
            are), ``"no label"``.
    """

    def __init__(self, mode, metadata, conventions=("final_info", "final_obs", "masks"), num_envs=3):
        self.mode, self.conventions, self.num_envs = mode, set(conventions), num_envs
        self.metadata = metadata
        one = spaces.Box(-1, 1e6, (3,), np.float32)
        self.single_observation_space = spaces.Dict({"a": one, "b": one}) if "dict" in conventions else one
        self.single_action_space = spaces.Discrete(5)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        whole = batch_space(self.single_action_space, num_envs)
        self.action_space = self.single_action_space if "single" in conventions else whole
        self.buffer = np.zeros((num_envs, 3), np.float32)
        self.buffer[:, 0], self.buffer[:, 1] = np.arange(num_envs), -1
        self.journal, self.over = {}, np.zeros(num_envs, bool)

    def begin(self, i):
        self.buffer[i] = i, self.buffer[i, 1] + 1, 0

    def reset(self, *, seed=None, options=None):
        self.seed = seed
        if "int32" in self.conventions and seed is not None:
            np.int32(seed) + np.arange(self.num_envs, dtype=np.int32)
        mask = (options or {}).get("reset_mask", np.ones(self.num_envs, bool))
        for i in np.flatnonzero(mask).tolist():
            self.begin(i)
        self.over[:] = False
        return self.observations(), self.infos(mask)

    def step(self, actions):
        assert actions.shape == (self.num_envs,)
        rewards = np.zeros(self.num_envs)
        terminated, truncated = np.zeros((2, self.num_envs), bool)
        finals, final_obs = {}, np.full(self.num_envs, None)
        for i, action in enumerate(actions):
            if self.over[i]:
                self.begin(i)
                rewards[i] = np.nan  # belongs to no step
                continue
            self.buffer[i, 2] += 1
            _, episode, time = (int(number) for number in self.buffer[i])
            rewards[i] = i + episode / 8 + time / 64 + action / 1024
            terminated[i] = "endless" not in self.conventions and time == LENGTHS[episode % len(LENGTHS)]
            truncated[i] = "endless" not in self.conventions and not terminated[i] and time == TIME_LIMIT
            self.journal.setdefault((i, episode), []).append((action, np.float32(rewards[i]), bool(terminated[i])))
        ended = terminated | truncated
        last = self.infos(ended)
        if self.mode is AutoresetMode.NEXT_STEP:
            self.over = ended.copy()
        elif self.mode is AutoresetMode.SAME_STEP:
            for i in np.flatnonzero(ended).tolist():
                final_obs[i] = self.row(i)
                self.begin(i)
            if ended.any():
                finals = {"final_obs": final_obs, "final_info": last}
                if "masks" in self.conventions:
                    finals |= {"_final_obs": ended, "_final_info": ended}
        infos = self.infos(np.ones(self.num_envs, bool))
        kept = {key: value for key, value in finals.items() if key.removeprefix("_") in self.conventions}
        if "list" in self.conventions:
            for i in np.flatnonzero(ended).tolist() if kept else ():
                infos[i] |= {"final_obs": final_obs[i], "final_info": last[i]}
        else:
            infos |= kept
        return self.observations(), rewards, terminated, truncated, infos

    def row(self, i):
        row = self.buffer[i].copy()
        return {"a": row, "b": row + 1} if "dict" in self.conventions else row

    def observations(self):
        return {"a": self.buffer, "b": self.buffer + 1} if "dict" in self.conventions else self.buffer

    def infos(self, mask):
        codes = self.buffer @ [10_000, 10, 1]
        if "no label" in self.conventions:
            return {}
        if "list" in self.conventions:
            return [{"code": code} if known else {} for code, known in zip(codes, mask, strict=True)]
        return {"code": codes, "_code": mask.copy()} if "masks" in self.conventions else {"code": codes}


def check_against_journal(episodes, envs, labels_of_last=True):
    """Check every number of ``episodes``: all steps of the journal are there once, and no other.

    ``labels_of_last`` is whether the last observation of an episode that ended has a label; otherwise it is NaN.
    """
    steps = {}
    for episode in episodes:
        seen = episode.observations
        if isinstance(seen, dict):
            np.testing.assert_array_equal(seen["b"], seen["a"] + 1)
            seen = seen["a"]
        (i, number, time), length = seen[0].astype(int), len(episode.actions)
        assert time == 0
        assert (int(i), int(number)) not in steps, "no episode is given twice"
        np.testing.assert_array_equal(seen, [(i, number, step) for step in range(length + 1)])
        ended = [False] * (length - 1) + [episode.terminated]
        steps[int(i), int(number)] = list(zip(episode.actions, episode.rewards, ended, strict=True))
        codes = seen @ [10_000, 10, 1]
        if not labels_of_last and length == min(LENGTHS[number % len(LENGTHS)], TIME_LIMIT):
            codes[-1] = np.nan
        np.testing.assert_array_equal(episode.labels["code"], codes)
    assert steps == envs.journal
