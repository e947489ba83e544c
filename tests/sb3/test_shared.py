"""The schedule Shared: the auxiliary on the algorithm's own batch, within its own backward pass."""

import copy
import pickle

import numpy as np
import pytest
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecNormalize, VecTransposeImage

from jepa_extractor import JEPA, JEPACallback, QTask, RewardTask, Shared
from jepa_extractor.objectives import SIGReg
from jepa_extractor.sb3.shared import reconciled
from jepa_extractor.sb3.trainer import Trainer
from tests.sb3.algorithms import OFF_POLICY, largest_difference, make_model, parameters
from tests.sb3.shared import STEPS, TASKS, Journal, Watch, buffer_and_method, find_extractors, learn_by_hand, make
from tests.sb3.test_resume import ARGUMENTS, train_in_two_parts

SLOW = [
    *(("PPO", False), ("A2C", True), ("MaskablePPO", True)),
    *(("SAC", True), ("TD3", True), ("TD3", False), ("QRDQN", None), ("TQC", False)),
]
QUICK = [("PPO", True), ("DQN", None), ("SAC", False)]
ROUNDING = 1e-6  # latents are encoded in other batches, and gradients added in another order
CASES = [*QUICK, *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)]


@pytest.mark.parametrize(("name", "share"), CASES)
def test_equals_a_patched_backward(name, share, monkeypatch):
    """With clipping off: the gradient is that of the algorithm's loss and the auxiliary losses on the same batch."""
    model = make(name, share)
    callback = JEPACallback(Shared(), max_grad_norm=None)
    model.learn(STEPS, callback=callback)
    twin = make(name, share)
    assert learn_by_hand(twin, STEPS, monkeypatch) == callback.updates > 0
    assert largest_difference(parameters(model), parameters(twin)) <= ROUNDING


@pytest.mark.parametrize("name", ["PPO", "DQN"])
def test_only_every_third_batch(name, monkeypatch):
    """``every`` counts the steps of the optimizer, as with Joint."""
    model, callback = make(name), JEPACallback(Shared(every=3), max_grad_norm=None)
    model.learn(STEPS, callback=callback)
    twin = make(name)
    assert learn_by_hand(twin, STEPS, monkeypatch, every=3) == callback.updates > 0
    assert largest_difference(parameters(model), parameters(twin)) <= ROUNDING


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
    callback, seen, watch = JEPACallback(Shared()), [], Watch(model)
    compute = Trainer.gradient

    def gradient(trainer, jepa, batch):
        seen.append(batch)
        if not normalized:
            actions, rewards, _, ends = watch.followed()
            torch.testing.assert_close(batch.actions[:, 0], actions, check_dtype=False)
            torch.testing.assert_close(batch.rewards, rewards)
            assert torch.equal(batch.terminated, ends.bool())
        return compute(trainer, jepa, batch)

    monkeypatch.setattr(Trainer, "gradient", gradient)
    model.learn(STEPS, callback=callback)
    assert len(seen) == callback.updates > 0
    for batch in seen:
        size = len(batch.rewards)
        assert batch.first_latents.shape == (size, 8)
        assert batch.later_latents.shape == (size, 1, 8)
        assert batch.actions.shape[:2] == batch.rewards.shape == batch.mask.shape == (size, 1)
        assert all(model.action_space.contains(action.numpy()) for action in batch.actions[:, 0])


@pytest.mark.parametrize("name", ["PPO", "DQN"])
def test_half_of_the_weight_is_on_rewards(name, monkeypatch):
    """Transitions with a reward count for ``rewarded_fraction`` of the losses, however few; 0 counts all alike."""
    model, seen = make(name), []
    compute = Trainer.gradient

    def gradient(trainer, jepa, batch):
        seen.append(batch)
        return compute(trainer, jepa, batch)

    monkeypatch.setattr(Trainer, "gradient", gradient)
    model.learn(STEPS, callback=JEPACallback(Shared(), rewarded_fraction=0.75))
    mixed = [batch for batch in seen if 0 < (batch.rewards != 0).sum() < len(batch.rewards)]
    for batch in mixed:
        assert batch.mask[batch.rewards != 0].sum().item() == pytest.approx(0.75)
    assert mixed or all((batch.rewards != 0).all() for batch in seen)
    seen.clear()
    model.learn(STEPS, callback=JEPACallback(Shared(), rewarded_fraction=0.0))
    assert seen
    assert all(batch.mask is None for batch in seen)


@pytest.mark.parametrize("name", ["PPO", pytest.param("A2C", marks=pytest.mark.slow)])
def test_a_rollout_encodes_only_what_the_policy_has_not(name, monkeypatch):
    """Beyond what the policy encodes, the last observation of each episode and of the rollout, once each."""
    encoded = []
    encode = JEPA.encode

    def count(jepa, observations):
        encoded.append(len(observations))
        return encode(jepa, observations)

    monkeypatch.setattr(JEPA, "encode", count)
    model = make(name, True)
    model.learn(STEPS, callback=JEPACallback(Shared()))
    rollouts = STEPS // (model.n_steps * model.n_envs)
    assert len(encoded) == rollouts
    journal = model.env.followed.values()
    assert 0 < sum(encoded) < len(journal)


def test_the_gradient_is_never_against_the_algorithms():
    """By hand, in two dimensions: what opposes goes, what is longer is shortened, what agrees stays."""
    own = torch.tensor([2.0, 0.0])
    cases = {(1.0, 1.0): (1.0, 1.0), (-3.0, 1.0): (0.0, 1.0), (-3.0, 4.0): (0.0, 2.0), (6.0, 8.0): (1.2, 1.6)}
    for auxiliary, expected in cases.items():
        torch.testing.assert_close(reconciled(torch.tensor(auxiliary), own), torch.tensor(expected))
    assert not reconciled(torch.tensor([1.0, 1.0]), torch.zeros(2)).any()


@pytest.mark.parametrize("name", ["PPO", "DQN"])
def test_resumed_equals_uninterrupted(name, tmp_path):
    """Save, load, and go on, with a regulariser that draws: identical to no break."""
    options = {"auxiliary": (SIGReg(),), "target": "detach"}
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
        ("DQN", {"target": "online"}, "target='online' needs another pass"),
        ("DQN", {"target": "ema"}, "target='ema' needs another pass"),
        ("DQN", {"auxiliary": ("reward",)}, r"'reward' reads more.*RewardTask\(latents='predicted'\)"),
        ("SAC", {"auxiliary": (QTask(),)}, "'q' reads more"),
        ("DQN", {"augmentation": ("shift",)}, "augmentation would change"),
        ("DQN", {"arguments": {**OFF_POLICY, "n_steps": 3}}, "transitions of one step"),
    ],
)
def test_what_cannot_be_shared_is_refused(name, options, message):
    """Before the training, with the argument and the mend."""
    with pytest.raises(ValueError, match=message):
        make(name, **options).learn(STEPS, callback=JEPACallback(Shared()))


def test_every_is_checked():
    """``every`` is an integer of at least 1."""
    with pytest.raises(ValueError, match="every=0"):
        Shared(every=0)


@pytest.mark.parametrize("name", ["PPO", "DQN"])
def test_q_costs_no_further_pass(name):
    """The values of what followed are read from the algorithm's latents, without gradient."""
    model = make(name, auxiliary=(RewardTask(latents="predicted"), QTask()))
    callback = JEPACallback(Shared())
    head = find_extractors(model)[0].jepa.heads["q"]
    before = [parameter.clone() for parameter in head.parameters()]
    model.learn(STEPS, callback=callback)
    assert callback.updates > 0
    assert all((parameter != old).any() for parameter, old in zip(head.parameters(), before, strict=True))


def test_crossq_is_refused():
    """CrossQ encodes observations and the next ones in one pass."""
    with pytest.raises(ValueError, match="CrossQ encodes 32 observations at once, of a batch of 16"):
        make("CrossQ").learn(STEPS, callback=JEPACallback(Shared()))
