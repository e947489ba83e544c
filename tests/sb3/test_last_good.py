"""When losses, parameters or the disk fail: what is said, and which model is kept."""

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

from jepa_extractor import JEPACallback
from tests.sb3.algorithms import largest_difference, parameters


@pytest.mark.parametrize("given_folder", [True, False])
def test_non_finite_loss_stops_training(make_ppo, tmp_path, given_folder):
    """A non-finite auxiliary loss stops training with the loss's name and leaves the last good model saved."""
    model = make_ppo()
    callback = JEPACallback(batch_size=16, checkpoint_dir=tmp_path / "good" if given_folder else None)

    class Poison(BaseCallback):
        def _on_step(self):
            if self.num_timesteps == 400:
                callback.ring._rewards[:] = np.nan
            return True

    with pytest.raises(FloatingPointError, match="reward_loss is nan at auxiliary update 16"):
        model.learn(1024, callback=[callback, Poison()])
    if given_folder:
        good = PPO.load(tmp_path / "good" / "last_good.zip", device="cpu")
        assert all(value.isfinite().all() for value in good.policy.state_dict().values())
        assert largest_difference(parameters(good), parameters(model)) == 0.0
        assert good.num_timesteps == 512


def test_a_non_finite_loss_is_told_on_a_full_disk_too(make_ppo, tmp_path, monkeypatch):
    """Where the last good model cannot be saved either, the error is still the loss's."""
    model = make_ppo()
    callback = JEPACallback(batch_size=16, checkpoint_dir=tmp_path)

    class Poison(BaseCallback):
        def _on_step(self):
            if self.num_timesteps == 64:
                callback.ring._rewards[:] = np.nan
                monkeypatch.setattr(model, "save", full)
            return True

    def full(*_):
        raise OSError(28, "No space left on device")

    with (
        pytest.raises(FloatingPointError, match="reward_loss is nan"),
        pytest.warns(UserWarning, match="No space left"),
    ):
        model.learn(256, callback=[callback, Poison()])
    assert (tmp_path / "last_good.zip").exists()


def test_a_full_disk_does_not_end_a_training(make_ppo, tmp_path, monkeypatch):
    """Where the last good model cannot be written, one warning is given, the old file stays, and training goes on."""
    model = make_ppo(n_steps=16, batch_size=16)
    callback = JEPACallback(batch_size=16, checkpoint_dir=tmp_path)
    model.learn(64, callback=callback)
    before = (tmp_path / "last_good.zip").read_bytes()

    def full(path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(model, "save", full)
    with pytest.warns(UserWarning, match=r"checkpoint_dir=.*cannot be written.*No space left") as warned:
        model.learn(6 * 64, callback=callback, reset_num_timesteps=False)
    assert len(warned) == 1
    assert callback.updates > 64
    assert (tmp_path / "last_good.zip").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_last_good_model_survives_broken_parameters(make_ppo, tmp_path):
    """Where the parameters themselves are no longer finite, the model saved before them stays."""
    model = make_ppo()
    callback = JEPACallback(batch_size=16, checkpoint_dir=tmp_path)

    class Break(BaseCallback):
        def _on_step(self):
            return True

        def _on_rollout_end(self):
            if self.num_timesteps == 512:  # after the first record, before the training that would show it
                with torch.no_grad():
                    model.policy.features_extractor.jepa.transition.head[0].weight.fill_(torch.inf)

    with pytest.raises(FloatingPointError, match="dynamics_loss"):
        model.learn(1024, callback=[callback, Break()])
    good = PPO.load(tmp_path / "last_good.zip", device="cpu")
    assert all(value.isfinite().all() for value in good.policy.state_dict().values())
