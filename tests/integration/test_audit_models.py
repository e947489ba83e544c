"""The audit of encoders in the counting environment: by function, by callback, and on the command line."""

import base64
import io
import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from scipy.spatial.distance import pdist, squareform
from scipy.stats import spearmanr
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from torch import nn

import counting_env
from jepa_extractor import (
    AuditCallback,
    JEPAExtractor,
    TransitionRing,
    audit_encoder,
    jepa_policy_kwargs,
    policy_space,
    pretrain,
    random_episodes,
)
from jepa_extractor.audit import AuditSet, audit
from jepa_extractor.audit.__main__ import load_policy, main
from jepa_extractor.audit.separation import exact_classes

COUNTING = {"vectorization_mode": "vector_entry_point"}


for name, original in (("Small-v0", "CountingEnv-v0"), ("SmallContinuous-v0", "CountingEnvContinuous-v0")):
    spec = gym.spec(original)
    gym.register(name, spec.entry_point, max_episode_steps=4, kwargs={**spec.kwargs, "image_size": 36})


class Counter(nn.Module):
    """An encoder that counts exactly: every count that ``merge`` does not change has its own latent, up to noise."""

    def __init__(self, merge):
        super().__init__()
        self.merge = merge
        self.weight = nn.Parameter(torch.zeros(()))
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, images):
        counts = torch.tensor([self.merge(count_objects(image)) for image in images])
        noise = 0.05 * torch.randn(len(images), 3, generator=self.generator)
        return torch.stack([counts, counts**2 / 8, 0 * counts], dim=1).float() + noise


def count_objects(image):
    """Return how many objects an image (3, H, W) shows."""
    from scipy.ndimage import label

    return label(image.amax(0).numpy() > 0, structure=np.ones((3, 3)))[1]


def make_extractor(envs, **kwargs):
    torch.manual_seed(0)
    return JEPAExtractor(policy_space(envs.single_observation_space), envs.single_action_space, **kwargs)


@pytest.mark.parametrize(
    ("merge", "kept", "pairs"),
    [
        (lambda count: count, 9, []),
        (lambda count: min(count, 6), 7, [(6, 7), (6, 8), (7, 8)]),
        (lambda count: 0, 1, None),
    ],
)
def test_encoders_whose_collapse_is_known(merge, kept, pairs):
    """Of an exact counter 9 of 9 classes are kept; of one that merges 6, 7 and 8, exactly these pairs collapsed.

    The counter's distances and the bisimulation metric order the pairs almost inversely: 0 and 8 are far apart for a
    counter, but for the reward both are four steps away, so that the metric has them close.
    """
    envs = gym.make_vec("CountingEnv-v0", 16, image_size=36, **COUNTING)
    extractor = make_extractor(envs, latent_dim=3)
    extractor.jepa.encoder = Counter(merge)
    report = audit_encoder(extractor, envs, "count", counting_env.count_mdp())
    assert (report.classes_kept, report.classes_required) == (kept, 9)
    if pairs is not None:
        assert report.collapsed_pairs == pairs
        places = np.array([merge(count) for count in range(9)])
        means = np.stack([places, places**2 / 8], axis=1)
        _, metric = exact_classes(*counting_env.count_mdp())
        expected = spearmanr(pdist(means), squareform(metric, checks=False)).statistic
        assert report.rank_correlation == pytest.approx(expected, abs=0.05)


def test_dynamics_alone_keeps_one_of_nine():
    """An encoder that does not count by itself, trained by latent dynamics alone, keeps 1 of 9 classes, and shrinks."""
    envs = gym.make_vec("CountingEnv-v0", 16, image_size=36, **COUNTING)
    extractor = make_extractor(envs, auxiliary=(), encoder="nature")
    episodes = list(random_episodes(envs, 500, seed=0))
    seen = np.concatenate([episode.observations for episode in episodes])
    untrained = extractor.encode(seen).std(axis=0).mean()
    transitions = TransitionRing.from_episodes(episodes, seed=0)
    pretrain(extractor, transitions, updates=40, batch_size=32, learning_rate=4e-3, transition_updates=0)
    report = audit_encoder(extractor, envs, "count", counting_env.count_mdp(), observations=600)
    assert (report.classes_kept, report.classes_required) == (1, 9)
    assert report.smallest_margin < 1
    assert extractor.encode(seen).std(axis=0).mean() < 0.3 * untrained


def make_model(algorithm, **kwargs):
    continuous = algorithm is SAC
    env = gym.make("CountingEnvContinuous-v0" if continuous else "CountingEnv-v0", image_size=36)
    policy_kwargs = {"net_arch": [8], **jepa_policy_kwargs(env.action_space, latent_dim=8)}
    options = {"n_steps": 32, "batch_size": 32, "n_epochs": 1} if algorithm is PPO else {"buffer_size": 100}
    return algorithm("CnnPolicy", env, policy_kwargs=policy_kwargs, seed=0, device="cpu", **{**options, **kwargs})


def test_callback_logs_and_changes_nothing(tmp_path):
    """The callback logs the audit during training; the trained weights are those of a training without it."""
    plain = make_model(PPO).learn(64)
    audited = make_model(PPO)  # which sets the global seeds anew
    audited.set_logger(configure(str(tmp_path), ["csv"]))
    envs = gym.make_vec("CountingEnv-v0", 8, image_size=36, **COUNTING)
    audit_set = AuditSet.from_classes(random_episodes(envs, 600, 0, ("count",)), "count", counting_env.count_mdp())
    callback = AuditCallback(audit_set, every=40)
    audited.learn(64, callback=callback, log_interval=1)
    for one, other in zip(plain.policy.parameters(), audited.policy.parameters(), strict=True):
        assert torch.equal(one, other)
    assert callback.report.classes.classes_required == 9
    assert [steps for steps, _ in callback.history] == [1, 41]
    assert callback.history[-1][1] == pytest.approx(callback.report.numbers())
    audited.logger.close()
    header = (tmp_path / "progress.csv").read_text().splitlines()[0]
    for name in callback.report.numbers():
        assert f"audit/{name}" in header


def test_a_policy_without_jepa_can_be_audited():
    """Any Stable-Baselines3 policy can be audited, such as one with its own NatureCNN."""
    model = PPO("CnnPolicy", gym.make("CountingEnv-v0"), seed=0, device="cpu")
    report = audit_encoder(model, "CountingEnv-v0", "count", observations=600)
    assert report.classes_required == 9
    assert report.latents.shape[1] == 512


class Places(gym.Env):
    """A walk on four places, seen as two numbers of very different scale; ``info["place"]`` is the place."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = spaces.Discrete(2)
    class_mdp = ([[0, 1], [0, 2], [1, 3], [2, 3]], [0, 0, 0, 1])

    def __init__(self, scale=1_000.0):
        self.scale = scale

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._place, self._steps = int(self.np_random.integers(4)), 0
        return self._seen(), {"place": self._place, "state": self._place}

    def step(self, action):
        self._place = int(np.clip(self._place + 2 * action - 1, 0, 3))
        self._steps += 1
        return self._seen(), 0.0, False, self._steps == 5, {"place": self._place, "state": self._place}

    def _seen(self):
        noise = self.np_random.normal(size=2)
        return np.array([self._place, self.scale * self._place % 2] + 0.1 * noise, np.float32)


gym.register("Places-v0", Places)


def train_under_vec_normalize():
    """A model trained under VecNormalize, whose features are the observations that it sees."""
    torch.manual_seed(0)
    vec_env = VecNormalize(DummyVecEnv([Places] * 2), clip_obs=1.2)
    vec_env.seed(0)
    model = PPO("MlpPolicy", vec_env, n_steps=16, batch_size=32, n_epochs=1, seed=0, device="cpu")
    return model.learn(64), vec_env


def places():
    return gym.make_vec("Places-v0", 4, vectorization_mode="sync")


def raw_observations(count):
    return np.concatenate([episode.observations for episode in random_episodes(places(), count, seed=0)])


def test_a_model_trained_under_vec_normalize_sees_normalized_observations():
    """The encoder gets what the policy sees, by the statistics of the model's environment, which stay as they are."""
    model, vec_env = train_under_vec_normalize()
    before = vec_env.obs_rms.mean.copy(), vec_env.obs_rms.count
    seen = vec_env.normalize_obs(raw_observations(200))
    assert np.array_equal(audit_encoder(model, places(), "place", observations=200).latents, seen)
    # a policy does not know its environment: it can be told
    given = audit_encoder(model.policy, places(), "place", observations=200, vec_normalize=vec_env)
    assert np.array_equal(given.latents, seen)
    plain = audit_encoder(model.policy, places(), "place", observations=200)
    assert np.array_equal(plain.latents, raw_observations(200))
    assert np.array_equal(vec_env.obs_rms.mean, before[0])
    assert vec_env.obs_rms.count == before[1]


def test_vec_normalize_without_observations_changes_nothing():
    """``VecNormalize(norm_obs=False)`` leaves observations alone, and so does the audit."""
    model = PPO("MlpPolicy", VecNormalize(DummyVecEnv([Places]), norm_obs=False), device="cpu")
    assert np.array_equal(audit_encoder(model, places(), "place", observations=50).latents, raw_observations(50))


def test_the_callback_normalizes_as_the_training_does():
    """During training, the audit uses the statistics of the moment."""
    model, vec_env = train_under_vec_normalize()
    episodes = random_episodes(places(), 100, 0, ("place",))
    callback = AuditCallback(AuditSet.from_classes(episodes, "place"), every=1_000)
    callback.init_callback(model)
    callback.on_training_start({}, {})
    callback.on_step()
    assert np.array_equal(callback.report.latents, vec_env.normalize_obs(raw_observations(100)))


def test_a_vec_normalize_of_another_environment_is_named():
    """Statistics of another shape, or something else, are an error."""
    model, _ = train_under_vec_normalize()
    other = VecNormalize(DummyVecEnv([lambda: gym.make("CartPole-v1")]))
    with pytest.raises(ValueError, match=r"vec_normalize takes observations of shape \(4,\), the encoder \(2,\)"):
        audit_encoder(model, places(), "place", vec_normalize=other)
    with pytest.raises(ValueError, match="vec_normalize is a str, not a VecNormalize"):
        audit_encoder(model, places(), "place", vec_normalize="stats.pkl")


def run_main(monkeypatch, *arguments):
    """Run the command with these arguments."""
    monkeypatch.setattr(sys, "argv", ["audit", *map(str, arguments)])
    main()


def fail_main(monkeypatch, capsys, *arguments):
    """Run the command, which must end with status 2, and return its only line of error."""
    with pytest.raises(SystemExit) as exit_status:
        run_main(monkeypatch, *arguments)
    assert exit_status.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("algorithm", [PPO, DQN, SAC])
def test_command_line(algorithm, tmp_path, capsys, monkeypatch):
    """The command audits the model of any algorithm, and says where its classes come from."""
    env_id = "Small-v0" if algorithm is not SAC else "SmallContinuous-v0"
    model = make_model(algorithm)
    model.save(tmp_path / "model")
    few = ["--episodes", 100]
    run_main(monkeypatch, tmp_path / "model.zip", "--env", env_id, "--trust", "--out", tmp_path / "out", *few)
    audit_set = AuditSet.load(tmp_path / "out" / "audit_set.npz")
    assert audit_set.episodes[-1] == 99
    expected = audit(model, audit_set).classes
    (written,) = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert written["classes"]["margins"][0][1:] == pytest.approx(expected.margins[0, 1:].tolist())
    assert written["rank_correlation"] == pytest.approx(expected.rank_correlation)
    assert (tmp_path / "out" / "audit.png").exists()
    printed = capsys.readouterr()
    assert f"the numbers in info['state'], in the largest bisimulation of {env_id}'s class_mdp" in printed.out
    assert "of 9 classes kept" in printed.out
    assert printed.err == ""  # images are seldom normalised by VecNormalize


def test_command_line_of_a_key_takes_its_numbers_as_classes(tmp_path, capsys, monkeypatch):
    """With ``--classes-from``, the environment's ``class_mdp`` is not used."""
    make_model(PPO).save(tmp_path / "model")
    common = [tmp_path / "model.zip", "--env", "Small-v0", "--trust", "--out", tmp_path, "--episodes", 100]
    run_main(monkeypatch, *common, "--classes-from", "count")
    assert "What must stay apart: the numbers in info['count']\n" in capsys.readouterr().out
    assert "rank_correlation" not in json.loads((tmp_path / "audit.json").read_text())[0]


def test_command_line_where_the_reward_depends_on_the_action(tmp_path, monkeypatch):
    """``--auxiliary`` decides what a reward belongs to."""
    PPO("MlpPolicy", "CartPole-v1", device="cpu").save(tmp_path / "model")
    common = [tmp_path / "model.zip", "--env", "CartPole-v1", "--trust", "--out", tmp_path, "--episodes", 20]
    for arguments, auxiliary in ([], "reward"), (["--auxiliary", "action_reward"], "action_reward"):
        run_main(monkeypatch, *common, *arguments)
        assert AuditSet.load(tmp_path / "audit_set.npz").required.auxiliary == auxiliary


def test_command_line_under_vec_normalize(tmp_path, capsys, monkeypatch):
    """``--vec-normalize`` takes the saved statistics; without it, a sentence says what the audit cannot know."""
    model, vec_env = train_under_vec_normalize()
    model.save(tmp_path / "model")
    vec_env.save(tmp_path / "stats.pkl")
    common = [tmp_path / "model.zip", "--env", "Places-v0", "--trust", "--out", tmp_path, "--episodes", 100]
    run_main(monkeypatch, *common, "--vec-normalize", tmp_path / "stats.pkl")
    expected = audit(model, AuditSet.load(tmp_path / "audit_set.npz"), "model")
    assert json.loads((tmp_path / "audit.json").read_text()) == [json.loads(expected.to_json())]
    assert capsys.readouterr().err == ""
    run_main(monkeypatch, *common)
    assert "does not say whether it was trained under VecNormalize" in capsys.readouterr().err
    assert json.loads((tmp_path / "audit.json").read_text()) != [json.loads(expected.to_json())]


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_nothing_is_unpickled_without_trust(tmp_path, capsys, monkeypatch):
    """A saved model and a saved VecNormalize can hold any code: it does not run without ``--trust``."""
    ran = tmp_path / "ran"
    data = json.dumps({"policy_class": {":serialized:": base64.b64encode(pickle.dumps(Payload(ran))).decode()}})
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        archive.writestr("data", data)
    (tmp_path / "stats.pkl").write_bytes(pickle.dumps(Payload(ran)))
    make_model(PPO).save(tmp_path / "good")
    for arguments in (["model.zip"], ["good.zip", "--vec-normalize", tmp_path / "stats.pkl"]):
        command = [tmp_path / arguments[0], *arguments[1:], "--env", "Small-v0"]
        message = fail_main(monkeypatch, capsys, *command)
        assert "was not loaded: loading runs whatever code the file holds" in message
        assert "add --trust" in message
        assert not ran.exists()
        fail_main(monkeypatch, capsys, *command, "--trust")
        assert ran.exists()
        ran.unlink()


def test_the_loaded_policy_is_the_saved_one(tmp_path):
    """Every weight of the saved policy is loaded, whatever its algorithm."""
    for algorithm in (PPO, DQN, SAC):
        model = make_model(algorithm)
        model.save(tmp_path / "model")
        saved, loaded = model.policy.state_dict(), load_policy(tmp_path / "model.zip").state_dict()
        assert saved.keys() == loaded.keys()
        assert all(torch.equal(saved[name], loaded[name]) for name in saved)


@pytest.mark.slow
def test_command_line_in_a_process_of_its_own(tmp_path):
    """The command works without importing the environment by hand."""
    PPO("CnnPolicy", gym.make("CountingEnv-v0"), device="cpu").save(tmp_path / "model")
    command = [sys.executable, "-W", "error", "-m", "jepa_extractor.audit", str(tmp_path / "model.zip"), "--trust"]
    done = subprocess.run([*command, "--env", "CountingEnv-v0"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "of 9 classes kept" in done.stdout


def archive_with(**files):
    """Return the bytes of a zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


NO_MODELS = {
    "empty": b"",
    "text": b"nothing",
    "archive": archive_with(readme="hello"),
    "no_json": archive_with(data="{"),
    "no_policy": archive_with(data="{}"),
    "lost_class": archive_with(
        data=json.dumps({"policy_class": {":serialized:": base64.b64encode(b"cno_such_module\nC\n.").decode()}})
    ),
    "cut": archive_with(data=json.dumps({"policy_class": {":serialized:": base64.b64encode(b"\x80").decode()}})),
}


@pytest.mark.parametrize("content", NO_MODELS.values(), ids=NO_MODELS.keys())
def test_a_file_that_is_no_model_is_one_sentence(content, tmp_path, capsys, monkeypatch):
    """Whatever the file holds, the command ends with a sentence that names it."""
    (tmp_path / "file.zip").write_bytes(content)
    message = fail_main(monkeypatch, capsys, tmp_path / "file.zip", "--env", "Small-v0", "--trust")
    assert "file.zip is not a model that Stable-Baselines3 saved" in message
    assert message.count("\n") == 1


def test_a_model_whose_weights_are_another_policys_is_one_sentence(tmp_path, capsys, monkeypatch):
    """Also where everything can be loaded, and does not fit together."""
    model = make_model(PPO)
    model.policy_kwargs = {**model.policy_kwargs, "net_arch": [9]}
    model.save(tmp_path / "model")
    message = fail_main(monkeypatch, capsys, tmp_path / "model.zip", "--env", "Small-v0", "--trust")
    assert "model.zip is not a model that Stable-Baselines3 saved" in message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["nowhere.zip", "--env", "Small-v0"], "there is no file nowhere.zip"),
        (["model.zip", "--env", "Small-v0", "--vec-normalize", "nowhere.pkl"], "there is no file nowhere.pkl"),
        (["model.zip", "--env", "Small-v0", "--vec-normalize", "model.zip"], "model.zip is not a saved VecNormalize"),
        (
            ["model.zip", "--env", "Small-v0", "--vec-normalize", "dict.pkl"],
            "dict.pkl holds a dict, not a VecNormalize",
        ),
        (["model.zip", "--env", "NoSuchEnv-v0"], "NoSuchEnv"),
        (["model.zip", "--env", "CartPole-v1"], "the encoder takes observations of shape (3, 36, 36)"),
        (["model.zip", "--env", "Pendulum-v1"], "Pendulum-v1 has actions that are not one number of a few"),
        (["model.zip", "--env", "Small-v0", "--classes-from", "number"], "--classes-from number names no class"),
        (["model.zip", "--env", "Small-v0", "--classes-from", "shape"], "name a key whose value is a number"),
        (
            ["model.zip", "--env", "Small-v0", "--auxiliary", "action_reward"],
            "--auxiliary action_reward is of no use, since info['state'] says what must stay apart: leave it out",
        ),
        (["model.zip", "--env", "Small-v0", "--episodes", "0"], "--episodes 0: collect at least one"),
        (
            ["model.zip", "--env", "MountainCar-v0", "--episodes", "1"],
            "all 200 steps had the same reward, -1, and none ended an episode, so nothing tells observations apart",
        ),
        (
            ["model.zip", "--env", "Small-v0", "--data", "set.npz", "--episodes", "9"],
            "--data set.npz says what must stay apart: leave out --classes-from, --auxiliary and --episodes",
        ),
        (["model.zip", "--env", "Small-v0", "--data", "nowhere.npz"], "there is no audit set at nowhere.npz"),
        (["model.zip", "--env", "Small-v0", "--data", "model.zip"], "model.zip is no audit set"),
        (["model.zip", "--env", "Small-v0", "--open"], "--open opens what --out writes: give --out as well"),
        (["model.zip", "--env", "Small-v0", "--out", "dict.pkl"], "--out dict.pkl cannot be written"),
        (["model.zip", "--env", "no_such_module:Env-v0"], "no_such_module"),
    ],
)
def test_what_cannot_be_audited_is_one_sentence(change, message, tmp_path, capsys, monkeypatch):
    """Errors name the argument, its value and the mend, and the exit status is 2."""
    monkeypatch.chdir(tmp_path)
    make_model(PPO).save("model")
    Path("dict.pkl").write_bytes(pickle.dumps({}))
    assert message in fail_main(monkeypatch, capsys, *change, "--trust")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "ppo.zip"}, r"encoder='ppo.zip' is no encoder: .*load a saved model first"),
        ({"model": None}, "encoder=None is no encoder"),
        ({"envs": gym.make("Places-v0")}, r"envs=<.*Places.*> is not a vector environment: give the id"),
        ({"envs": None}, "envs=None is not a vector environment"),
        ({"classes_from": "typo"}, "classes_from='typo' names no class"),
        ({"classes_from": None}, "classes_from=None is not a string: name the key of info"),
        ({"classes_from": ["place"]}, r"classes_from=\['place'\] is not a string"),
        ({"mdp": 5}, "mdp=5 is not a pair: give successors"),
        ({"mdp": ([[0]], [0], [0])}, r"mdp=\(\[\[0\]\], \[0\], \[0\]\) is not a pair"),
        ({"mdp": (np.full((2, 4, 4), 0.25), np.arange(4))}, "there are probabilistic_bisimulation"),
        ({"observations": None}, "observations=None"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_bad_arguments_are_named(change, message):
    """An error names the argument, its value and the mend."""
    model = PPO("MlpPolicy", DummyVecEnv([Places]), device="cpu")
    with pytest.raises(ValueError, match=message):
        audit_encoder(**{"model": model, "envs": places(), "classes_from": "place", "observations": 100, **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"audit_set": places()}, "is not of type AuditSet: make one by AuditSet.from_episodes"),
        ({"seed": None}, "seed=None"),
        ({"every": 0}, "every=0"),
    ],
)
def test_bad_arguments_of_the_callback_are_named_before_the_training(change, message):
    """The callback checks what it can when it is made."""
    audit_set = AuditSet.from_classes(random_episodes(places(), 20, 0, ("place",)), "place")
    with pytest.raises(ValueError, match=message):
        AuditCallback(**{"audit_set": audit_set, **change})


def test_environments_that_the_audit_made_are_closed():
    """Environments made from an id are closed, those of the caller are not."""
    closed = []

    class Closing(Places):
        def close(self):
            closed.append(self)

    gym.register("Closing-v0", Closing)
    model = PPO("MlpPolicy", DummyVecEnv([Places]), device="cpu")
    audit_encoder(model, gym.make_vec("Closing-v0", 4, vectorization_mode="sync"), "place", observations=50)
    assert closed == []
    audit_encoder(model, "Closing-v0", "place", observations=50)
    assert len(closed) == 8


def test_classes_are_the_numbers_in_info():
    """The classes are the numbers in ``info``: whole or not, and however large."""
    numbers = {0: 0.25, 1: 0.5, 2: 2.0**24, 3: 2.0**24 + 1}

    class Numbered(gym.Wrapper):
        def reset(self, **kwargs):
            observation, info = self.env.reset(**kwargs)
            return observation, {"kind": numbers[info["count"] % 4]}

        def step(self, action):
            observation, reward, terminated, truncated, info = self.env.step(action)
            return observation, reward, terminated, truncated, {"kind": numbers[info["count"] % 4]}

    envs = gym.make_vec("CountingEnv-v0", 8, vectorization_mode="sync", wrappers=[Numbered])
    extractor = make_extractor(envs, latent_dim=3)
    assert list(audit_encoder(extractor, envs, "kind", observations=200).classes) == list(numbers.values())
    with pytest.raises(ValueError, match="not always an integer"):
        audit_encoder(extractor, envs, "kind", counting_env.count_mdp(), observations=200)


def test_a_wrong_mdp_is_named():
    """An MDP that does not fit the environment, and states that were never seen, are named."""
    envs = gym.make_vec("CountingEnv-v0", 16, image_size=36, **COUNTING)
    extractor = make_extractor(envs, latent_dim=3)
    with pytest.raises(ValueError, match=r"info\['count'\] reaches from 0 to 8, but mdp has states 0 to 4"):
        audit_encoder(extractor, envs, "count", counting_env.count_mdp(4, 2))
    with pytest.raises(ValueError, match="showed the states 9, 10, 11 less than twice"):
        audit_encoder(extractor, envs, "count", counting_env.count_mdp(11))
