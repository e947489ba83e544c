"""JEPACallback in joint mode with PPO."""

import copy
import gc
import pickle
import weakref
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback, EveryNTimesteps
from stable_baselines3.common.vec_env import DummyVecEnv

from jepa_extractor import Alternating, JEPACallback, Joint, LabelTask, RewardTask, jepa_policy_kwargs
from jepa_extractor.sb3.monitor import Monitor
from jepa_extractor.sb3.schedules import Schedule
from tests.sb3.algorithms import UNCLIPPED, largest_difference, parameters


class Interrupt(BaseCallback):
    """Raises in the middle of training."""

    def __init__(self, error, at):
        super().__init__()
        self.error, self.at = error, at

    def _on_step(self):
        if self.num_timesteps >= self.at:
            raise self.error
        return True


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


def test_two_trainings_leave_one_hook(make_ppo):
    """After two learn calls there is exactly one hook, also with a callback of their own each."""
    model = make_ppo()
    callback = JEPACallback(batch_size=16)
    model.learn(256, callback=callback)
    model.learn(256, callback=callback)
    model.learn(256, callback=JEPACallback(batch_size=16))
    assert len(model.policy.optimizer._optimizer_step_pre_hooks) == 1
    assert callback.updates == 2 * 16


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_exception_and_a_new_training_leave_one_hook(make_ppo, error):
    """After an exception followed by a new learn, there is exactly one hook, and it acts once a step."""
    model = make_ppo()
    interrupted = JEPACallback(batch_size=16)
    with pytest.raises(error):
        model.learn(1024, callback=[interrupted, Interrupt(error, at=400)])
    before = interrupted.updates
    fresh = JEPACallback(batch_size=16)
    model.learn(256, callback=fresh)
    assert len(model.policy.optimizer._optimizer_step_pre_hooks) == 1
    assert (interrupted.updates, fresh.updates) == (before, 16)


def test_a_hook_rests_outside_its_own_training(make_ppo):
    """A learn without the callback, after one with it or after an interrupted one, trains without auxiliary."""
    model = make_ppo()
    callback = JEPACallback(batch_size=16)
    with pytest.raises(KeyboardInterrupt):
        model.learn(1024, callback=[callback, Interrupt(KeyboardInterrupt, at=400)])
    before = callback.updates
    model.learn(256)
    assert callback.updates == before


def test_models_are_freed(make_ppo):
    """The register of hooks keeps no model alive."""
    model = make_ppo()
    model.learn(256, callback=JEPACallback(batch_size=16))
    optimizer = model.policy.optimizer
    alive = weakref.ref(optimizer)
    del model, optimizer
    gc.collect()
    assert alive() is None


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


class Labelled(gym.Wrapper):
    """Has a label only where the episode ends."""

    def step(self, action):
        observation, reward, terminated, truncated, _ = self.env.step(action)
        return observation, reward, terminated, truncated, {"goal": 1.0} if terminated or truncated else {}


class Kind(gym.Wrapper):
    """``info["kind"]`` is ``value`` at each step."""

    def __init__(self, env, value):
        super().__init__(env)
        self.value = value

    def step(self, action):
        *rest, info = self.env.step(action)
        return *rest, {**info, "kind": self.value}


@pytest.mark.slow
def test_a_label_may_be_rare():
    """A label that only the end of a long episode has does not end a training, and missing ones do not count."""
    env = Labelled(gym.make("MountainCar-v0"))  # 200 steps, however one acts by chance
    kwargs = jepa_policy_kwargs(env.action_space, encoder="mlp", latent_dim=4, auxiliary=(LabelTask("goal"),))
    model = PPO("MlpPolicy", env, n_steps=64, batch_size=8, policy_kwargs=kwargs, seed=0, device="cpu")
    callback = JEPACallback(Joint(every=2), probe="goal", batch_size=8)
    model.learn(256, callback=callback)
    assert callback.updates > 64


@pytest.mark.parametrize("value", ["three", [1.0, 2.0]])
def test_a_label_that_is_not_a_number(make_ppo, value):
    """A label must be a number: the error names the key and what info holds."""
    model = make_ppo()
    model.set_env(DummyVecEnv([partial(Kind, env, value) for env in model.get_env().unwrapped.envs]))
    with pytest.raises(ValueError, match=r"label 'kind' is .* in info: name a key whose value is a number"):
        model.learn(64, callback=JEPACallback(probe="kind"))


def test_two_callbacks(make_ppo):
    """Of two callbacks for the same encoder one would do nothing, so they are refused."""
    with pytest.raises(ValueError, match="two JEPACallbacks"):
        make_ppo().learn(64, callback=[JEPACallback(batch_size=16), JEPACallback(batch_size=16)])


def test_a_callback_that_is_called_now_and_then(make_ppo):
    """A callback that misses steps would record transitions that never were, so it stops the training."""
    with pytest.raises(RuntimeError, match=r"called at step 0, and then at 8.*learn\(\) itself"):
        make_ppo().learn(64, callback=EveryNTimesteps(8, JEPACallback(batch_size=16)))


def test_another_action_space(make_ppo):
    """An extractor built for another action space is refused before training."""
    model = make_ppo(policy_kwargs=jepa_policy_kwargs(gym.spaces.Discrete(9), latent_dim=16))
    with pytest.raises(ValueError, match=r"action_space=Discrete\(9\).*the model acts in Discrete\(2\)"):
        model.learn(64, callback=JEPACallback(batch_size=16))


def test_unknown_label(make_ppo):
    """A probe that info does not hold is an error that names it."""
    with pytest.raises(ValueError, match="probe='weight' is not in info"):
        make_ppo().learn(512, callback=JEPACallback(probe="weight", batch_size=16))


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"schedule": "alternating"}, r"schedule='alternating' is not of type Schedule: give Joint\(\)"),
        ({"probe": ["count"]}, r"probe=\['count'\] is not a key of info"),
        ({"checkpoint_dir": ["runs"]}, r"checkpoint_dir=\['runs'\] is not a path"),
        ({"rewarded_fraction": 1.5}, "rewarded_fraction=1.5 is not a number in"),
        ({"max_grad_norm": 0}, "max_grad_norm=0"),
        ({"buffer_size": 2.5}, "buffer_size=2.5"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_bad_arguments(arguments, message):
    """Every option out of range raises an error at once that names the option and the value."""
    with pytest.raises(ValueError, match=message):
        JEPACallback(**arguments)


@pytest.mark.parametrize(
    ("schedule", "arguments", "message"),
    [
        (Joint, {"every": 0}, "every=0"),
        (Alternating, {"every": 1.5}, "every=1.5"),
        (Alternating, {"replay_ratio": 0}, "replay_ratio=0"),
    ],
)
def test_bad_schedules(schedule, arguments, message):
    """A schedule checks its options when it is made."""
    with pytest.raises(ValueError, match=message):
        schedule(**arguments)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda callback: pickle.loads(pickle.dumps(callback))])
def test_copies(make_ppo, duplicate):
    """A copy made after a training has the settings, belongs to no training, and trains another model."""
    original = JEPACallback(Joint(every=2), batch_size=16, seed=3, probe="count")
    make_ppo().learn(256, callback=original)
    twin = duplicate(original)
    assert (repr(twin.schedule), twin.step, twin.seed, twin.updates) == ("Joint(every=2)", original.step, 3, 0)
    make_ppo().learn(256, callback=twin)
    assert twin.updates == original.updates == 8


def test_a_policy_without_the_extractor(make_ppo):
    """A callback on a policy without the extractor is an error at once that names the mend."""
    model = make_ppo(policy_kwargs={})
    with pytest.raises(ValueError, match="jepa_policy_kwargs"):
        model.learn(256, callback=JEPACallback(batch_size=16))
    assert model.num_timesteps == 0
