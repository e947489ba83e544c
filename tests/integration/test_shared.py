"""The schedule Shared: the auxiliary on the algorithm's own batch, within its own backward pass."""

import copy
import pickle
from typing import Any

import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecNormalize, VecTransposeImage

from jepa_extractor import ActionRewardTask, EndTask, JEPACallback, QTask, RewardTask, Shared, SIGRegTask
from jepa_extractor.sb3.adapter import trained_extractors
from tests.integration.algorithms import OFF_POLICY, largest_difference, make_model, parameters, with_marks
from tests.integration.coded_env import coded_reward, decode
from tests.integration.test_resume import train_in_two_parts

STEPS = 96
TASKS = (RewardTask(latents="predicted"), EndTask(latents="predicted"), ActionRewardTask(latents="predicted"))
SLOW = [("SAC", True), ("TD3", True), ("TD3", False), ("QRDQN", None), ("TQC", False)]
CASES = [("DQN", None), ("SAC", False), *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)]


def make(name, share=None, **options):
    return make_model(name, share, **{"auxiliary": TASKS, "target": "detach", **options})


class Watch:
    """Notes what the algorithm draws, and the latents that each extractor first makes of it with gradient."""

    def __init__(self, model):
        self.model = model
        self.drawn: Any = None
        self.latents: dict = {}  # by extractor, until they have been used
        self.seen: list = []  # extractors that have encoded what was drawn
        sample = model.replay_buffer.sample

        def watched(*arguments, **options):
            self.drawn, self.latents, self.seen = sample(*arguments, **options), {}, []
            return self.drawn

        model.replay_buffer.sample = watched
        for extractor, _ in trained_extractors(model):
            extractor.register_forward_hook(self._encoded)

    def _encoded(self, extractor, _, latents):
        if latents.requires_grad and extractor not in self.seen:
            self.seen.append(extractor)
            self.latents[extractor] = latents

    def loss(self, extractor):
        """Return the weighted losses on what was drawn, by hand; gradient flows into the algorithm's own latents."""
        jepa, drawn, z = extractor.jepa, self.drawn, self.latents[extractor]
        space = self.model.action_space
        if isinstance(space, spaces.Box):
            actions = torch.as_tensor(self.model.policy.unscale_action(drawn.actions.numpy())).reshape(len(z), -1)
        else:
            actions = torch.nn.functional.one_hot(drawn.actions[:, 0], int(space.n)).float()
        predicted = jepa.next(z, actions)
        with torch.no_grad():
            target = jepa.encoder(drawn.next_observations.float() / 255)
        total = jepa.dynamics_weight * (predicted - target).square().mean()
        total = total + 10 * (jepa.heads["reward"](predicted) - drawn.rewards).square().mean()
        ends = jepa.heads["end"].outputs(predicted)
        total = total + torch.nn.functional.binary_cross_entropy_with_logits(ends, drawn.dones)
        rewards = jepa.heads["action_reward"](torch.cat([z, actions], -1))
        return total + 10 * (rewards - drawn.rewards).square().mean()


def learn_by_hand(model, steps, monkeypatch):
    """Train with each backward pass through an extractor replaced by that of the loss and the auxiliary."""
    watch, added = Watch(model), []
    backward = torch.Tensor.backward

    def joint_backward(loss):
        for extractor, latents in list(watch.latents.items()):
            (reached,) = torch.autograd.grad(loss, latents, retain_graph=True, allow_unused=True)
            if reached is not None:
                loss = loss + watch.loss(extractor)
                del watch.latents[extractor]
                added.append(extractor)
        backward(loss)

    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "backward", joint_backward)
        model.learn(steps)
    return len(added)


@pytest.mark.parametrize(("name", "share"), CASES)
def test_equals_a_patched_backward(name, share, monkeypatch):
    """With clipping off: the gradient is that of the algorithm's loss and the auxiliary losses on the same batch."""
    model = make(name, share)
    callback = JEPACallback(Shared(), max_grad_norm=None)
    model.learn(STEPS, callback=callback)
    twin = make(name, share)
    assert learn_by_hand(twin, STEPS, monkeypatch) == callback.updates > 0
    assert largest_difference(parameters(model), parameters(twin)) == 0.0


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


@pytest.mark.parametrize("name", ["DQN", "SAC"])
@pytest.mark.parametrize("normalized", [False, True])
def test_transitions_are_right(name, normalized):
    """What the losses see are transitions as a ring gives them: actions in the environment's scale, ends, rewards."""

    def wrap(env):
        return VecNormalize(VecTransposeImage(env), norm_reward=False, clip_obs=1e6)

    model = make(name, wrap=wrap if normalized else None, normalize_images=not normalized)
    callback, seen = JEPACallback(Shared()), []
    compute = callback.gradient

    def gradient(extractor, transitions):
        seen.append(transitions.sample(0, 0, 0.0))
        return compute(extractor, transitions)

    callback.gradient = gradient
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
def test_the_algorithms_own_target_network(name, share):
    """With target="algorithm", the targets are the projected latents of the algorithm's target network."""
    model = make(name, share, target="algorithm", dynamics="cosine", auxiliary=())
    callback, seen = JEPACallback(Shared()), []
    compute = callback.gradient
    pairs = {"DQN": [("q_net", "q_net_target")], "TD3": [("critic", "critic_target"), ("actor", "actor_target")]}[name]
    networks = [tuple(getattr(model.policy, one).features_extractor for one in pair) for pair in pairs]
    watch = Watch(model)

    def gradient(extractor, transitions):
        (target,) = [target for own, target in networks if own is extractor]
        batch = transitions.sample(0, 0, 0.0)
        with torch.no_grad():
            latents = target(watch.drawn.next_observations.float() / 255)
            seen.append(torch.equal(target.jepa.projection(latents), batch.targets[:, 0]))
        assert batch.observations.shape[:2] == (len(latents), 0)
        return compute(extractor, transitions)

    callback.gradient = gradient
    model.learn(STEPS, callback=callback)
    assert len(seen) == callback.updates > 0
    assert all(seen)


def test_resumed_equals_uninterrupted(tmp_path):
    """Save, load, and go on, with a moving average and a regulariser that draws: identical to no break."""
    arguments = {"exploration_fraction": 1e-9, "train_freq": 20, "gradient_steps": 1, "buffer_size": 5000}
    options = {"auxiliary": (SIGRegTask(),), "target": "ema"}
    resumed = train_in_two_parts("DQN", (JEPACallback(Shared()), JEPACallback(Shared())), tmp_path, 200, **options)
    whole = make_model("DQN", arguments=arguments, **options)
    whole.learn(400, callback=JEPACallback(Shared()))
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


@pytest.mark.parametrize("name", ["DQN", "SAC"])
def test_nothing_stays_behind(name, tmp_path):
    """After a training no hook is left; after Ctrl-C hooks do nothing, and models, buffers and copies are whole."""
    model = make(name)
    callback = JEPACallback(Shared())
    model.learn(STEPS, callback=callback)
    of_one_training = callback.updates
    extractor = trained_extractors(model)[0].extractor
    assert "sample" not in vars(model.replay_buffer)
    assert not extractor._forward_hooks
    with pytest.raises(KeyboardInterrupt):
        model.learn(STEPS, callback=[callback, Interrupt()])
    updates = callback.updates
    model.save_replay_buffer(tmp_path / "buffer.pkl")
    for buffer in (pickle.loads(pickle.dumps(model.replay_buffer)), copy.deepcopy(model.replay_buffer)):
        assert len(buffer.sample(3).rewards) == 3
    copied = pickle.loads(pickle.dumps(extractor))
    images = torch.rand(2, *model.observation_space.shape)
    assert torch.equal(copied(images), extractor(images))
    model.learn(STEPS)  # without a callback
    assert callback.updates == updates
    model.learn(STEPS, callback=callback)
    assert callback.updates >= updates + of_one_training
    assert not extractor._forward_hooks
    assert "sample" not in vars(model.replay_buffer)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("PPO", {}, "PPO draws from no replay buffer"),
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


def test_the_algorithms_target_needs_shared():
    """Other schedules have no batches of the algorithm."""
    with pytest.raises(ValueError, match=r"target='algorithm' needs .* JEPACallback\(Shared\(\)\)"):
        make("DQN", target="algorithm").learn(STEPS, callback=JEPACallback(batch_size=8))


@pytest.mark.slow
def test_crossq_is_refused():
    """CrossQ encodes observations and the next ones in one pass."""
    with pytest.raises(ValueError, match="CrossQ encodes 32 observations at once, of a batch of 16"):
        make("CrossQ").learn(STEPS, callback=JEPACallback(Shared()))
