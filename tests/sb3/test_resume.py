"""Training in two parts, with save and load between them, against training without a break."""

import os
import random

import numpy as np
import pytest
import torch
from stable_baselines3.common.callbacks import BaseCallback

from jepa_extractor import Alternating, JEPACallback, Joint, load_pretrained
from tests.sb3.algorithms import largest_difference, make_model, parameters

ARGUMENTS = {
    "PPO": {"n_steps": 50, "batch_size": 50, "n_epochs": 1},
    "DQN": {"exploration_fraction": 1e-9, "train_freq": 20, "gradient_steps": 1, "buffer_size": 5000},
}


def random_states():
    return random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002


def restore_random_states(states):
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    torch.set_rng_state(states[2])


def train_in_two_parts(name, callbacks, tmp_path, half, **extractor):
    """Train, save, load and go on; Stable-Baselines3 leaves random states and the replay buffer to the user."""
    first, second = callbacks
    model = make_model(name, arguments=ARGUMENTS[name], **extractor)
    model.learn(half, callback=first)
    model.save(tmp_path / "model.zip")
    if name == "DQN":
        model.save_replay_buffer(tmp_path / "replay.pkl")
    if first is not None:
        first.save(tmp_path / "jepa.pt")
        second.load(tmp_path / "jepa.pt")
    states = random_states()
    loaded = type(model).load(tmp_path / "model.zip", env=model.env, device="cpu", force_reset=False)
    if name == "DQN":
        loaded.load_replay_buffer(tmp_path / "replay.pkl", truncate_last_traj=False)
    restore_random_states(states)
    loaded.action_space = model.action_space  # load seeds that of exploration anew
    loaded.learn(half, callback=second, reset_num_timesteps=False)
    return loaded


@pytest.mark.filterwarnings("ignore:the policy trains the encoder")  # without a schedule
@pytest.mark.parametrize("half", [200, pytest.param(2_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["PPO", "DQN"])
@pytest.mark.parametrize("schedule", [None, Joint(), Alternating()])
def test_resumed_equals_uninterrupted(name, schedule, half, tmp_path):
    """2,000 steps, save, load, 2,000 more, against 4,000: identical where SB3 itself is, with both schedules."""

    def callback():
        return None if schedule is None else JEPACallback(schedule, batch_size=8, buffer_size=1000)

    resumed = train_in_two_parts(name, (callback(), callback()), tmp_path, half)
    whole = make_model(name, arguments=ARGUMENTS[name])
    whole.learn(2 * half, callback=callback())
    assert whole.num_timesteps == resumed.num_timesteps == 2 * half
    assert largest_difference(parameters(whole), parameters(resumed)) == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["DQN", "PPO"])
@pytest.mark.parametrize("recipe", ["mrq", "spr", "tdmpc2"])
def test_resumed_recipes_equal_uninterrupted_ones(name, recipe, tmp_path):
    """Copies of networks and the draws of augmentations come back too."""
    callbacks = [JEPACallback(batch_size=8) for _ in range(3)]
    resumed = train_in_two_parts(name, callbacks[:2], tmp_path, 200, recipe=recipe)
    whole = make_model(name, arguments=ARGUMENTS[name], recipe=recipe)
    whole.learn(400, callback=callbacks[2])
    assert callbacks[2].updates == callbacks[1].updates > callbacks[0].updates > 0
    assert largest_difference(parameters(whole), parameters(resumed)) == 0.0


def test_without_the_state_training_differs(tmp_path):
    """What is saved matters: a callback that starts anew draws other batches."""
    callbacks = (JEPACallback(batch_size=8), JEPACallback(batch_size=8))
    callbacks[1].load = lambda path: callbacks[1]
    resumed = train_in_two_parts("PPO", callbacks, tmp_path, 200)
    whole = make_model("PPO", arguments=ARGUMENTS["PPO"])
    whole.learn(400, callback=JEPACallback(batch_size=8))
    assert largest_difference(parameters(whole), parameters(resumed)) > 0


def test_the_state_comes_back(tmp_path):
    """The callback's ring, counters and optimizer can be saved with the model and come back."""
    model = make_model("PPO")
    callback = JEPACallback(Alternating(), batch_size=8)
    model.learn(128, callback=callback)
    callback.save(tmp_path / "jepa.pt")
    again = JEPACallback(Alternating(), batch_size=8).load(tmp_path / "jepa.pt")
    stored = {}

    class Look(BaseCallback):
        def _on_training_start(self):
            stored["updates"], stored["transitions"] = again.updates, len(again.ring)

        def _on_step(self):
            return False

    model.learn(16, callback=[again, Look()], reset_num_timesteps=False)
    assert stored == {"updates": callback.updates, "transitions": len(callback.ring)}


def test_a_callback_that_went_on_can_go_back(tmp_path):
    """``JEPACallback(batch_size=8).load(path)`` brings the transitions back, also to the callback that saved them."""
    model = make_model("PPO")
    callback = JEPACallback(batch_size=8)
    model.learn(32, callback=callback)
    callback.save(tmp_path / "jepa.pt")
    saved = callback.ring.state()["rng"], len(callback.ring)
    model.learn(320, callback=callback)
    callback.load(tmp_path / "jepa.pt")
    callback.init_callback(model)
    callback.on_training_start({}, {})
    assert (callback.ring.state()["rng"], len(callback.ring)) == saved


def test_a_callback_begins_anew_with_another_model():
    """Counters and means belong to the model: nothing of one is logged for the next."""
    callback = JEPACallback(batch_size=8)
    make_model("PPO").learn(32, callback=callback)
    updates = callback.updates
    model = make_model("PPO", auxiliary=("q",))
    model.learn(32, callback=callback)
    assert callback.updates == updates
    assert "jepa/reward_loss" not in model.logger.name_to_value


def test_missing_file(tmp_path):
    """A missing file is a clear error."""
    with pytest.raises(FileNotFoundError, match=r"no saved state at .*jepa\.pt"):
        JEPACallback(batch_size=8).load(tmp_path / "jepa.pt")


@pytest.mark.parametrize("content", [b"", b"not a state at all", "model", "tensor", "cut"])
def test_foreign_file(content, tmp_path):
    """A foreign or broken file is a clear error."""
    path = tmp_path / "jepa.pt"
    model = make_model("PPO")
    if content == "model":
        model.save(tmp_path / "other.zip")
        path = tmp_path / "other.zip"
    elif content == "tensor":
        torch.save({"weights": torch.zeros(3)}, path)
    elif content == "cut":
        callback = JEPACallback(batch_size=8)
        model.learn(32, callback=callback)
        callback.save(path)
        path.write_bytes(path.read_bytes()[:-100])
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=str(path)):
        JEPACallback(batch_size=8).load(path)


def test_state_of_another_callback(tmp_path):
    """A state of another schedule, or of another buffer size, is a clear error."""
    model = make_model("PPO")
    callback = JEPACallback(batch_size=8)
    model.learn(32, callback=callback)
    callback.save(tmp_path / "jepa.pt")
    with pytest.raises(ValueError, match=r"schedule=None.*this callback has Alternating"):
        JEPACallback(Alternating(), batch_size=8).load(tmp_path / "jepa.pt")
    with pytest.raises(ValueError, match=r"jepa\.pt holds a state of a JEPACallback, not a pretraining"):
        load_pretrained(model, tmp_path / "jepa.pt")
    with pytest.raises(ValueError, match="buffer_size must be the same"):
        model.learn(32, callback=JEPACallback(batch_size=8, buffer_size=100).load(tmp_path / "jepa.pt"))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the disk that is always full is Linux's")
def test_a_disk_that_is_really_full(tmp_path, monkeypatch):
    """Out of disk is an `OSError` that names the file, whatever torch makes of it."""
    model = make_model("PPO")
    callback = JEPACallback(batch_size=8)
    model.learn(32, callback=callback)
    monkeypatch.setattr("secrets.token_hex", lambda size: "jepa")
    (tmp_path / ".jepa.unfinished.pt").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"jepa.*(make room|No space left)"):
        callback.save(tmp_path / "jepa.pt")
    assert not list(tmp_path.iterdir())


def test_full_disk_leaves_the_last_state(tmp_path, monkeypatch):
    """Out of disk, the last good state stays."""
    model = make_model("PPO")
    callback = JEPACallback(batch_size=8)
    model.learn(32, callback=callback)
    callback.save(tmp_path / "jepa.pt")
    before = (tmp_path / "jepa.pt").read_bytes()

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        callback.save(tmp_path / "jepa.pt")
    assert (tmp_path / "jepa.pt").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["jepa.pt"]
