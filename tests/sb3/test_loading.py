"""Saved models are loaded without their algorithm, and only where they are trusted."""

import base64
import io
import json
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from stable_baselines3 import DQN, PPO, SAC

from jepa_extractor.sb3.loading import load_policy
from tests.audit.test_command import fail_main
from tests.audit.worlds import make_model


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
