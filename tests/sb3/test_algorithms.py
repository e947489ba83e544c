"""JEPACallback with every algorithm, shared and separate extractors, and every kind of action."""

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecNormalize, VecTransposeImage

from jepa_extractor import Alternating, JEPACallback, Joint, LabelTask, RewardTask, jepa_policy_kwargs
from jepa_extractor.objectives import RandomTask
from jepa_extractor.sb3.adapter import find_trainees, policy_actions
from tests.integration.coded_env import EPISODE_LENGTHS, TIME_LIMIT, coded_reward, decode
from tests.sb3.algorithms import (
    ALL,
    ALL_SHARING,
    BOX,
    JOINT,
    JOINT_SHARING,
    find_jepas,
    largest_difference,
    learn_by_hand,
    make_model,
    parameters,
)

STEPS = 96


def schedule_of(name):
    return Alternating() if name == "TRPO" else Joint()


@pytest.mark.parametrize(("name", "share"), JOINT_SHARING)
def test_joint_equals_patched_backward(name, share, monkeypatch):
    """For every algorithm and sharing option: joint equals a patched backward exactly with clipping off."""
    model = make_model(name, share)
    callback = JEPACallback(max_grad_norm=None, batch_size=8)
    model.learn(STEPS, callback=callback)

    twin = make_model(name, share)
    added = learn_by_hand(twin, STEPS, 8, monkeypatch)
    assert largest_difference(parameters(model), parameters(twin)) == 0.0
    assert added == callback.updates > 0


@pytest.mark.parametrize(("name", "share"), JOINT_SHARING)
def test_weight_zero_is_bit_identical_to_no_callback(name, share):
    """Weight 0 is bit-identical to no callback."""
    no_weight = {"dynamics_weight": 0, "auxiliary": (RewardTask(weight=0),)}
    with_callback = make_model(name, share, **no_weight)
    with_callback.learn(STEPS, callback=JEPACallback(batch_size=8))
    without = make_model(name, share, **no_weight)
    without.learn(STEPS)
    assert largest_difference(parameters(with_callback), parameters(without)) == 0.0


@pytest.mark.parametrize(("name", "share"), ALL_SHARING)
def test_encoder_and_heads_move(name, share):
    """Encoder and heads move, in every extractor that an optimizer trains; auxiliary gradients are counted right."""
    model = make_model(name, share)
    trainees = find_trainees(model)
    before = [{n: p.detach().clone() for n, p in jepa.named_parameters()} for jepa in find_jepas(model)]
    steps = []
    for optimizer, _ in trainees:
        optimizer.register_step_post_hook(lambda own, *_: steps.append(own))
    callback = JEPACallback(schedule_of(name), batch_size=8)
    model.learn(STEPS, callback=callback)
    for jepa, old in zip(find_jepas(model), before, strict=True):
        assert {n for n, p in jepa.named_parameters() if torch.equal(p, old[n])} == set()
    expected = sum(steps.count(optimizer) * len(extractors) for optimizer, extractors in trainees)
    if name == "TRPO":  # the last training is answered before the rollout that follows
        expected -= 2 * 2 * len(find_jepas(model))
    assert callback.updates == expected > 0


@pytest.mark.parametrize("name", JOINT)
def test_alternating_mode(name):
    """Alternating steps answer the owner's, before the next rollout; the policy's own optimizer leaves heads alone."""
    model = make_model(name)
    callback = JEPACallback(Alternating(), batch_size=8)
    heads = [dict(jepa.heads.named_parameters()) for jepa in find_jepas(model)]
    before = [{n: p.detach().clone() for n, p in head.items()} for head in heads]
    model.learn(STEPS, callback=callback)
    assert callback.updates > 0
    for head, old in zip(heads, before, strict=True):
        assert all(not torch.equal(p, old[n]) for n, p in head.items())
    for optimizer, _ in find_trainees(model):
        assert not any(p in optimizer.state for head in heads for p in head.values())


@pytest.mark.parametrize("name", ["PPO", "DQN"])
def test_replay_ratio(name):
    """A replay ratio of 3 makes three times as many auxiliary steps, from the same transitions."""
    updates = {}
    for replay_ratio in (1, 3):
        callback = JEPACallback(Alternating(replay_ratio=replay_ratio), batch_size=8)
        make_model(name).learn(STEPS, callback=callback)
        updates[replay_ratio] = callback.updates
    assert updates[3] == 3 * updates[1] > 0


def test_trpo_takes_alternating_only():
    """TRPO takes alternating only and says so."""
    with pytest.raises(ValueError, match=r"TRPO.*Alternating"):
        make_model("TRPO").learn(32, callback=JEPACallback(batch_size=8))


def test_log_probabilities_are_not_stale(monkeypatch):
    """In alternating mode the first minibatch has a KL of about 0: the steps come before the rollout."""
    model = make_model("PPO", arguments={"n_steps": 16, "batch_size": 32, "n_epochs": 1})
    ratios = []
    evaluate = type(model.policy).evaluate_actions

    def watched(policy, observations, actions):
        values, log_prob, entropy = evaluate(policy, observations, actions)
        old = model.rollout_buffer.log_probs.reshape(-1)
        ratios.append((np.sort(log_prob.detach().numpy()), np.sort(old)))
        return values, log_prob, entropy

    monkeypatch.setattr(type(model.policy), "evaluate_actions", watched)
    callback = JEPACallback(Alternating(), batch_size=8, max_grad_norm=None)
    model.learn(STEPS * 2, callback=callback)
    assert callback.updates > 2
    for now, then in ratios:
        np.testing.assert_allclose(now, then, atol=1e-5)


@pytest.mark.parametrize("name", ["PPO", "A2C"])
@pytest.mark.parametrize(
    "action_space",
    [spaces.MultiDiscrete([3, 2]), spaces.MultiBinary(3), BOX],
    ids=["multi-discrete", "multi-binary", "box"],
)
def test_other_actions(name, action_space):
    """Multi-discrete, multi-binary and continuous actions, with every auxiliary task at once."""
    model = make_model(
        name, action_space=action_space, auxiliary=("reward", "action_reward", "q", "random", LabelTask("code"))
    )
    callback = JEPACallback(batch_size=8)
    model.learn(STEPS, callback=callback)
    assert callback.updates > 0
    stored = callback.ring.sample(64)
    for row in range(64):
        action = stored.actions[row, 0].numpy()
        assert action_space.contains(action)
        number, episode, time = decode(stored.observations[row, 1].numpy())
        assert stored.rewards[row, 0].item() == pytest.approx(coded_reward(number, episode, time, action), abs=1e-5)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("wrapper", ["plain", "frame stack", "normalized"])
def test_transitions_are_right(name, wrapper):
    """Transitions are right for every algorithm, with time-outs, VecFrameStack and VecNormalize, and for k > 1."""
    wraps = {
        "plain": None,
        "frame stack": lambda env: VecFrameStack(env, 3, channels_order="last"),
        # what VecNormalize clips is lost: here, nothing
        "normalized": lambda env: VecNormalize(VecTransposeImage(env), clip_obs=1e6),
    }
    model = make_model(name, wrap=wraps[wrapper], normalize_images=wrapper != "normalized")
    callback = JEPACallback(schedule_of(name), probe="code", batch_size=4)
    model.learn(STEPS, callback=callback)
    batch = callback.ring.sample(200, 2)
    assert batch.observations.dtype == torch.uint8
    for row in range(200):
        newest_frame = batch.observations[row][:, -3:].numpy()
        number, episode, time = decode(newest_frame[0])
        for step in range(2):
            if not batch.mask[row, step]:
                break
            action = batch.actions[row, step].numpy()
            assert decode(newest_frame[step + 1]) == (number, episode, time + step + 1)
            assert batch.rewards[row, step].item() == pytest.approx(
                coded_reward(number, episode, time + step + 1, action), abs=1e-5
            )
            ended = time + step + 1 == EPISODE_LENGTHS[episode % len(EPISODE_LENGTHS)]
            assert batch.terminated[row, step] == ended
            assert batch.labels["code"][row, step + 1] == (number * 1000 + episode) * 10 + time + step + 1
        length = min(EPISODE_LENGTHS[episode % len(EPISODE_LENGTHS)], TIME_LIMIT)
        assert time < length
        assert not batch.mask[row, 1] or time + 2 <= length


@pytest.mark.parametrize("name", ["PPO", pytest.param("SAC", marks=pytest.mark.slow)])
def test_flat_vectors(name):
    """Flat vectors go through an MLP encoder."""
    space = spaces.Discrete(2) if name == "PPO" else spaces.Box(-2, 2, (1,), np.float32)
    env = DummyVecEnv([lambda: gym.make("CartPole-v1" if name == "PPO" else "Pendulum-v1")])
    kwargs = {"n_steps": 64, "batch_size": 32} if name == "PPO" else {"learning_starts": 32}
    model = getattr(stable_baselines3, name)(
        "MlpPolicy", env, policy_kwargs=jepa_policy_kwargs(space, encoder="mlp"), seed=0, device="cpu", **kwargs
    )
    callback = JEPACallback(batch_size=8)
    model.learn(128, callback=callback)
    assert callback.updates > 0


def test_policy_mode_is_left_as_it_was():
    """Asking the policy for its actions, in the middle of training, does not put it into evaluation mode."""
    model = make_model("CrossQ", auxiliary=("q",))
    model.policy.set_training_mode(True)
    modes = {module: module.training for module in model.policy.modules()}
    callback = JEPACallback(batch_size=8)
    model.learn(STEPS, callback=callback)
    for module, training in modes.items():
        module.training = training
    policy_actions(model, callback.ring.sample(4).observations[:, 0].numpy())
    assert modes == {module: module.training for module in model.policy.modules()}


def test_a_weight_for_each_task():
    """Several tasks at once with a weight each: a task of weight 0 sends no gradient."""
    model = make_model("PPO", auxiliary=(RewardTask(weight=1.0), RandomTask(weight=0.0)))
    heads = model.policy.features_extractor.jepa.heads
    before = {name: [p.detach().clone() for p in head.parameters()] for name, head in heads.items()}
    model.learn(STEPS, callback=JEPACallback(batch_size=8))
    for name, head in heads.items():
        moved = [not torch.equal(p, old) for p, old in zip(head.parameters(), before[name], strict=True)]
        assert all(moved) if name == "reward" else not any(moved)


def test_loads_without_custom_objects(tmp_path):
    """A model saved on one torch thread count loads on another, and predicts without jepa heads being touched."""
    torch.set_num_threads(1)
    model = make_model("PPO")
    model.learn(STEPS, callback=JEPACallback(batch_size=8))
    model.save(tmp_path / "model.zip")
    torch.set_num_threads(2)
    loaded = PPO.load(tmp_path / "model.zip", device="cpu")
    jepa = loaded.policy.features_extractor.jepa
    touched = []
    for module in (jepa.transition, *jepa.heads.values()):
        module.register_forward_pre_hook(lambda *_: touched.append(1))
    observation = model.env.reset()
    np.testing.assert_array_equal(*(m.predict(observation, deterministic=True)[0] for m in (model, loaded)))
    assert not touched
