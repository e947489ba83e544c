"""The audit of encoders in the counting environment: by function, by callback, and on the command line."""

import json
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
import torch
from jepa_extractor.transitions import TransitionRing
from scipy.spatial.distance import pdist, squareform
from scipy.stats import spearmanr
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.logger import configure
from torch import nn

import counting_env
from jepa_extractor import AuditCallback, JEPAExtractor, audit_encoder, jepa_policy_kwargs, pretrain
from jepa_extractor.audit.__main__ import load_policy, main
from jepa_extractor.audit.encoder import exact_classes
from jepa_extractor.rollouts import policy_space, random_episodes

COUNTING = {"vectorization_mode": "vector_entry_point"}


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
    """The audit "of an encoder whose counts 6 to 8 were merged on purpose, exactly those pairs"; of an exact counter
    9 of 9. Its distances and the bisimulation metric order the pairs almost inversely: 0 and 8 are far apart for a
    counter, but for the reward both are four steps away, so that the metric has them close."""
    envs = gym.make_vec("CountingEnv-v0", 16, **COUNTING)
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
    """The audit "of a dynamics-only encoder" names 1 of 9."""
    envs = gym.make_vec("CountingEnv-v0", 16, **COUNTING)
    extractor = make_extractor(envs)
    transitions = TransitionRing.from_episodes(random_episodes(envs, 2_000, seed=0), seed=0)
    pretrain(extractor, transitions, updates=100, batch_size=32, dynamics_weight=2.0, auxiliary_weight=0.0)
    report = audit_encoder(extractor, envs, "count", counting_env.count_mdp())
    assert (report.classes_kept, report.classes_required) == (1, 9)
    assert report.smallest_margin < 1


def make_model(algorithm, **kwargs):
    continuous = algorithm is SAC
    env = gym.make("CountingEnvContinuous-v0" if continuous else "CountingEnv-v0")
    policy_kwargs = {"net_arch": [8], **jepa_policy_kwargs(env.action_space, latent_dim=8)}
    options = {"n_steps": 32, "batch_size": 32, "n_epochs": 1} if algorithm is PPO else {"buffer_size": 100}
    return algorithm("CnnPolicy", env, policy_kwargs=policy_kwargs, seed=0, device="cpu", **{**options, **kwargs})


def test_callback_logs_and_changes_nothing(tmp_path):
    """The callback logs the audit during training; the trained weights are those of a training without it."""
    plain = make_model(PPO).learn(64)
    audited = make_model(PPO)  # which sets the global seeds anew
    audited.set_logger(configure(str(tmp_path), ["csv"]))
    callback = AuditCallback("CountingEnv-v0", "count", every=40, mdp=counting_env.count_mdp(), observations=600)
    audited.learn(64, callback=callback, log_interval=1)
    for one, other in zip(plain.policy.parameters(), audited.policy.parameters(), strict=True):
        assert torch.equal(one, other)
    assert callback.report.classes_required == 9
    audited.logger.close()
    header = (tmp_path / "progress.csv").read_text().splitlines()[0]
    for name in callback.report.numbers():
        assert f"audit/{name}" in header


def test_a_policy_without_jepa_can_be_audited():
    """The issue: "a user can ask of any encoder": Stable-Baselines3's own NatureCNN too."""
    model = PPO("CnnPolicy", gym.make("CountingEnv-v0"), seed=0, device="cpu")
    report = audit_encoder(model, "CountingEnv-v0", "count")
    assert report.classes_required == 9
    assert report.latents.shape[1] == 512


@pytest.mark.parametrize("algorithm", [PPO, DQN, SAC])
def test_command_line(algorithm, tmp_path, capsys, monkeypatch):
    """``python -m jepa_extractor.audit model.zip --env CountingEnv-v0`` audits the model of any algorithm."""
    model = make_model(algorithm)
    model.save(tmp_path / "model")
    env_id = model.env.envs[0].spec.id
    arguments = ["audit", str(tmp_path / "model.zip"), "--env", env_id, "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", arguments)
    main()
    expected = audit_encoder(model, env_id, "count", counting_env.count_mdp())
    written = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert written["margins"][0][1:] == pytest.approx(expected.margins[0, 1:].tolist())
    assert written["rank_correlation"] == pytest.approx(expected.rank_correlation)
    assert (tmp_path / "out" / "audit.png").exists()
    assert "of 9 classes kept" in capsys.readouterr().out


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
    """The exact command of the issue works without importing the environment by hand."""
    make_model(PPO).save(tmp_path / "model")
    command = [sys.executable, "-W", "error", "-m", "jepa_extractor.audit", str(tmp_path / "model.zip")]
    done = subprocess.run([*command, "--env", "CountingEnv-v0"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "of 9 classes kept" in done.stdout


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["nowhere.zip", "--env", "CountingEnv-v0"], "there is no model at nowhere.zip"),
        (["broken.zip", "--env", "CountingEnv-v0"], "broken.zip is no model"),
        (["model.zip", "--env", "NoSuchEnv-v0"], "NoSuchEnv"),
        (["model.zip", "--env", "CartPole-v1"], "the encoder takes"),
        (["model.zip", "--env", "CountingEnv-v0", "--classes-from", "number"], "label='number' is not in info"),
        (["model.zip", "--env", "CountingEnv-v0", "--classes-from", "shape"], "name a key whose value is a number"),
        (["model.zip", "--env", "CountingEnv-v0", "--observations", "0"], "observations=0"),
        (["model.zip", "--env", "no_such_module:Env-v0"], "no_such_module"),
    ],
)
def test_what_cannot_be_audited_is_one_sentence(change, message, tmp_path, capsys, monkeypatch):
    """Errors name the argument, its value and the mend, and the exit status is 2."""
    monkeypatch.chdir(tmp_path)
    make_model(PPO).save("model")
    (tmp_path / "broken.zip").write_bytes(b"nothing")
    monkeypatch.setattr(sys, "argv", ["audit", *change])
    with pytest.raises(SystemExit) as exit_status:
        main()
    assert exit_status.value.code == 2
    assert message in capsys.readouterr().err


def test_classes_are_the_numbers_in_info():
    """ "Key of info, whose number is the class": whole or not, and however large."""
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
    envs = gym.make_vec("CountingEnv-v0", 16, **COUNTING)
    extractor = make_extractor(envs, latent_dim=3)
    with pytest.raises(ValueError, match=r"info\['count'\] reaches from 0 to 8, but mdp has states 0 to 4"):
        audit_encoder(extractor, envs, "count", counting_env.count_mdp(4, 2))
    with pytest.raises(ValueError, match="showed the states 9, 10, 11 less than twice"):
        audit_encoder(extractor, envs, "count", counting_env.count_mdp(11))
