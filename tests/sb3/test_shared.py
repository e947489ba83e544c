"""The schedule Shared: the auxiliary on the algorithm's own batch, within its own backward pass."""

import collections
import copy
import pickle

import numpy as np
import pytest
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecNormalize, VecTransposeImage

from jepa_extractor import JEPACallback, QTask, Shared
from jepa_extractor.objectives import SIGReg
from jepa_extractor.sb3.trainer import Trainer
from tests.integration.coded_env import coded_reward, decode
from tests.sb3.algorithms import OFF_POLICY, largest_difference, make_model, parameters, with_marks
from tests.sb3.shared import STEPS, TASKS, Journal, Watch, buffer_and_method, find_extractors, learn_by_hand, make
from tests.sb3.test_resume import ARGUMENTS, train_in_two_parts

SLOW = [
    *(("PPO", False), ("A2C", True), ("MaskablePPO", True)),
    *(("SAC", True), ("TD3", True), ("TD3", False), ("QRDQN", None), ("TQC", False)),
]
QUICK = [("PPO", True), ("DQN", None), ("SAC", False)]
# Where actor and critic share an encoder, three gradients meet at the latents, and are added in another order.
ROUNDING = collections.defaultdict(float, PPO=1e-5, A2C=1e-5, MaskablePPO=1e-5)
CASES = [*QUICK, *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)]


@pytest.mark.parametrize(("name", "share"), CASES)
def test_equals_a_patched_backward(name, share, monkeypatch):
    """With clipping off: the gradient is that of the algorithm's loss and the auxiliary losses on the same batch."""
    model = make(name, share)
    callback = JEPACallback(Shared(), max_grad_norm=None)
    model.learn(STEPS, callback=callback)
    twin = make(name, share)
    assert learn_by_hand(twin, STEPS, monkeypatch) == callback.updates > 0
    assert largest_difference(parameters(model), parameters(twin)) <= ROUNDING[name]


@pytest.mark.parametrize("name", ["PPO", "DQN"])
def test_only_every_third_batch(name, monkeypatch):
    """``every`` counts the steps of the optimizer, as with Joint."""
    model, callback = make(name), JEPACallback(Shared(every=3), max_grad_norm=None)
    model.learn(STEPS, callback=callback)
    twin = make(name)
    assert learn_by_hand(twin, STEPS, monkeypatch, every=3) == callback.updates > 0
    assert largest_difference(parameters(model), parameters(twin)) <= ROUNDING[name]


@pytest.mark.parametrize(("name", "share"), CASES)
def test_weight_zero_is_bit_identical_to_no_callback(name, share):
    """Weight 0 changes nothing: neither a gradient nor what the algorithm draws."""
    tasks = tuple(type(task)(weight=0, latents="predicted") for task in TASKS)
    model, callback = make(name, share, auxiliary=tasks, dynamics_weight=0), JEPACallback(Shared())
    model.learn(STEPS, callback=callback)
    twin = make(name, share, auxiliary=tasks, dynamics_weight=0)
    twin.learn(STEPS)
    assert callback.updates > 0
    assert largest_difference(parameters(model), parameters(twin)) == 0.0


@pytest.mark.parametrize("name", ["PPO", "DQN", "SAC"])
@pytest.mark.parametrize("normalized", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_transitions_are_right(name, normalized, monkeypatch):
    """What the losses see are transitions as a ring gives them: actions in the environment's scale, ends, rewards."""

    def wrap(env):
        return VecNormalize(VecTransposeImage(env), norm_reward=False, clip_obs=1e6)

    model = make(name, wrap=wrap if normalized else Journal, normalize_images=not normalized)
    callback, seen = JEPACallback(Shared()), []
    compute = Trainer.gradient

    def gradient(trainer, jepa, batch):
        seen.append(batch)
        return compute(trainer, jepa, batch)

    monkeypatch.setattr(Trainer, "gradient", gradient)
    model.learn(STEPS, callback=callback)
    assert len(seen) == callback.updates > 0
    for batch in seen:
        size = len(batch.rewards)
        assert batch.first_latents.shape == (size, 8)
        assert batch.observations.shape[:2] == batch.actions.shape[:2] == batch.rewards.shape == (size, 1)
        if not normalized:
            assert batch.observations.dtype == torch.uint8
            for row in range(size):
                number, episode, time = decode(batch.observations[row, 0].numpy())
                action = batch.actions[row, 0].numpy()
                assert model.action_space.contains(action)
                assert batch.rewards[row, 0].item() == pytest.approx(
                    coded_reward(number, episode, time, action), abs=1e-5
                )


@pytest.mark.parametrize(("name", "share"), [with_marks(*case) for case in (("DQN", None), ("TD3", False))])
def test_the_algorithms_own_target_network(name, share, monkeypatch):
    """With target="algorithm", the targets are the projected latents of the algorithm's target network."""
    model = make(name, share, target="algorithm", dynamics="cosine", auxiliary=())
    callback, seen = JEPACallback(Shared()), []
    compute = Trainer.gradient
    pairs = {"DQN": [("q_net", "q_net_target")], "TD3": [("critic", "critic_target"), ("actor", "actor_target")]}[name]
    networks = [tuple(getattr(model.policy, one).features_extractor for one in pair) for pair in pairs]
    watch = Watch(model)

    def gradient(trainer, jepa, batch):
        (target,) = [target for own, target in networks if own.jepa is jepa]
        with torch.no_grad():
            latents = target(watch.drawn.next_observations.float() / 255)
            seen.append(torch.equal(target.jepa.projection(latents), batch.targets[:, 0]))
        assert batch.observations.shape[:2] == (len(latents), 0)
        return compute(trainer, jepa, batch)

    monkeypatch.setattr(Trainer, "gradient", gradient)
    model.learn(STEPS, callback=callback)
    assert len(seen) == callback.updates > 0
    assert all(seen)


@pytest.mark.parametrize("name", ["PPO", "DQN"])
def test_resumed_equals_uninterrupted(name, tmp_path):
    """Save, load, and go on, with a moving average and a regulariser that draws: identical to no break."""
    options = {"auxiliary": (SIGReg(),), "target": "ema"}
    callbacks = [JEPACallback(Shared(every=3)) for _ in range(3)]
    resumed = train_in_two_parts(name, callbacks[:2], tmp_path, 200, **options)
    whole = make_model(name, arguments=ARGUMENTS[name], **options)
    whole.learn(400, callback=callbacks[2])
    assert callbacks[2].updates == callbacks[1].updates > callbacks[0].updates > 0
    assert largest_difference(parameters(whole), parameters(resumed)) == 0.0


class Interrupt(BaseCallback):
    """Ctrl-C while the algorithm trains."""

    def _on_step(self):
        return True

    def _on_rollout_end(self):
        self.optimizer = getattr(self.model.policy, "critic", self.model.policy).optimizer
        if self.num_timesteps > 40:
            self.optimizer.zero_grad = self._interrupt

    def _interrupt(self):
        del self.optimizer.zero_grad
        raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["PPO", "DQN", pytest.param("SAC", marks=pytest.mark.slow)])
def test_nothing_stays_behind(name):
    """After a training no hook is left; after Ctrl-C hooks do nothing, and models, buffers and copies are whole."""
    model = make(name)
    own, method = buffer_and_method(model)
    callback = JEPACallback(Shared())
    model.learn(STEPS, callback=callback)
    of_one_training = callback.updates
    extractor = find_extractors(model)[0]
    assert method not in vars(own)
    assert not extractor._forward_hooks
    with pytest.raises(KeyboardInterrupt):
        model.learn(STEPS, callback=[callback, Interrupt()])
    updates = callback.updates
    for buffer in (pickle.loads(pickle.dumps(own)), copy.deepcopy(own)):
        assert len(getattr(buffer, method)(3 if method == "sample" else np.arange(3)).actions) == 3
    copied = pickle.loads(pickle.dumps(extractor))
    images = torch.rand(2, *model.observation_space.shape)
    assert torch.equal(copied(images), extractor(images))
    model.learn(STEPS)  # without a callback
    assert callback.updates == updates
    model.learn(STEPS, callback=callback)
    assert callback.updates >= updates + of_one_training
    assert not extractor._forward_hooks
    assert method not in vars(own)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("RecurrentPPO", {}, "RecurrentPPO draws sequences, not single transitions"),
        ("TRPO", {}, r"schedule=Shared\(\) would bypass the KL limit of TRPO"),
        ("DQN", {"horizon": 2}, "horizon=2 needs more than single transitions"),
        ("DQN", {"target": "online"}, "target='online' needs a gradient"),
        ("DQN", {"auxiliary": ("reward",)}, r"'reward' reads more.*RewardTask\(latents='predicted'\)"),
        ("DQN", {"auxiliary": (QTask(),)}, "'q' reads more"),
        ("DQN", {"augmentation": ("shift",)}, "augmentation would change"),
        ("DQN", {"arguments": {**OFF_POLICY, "n_steps": 3}}, "transitions of one step"),
        ("SAC", {"target": "algorithm"}, "encoder of SAC has no target network of its own"),
    ],
)
def test_what_cannot_be_shared_is_refused(name, options, message):
    """Before the training, with the argument and the mend."""
    with pytest.raises(ValueError, match=message):
        make(name, **options).learn(STEPS, callback=JEPACallback(Shared()))


def test_a_ring_too_small_for_a_rollout_is_refused():
    """What followed a step is read from the ring; two environments of 16 steps, an end after each, are 66 frames."""
    with pytest.raises(ValueError, match=r"buffer_size holds 64 frames.*give JEPACallback\(..., buffer_size=66\)"):
        make("PPO").learn(STEPS, callback=JEPACallback(Shared(), buffer_size=65))
    make("PPO").learn(STEPS, callback=JEPACallback(Shared(), buffer_size=66))
    with pytest.raises(ValueError, match="every=0"):
        Shared(every=0)


def test_the_algorithms_target_needs_shared():
    """Other schedules have no batches of the algorithm."""
    with pytest.raises(ValueError, match=r"target='algorithm' needs .* JEPACallback\(Shared\(\)\)"):
        make("DQN", target="algorithm").learn(STEPS, callback=JEPACallback(batch_size=8))


@pytest.mark.slow
def test_crossq_is_refused():
    """CrossQ encodes observations and the next ones in one pass."""
    with pytest.raises(ValueError, match="CrossQ encodes 32 observations at once, of a batch of 16"):
        make("CrossQ").learn(STEPS, callback=JEPACallback(Shared()))
