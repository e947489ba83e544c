"""The hook on an optimizer: one, at work in its own training alone, that keeps nothing alive."""

import copy
import gc
import pickle
import weakref

import pytest
from stable_baselines3.common.callbacks import BaseCallback

from jepa_extractor import JEPACallback, Joint
from jepa_extractor.sb3.monitor import Monitor
from jepa_extractor.sb3.trainer import Trainer


class Interrupt(BaseCallback):
    """Raises in the middle of training."""

    def __init__(self, error, at):
        super().__init__()
        self.error, self.at = error, at

    def _on_step(self):
        if self.num_timesteps >= self.at:
            raise self.error
        return True


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


def test_two_callbacks(make_ppo):
    """Of two callbacks for the same encoder one would do nothing, so they are refused."""
    with pytest.raises(ValueError, match="two JEPACallbacks"):
        make_ppo().learn(64, callback=[JEPACallback(batch_size=16), JEPACallback(batch_size=16)])


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda callback: pickle.loads(pickle.dumps(callback))])
def test_copies(make_ppo, duplicate):
    """A copy made after a training has the settings, belongs to no training, and trains another model."""
    original = JEPACallback(Joint(every=2), batch_size=16, seed=3, probe="count")
    make_ppo().learn(256, callback=original)
    twin = duplicate(original)
    assert (repr(twin.schedule), twin.step, twin.seed, twin.updates) == ("Joint(every=2)", original.step, 3, 0)
    make_ppo().learn(256, callback=twin)
    assert twin.updates == original.updates == 8


def test_records_are_sixteen_updates_apart_and_models_sixty_four(make_ppo, tmp_path, monkeypatch):
    """Of rollouts with four updates each, every fourth is recorded; the model is kept at the first, then every 64."""
    model = make_ppo(n_steps=16, batch_size=16, n_epochs=1)
    callback, recorded, kept = JEPACallback(batch_size=8, checkpoint_dir=tmp_path), [], []
    record, keep = Monitor.record, Trainer.keep_model
    monkeypatch.setattr(
        Monitor, "record", lambda monitor, logger: (recorded.append(callback.updates), record(monitor, logger))
    )
    monkeypatch.setattr(Trainer, "keep_model", lambda trainer: (kept.append(trainer.updates), keep(trainer)))
    model.learn(64 * 37, callback=callback)
    assert callback.updates == 37 * 4
    assert recorded == list(range(16, 37 * 4, 16))
    assert kept == [0, 16, 80, 144]


def test_what_is_bound_leaves_the_schedule_alone(make_ppo):
    """A schedule names settings: two callbacks may share it, and it holds nothing of either's training."""
    schedule = Joint(every=2)
    before = dict(vars(schedule))
    callbacks = [JEPACallback(schedule, batch_size=8) for _ in range(2)]
    for callback in callbacks:
        make_ppo(n_steps=16, batch_size=16).learn(64, callback=callback)
    assert [callback.updates for callback in callbacks] == [8, 8]
    assert vars(schedule) == before
