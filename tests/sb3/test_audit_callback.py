"""The audit during training."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.logger import configure

import counting_env
from jepa_extractor import random_episodes
from jepa_extractor.audit import AuditSet
from jepa_extractor.sb3 import AuditCallback
from jepa_extractor.sb3.audit_callback import LOGGED
from tests.audit.worlds import make_model, places, raw_observations, train_under_vec_normalize


@pytest.mark.filterwarnings("ignore:the policy trains the encoder")
def test_callback_logs_and_changes_nothing(tmp_path):
    """The callback logs the audit during training; the trained weights are those of a training without it."""
    plain = make_model(PPO).learn(64)
    audited = make_model(PPO)  # which sets the global seeds anew
    audited.set_logger(configure(str(tmp_path), ["csv"]))
    envs = gym.make_vec("CountingEnv-v0", 8, image_size=36, vectorization_mode="vector_entry_point")
    audit_set = AuditSet.from_classes(random_episodes(envs, 600, 0, ("count",)), "count", counting_env.count_mdp())
    callback = AuditCallback(audit_set, every=40)
    audited.learn(64, callback=callback, log_interval=1)
    for one, other in zip(plain.policy.parameters(), audited.policy.parameters(), strict=True):
        assert torch.equal(one, other)
    assert len(callback.report.classes.classes) == 9
    assert callback.report.controls == ()
    assert [moment.steps for moment in callback.history] == [1, 41]
    assert callback.history[-1].numbers == pytest.approx(callback.report.numbers())
    centred = callback.report.latents - callback.report.latents.mean(axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    assert np.abs(callback.history[-1].plane.places) == pytest.approx(np.abs(centred @ directions[:2].T), abs=1e-4)
    audited.logger.close()
    header = (tmp_path / "progress.csv").read_text().splitlines()[0]
    logged = {name.removeprefix("audit/") for name in header.split(",") if name.startswith("audit/")}
    assert logged == LOGGED <= callback.report.numbers().keys()


def test_the_callback_normalizes_as_the_training_does():
    """During training, the audit uses the statistics of the moment."""
    model, vec_env = train_under_vec_normalize()
    episodes = random_episodes(places(), 100, 0, ("place",))
    callback = AuditCallback(AuditSet.from_classes(episodes, "place"), every=1_000)
    callback.init_callback(model)
    callback.on_training_start({}, {})
    callback.on_step()
    assert np.array_equal(callback.report.latents, vec_env.normalize_obs(raw_observations(100)))


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
