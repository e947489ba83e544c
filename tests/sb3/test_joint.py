"""JEPACallback in joint mode with PPO."""

import copy
import re

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

from jepa_extractor import JEPACallback, Joint, RewardTask
from jepa_extractor.sb3.monitor import Monitor
from jepa_extractor.sb3.schedules import Schedule
from tests.sb3.algorithms import UNCLIPPED, largest_difference, parameters


def test_joint_equals_patched_backward(make_ppo, monkeypatch):
    """With clipping off, 64 joint PPO updates give the same parameters as a patched backward, difference 0.0."""
    short = {"n_steps": 16, "batch_size": 16}
    model = make_ppo(max_grad_norm=UNCLIPPED, **short)
    callback = JEPACallback(max_grad_norm=None, batch_size=16)
    model.learn(4 * 64, callback=callback)
    assert callback.updates == 64

    twin = make_ppo(max_grad_norm=UNCLIPPED, **short)
    recorder = JEPACallback(Schedule(), batch_size=16)  # whose every hook is a no-op
    backward = torch.Tensor.backward

    def joint_backward(loss):
        losses, _ = twin.policy.features_extractor.jepa.losses(
            recorder.ring.sample(16, 1, recorder.step.rewarded_fraction)
        )
        backward(loss + (2.0 * losses["dynamics"] + 10.0 * losses["reward"]))

    monkeypatch.setattr(torch.Tensor, "backward", joint_backward)
    twin.learn(4 * 64, callback=recorder)
    assert largest_difference(parameters(model), parameters(twin)) == 0.0


def test_weight_zero_is_bit_identical_to_no_callback(make_ppo):
    """With weight 0 the training is bit-identical to one without the callback."""
    no_weight = {"dynamics_weight": 0, "auxiliary": (RewardTask(weight=0),)}
    with_callback = make_ppo(**no_weight)
    callback = JEPACallback(batch_size=16)
    with_callback.learn(512, callback=callback)
    without = make_ppo(**no_weight)
    without.learn(512)
    assert callback.updates == 32
    assert largest_difference(parameters(with_callback), parameters(without)) == 0.0


def test_encoder_and_every_head_move(make_ppo):
    """After learn, the encoder and every head have moved."""
    model = make_ppo()
    before = parameters(model)
    model.learn(256, callback=JEPACallback(batch_size=16))
    after = parameters(model)
    moved = {
        name for name in after if name.startswith("features_extractor.jepa") and (after[name] != before[name]).any()
    }
    expected = {
        f"features_extractor.jepa.{name}" for name, _ in model.policy.features_extractor.jepa.named_parameters()
    }
    assert any("heads.reward" in name for name in expected)
    assert any("transition" in name for name in expected)
    assert moved == expected


def test_step_norm_is_at_most_the_sum_of_both_clips(make_ppo, monkeypatch):
    """The auxiliary gradient has a clip of its own, so that it cannot drown the policy's."""
    model = make_ppo(max_grad_norm=0.25, auxiliary=(RewardTask(weight=1000.0),))
    norms = []
    step = type(model.policy.optimizer).step

    def measured_step(optimizer, *args, **kwargs):
        result = step(optimizer, *args, **kwargs)
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        norms.append(torch.nn.utils.get_total_norm(gradients).item())
        return result

    monkeypatch.setattr(type(model.policy.optimizer), "step", measured_step)
    model.learn(512, callback=JEPACallback(batch_size=16, max_grad_norm=0.5))
    assert len(norms) == 32
    assert max(norms) <= 0.75 + 1e-5
    assert max(norms) > 0.4  # the auxiliary's share is there at all


def test_save_and_load_with_plain_stable_baselines3(make_ppo, tmp_path):
    """Save and load with plain model.save and PPO.load: heads and optimizer state included."""
    model = make_ppo()
    model.learn(256, callback=JEPACallback(batch_size=16))
    model.save(tmp_path / "model")
    loaded = PPO.load(tmp_path / "model", env=model.env, device="cpu")
    assert largest_difference(parameters(model), parameters(loaded)) == 0.0
    saved, restored = model.policy.optimizer.state_dict(), loaded.policy.optimizer.state_dict()
    assert saved["param_groups"] == restored["param_groups"]
    assert len(saved["state"]) == len(restored["state"]) > 0
    for key, state in saved["state"].items():
        for name, value in state.items():
            assert torch.equal(value, restored["state"][key][name])
    observation = model.env.reset()
    assert np.array_equal(*(m.predict(observation, deterministic=True)[0] for m in (model, loaded)))
    loaded.learn(256, callback=JEPACallback(batch_size=16))  # and it goes on


def test_logs(make_ppo):
    """Logged: both losses, gradient norm, latent std, effective rank, updates, and the label's accuracy."""
    model = make_ppo(max_grad_norm=0.01)
    seen = {}

    class Watch(BaseCallback):
        def _on_step(self):
            return True

        def _on_rollout_end(self):
            seen.update(self.logger.name_to_value)

    callback = JEPACallback(probe="count", batch_size=16)
    model.learn(3 * 256, callback=[callback, Watch()])
    names = ("dynamics_loss", "reward_loss", "grad_norm", "grad_norm_clipped", "latent_std", "effective_rank")
    more = ("probe_accuracy", "policy_grad_norm", "gradient_angle")
    for name in (*names, *more):
        assert np.isfinite(seen[f"jepa/{name}"])
    assert seen["jepa/updates"] == 2 * 16  # those of two rollouts were known at the third's end
    assert 1 <= seen["jepa/effective_rank"] <= 16
    assert seen["jepa/policy_grad_norm"] == pytest.approx(0.01, rel=1e-2)  # as the optimizer gets it: clipped
    assert 0 < seen["jepa/grad_norm_clipped"] <= min(0.5 + 1e-5, seen["jepa/grad_norm"])
    assert 0 < seen["jepa/gradient_angle"] < 180
    assert 0.2 < seen["jepa/probe_accuracy"] <= 1  # five counts; an untrained encoder tells none from some


def test_a_line_at_each_record(make_ppo, capsys):
    """``verbose=1`` prints what the logs say of the encoder, at each record, and nothing else does."""
    make_ppo().learn(3 * 256, callback=JEPACallback(batch_size=16, verbose=1))
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("JEPA")]
    assert [line.split(": encoder alive, rank ")[0] for line in lines] == [
        "JEPA after 16 updates",
        "JEPA after 32 updates",
    ]
    said = (
        r"rank \d+\.\d of \d+, dynamics loss [\d.]+, reward loss [\d.]+, "
        r"prediction error [\d.]+, worst pair .* apart [\d.]+"
    )
    assert all(re.search(said, line) for line in lines)
    make_ppo().learn(256, callback=JEPACallback(batch_size=16))
    assert "JEPA" not in capsys.readouterr().out


@pytest.mark.slow
def test_gradients_are_measured_at_every_eighth_update(make_ppo, monkeypatch):
    """The algorithm's gradient is measured at every eighth update: of every second step too, over short trainings."""
    seen = []
    monkeypatch.setattr(Monitor, "compare", lambda *_: seen.append(1))
    model, callback = make_ppo(n_steps=16, n_epochs=1), JEPACallback(Joint(every=2), batch_size=16)
    for _ in range(33):
        model.learn(64, callback=callback, reset_num_timesteps=False)
    assert callback.updates == 16
    assert len(seen) == 2


def test_skipped_steps(make_ppo):
    """every=4 adds the gradient at every fourth optimizer step."""
    callback = JEPACallback(Joint(every=4), batch_size=16)
    make_ppo().learn(512, callback=callback)
    assert callback.updates == 32 // 4


def test_global_random_streams_are_not_touched(make_ppo):
    """The auxiliary draws from a generator of its own."""
    model = make_ppo()
    callback = JEPACallback(batch_size=16)
    model.learn(256, callback=callback)
    torch_state, numpy_state = torch.get_rng_state(), copy.deepcopy(np.random.get_state())  # noqa: NPY002
    callback._schedules[0].before_optimizer_step()
    assert callback.updates == 17
    assert torch.equal(torch_state, torch.get_rng_state())
    assert np.array_equal(numpy_state[1], np.random.get_state()[1])  # noqa: NPY002


def test_same_seed_same_training(make_ppo):
    """Same seed, same bytes."""
    first, second = (make_ppo(seed=3).learn(512, callback=JEPACallback(seed=5, batch_size=16)) for _ in range(2))
    assert largest_difference(parameters(first), parameters(second)) == 0.0
