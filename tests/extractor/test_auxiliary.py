"""The auxiliary tasks and latent targets, against their formulas worked by hand."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from jepa_extractor import JEPAExtractor
from jepa_extractor.auxiliary import ActionRewardTask, LabelTask, QTask, RandomTask, RewardTask, Steps
from jepa_extractor.objective import Objective
from jepa_extractor.slow import SlowCopy
from jepa_extractor.transitions import TransitionBatch

B, K, D = 4, 2, 5
IMAGE = spaces.Box(0, 255, (3, 36, 36), np.uint8)


def make_steps(action_dim=3, **changes):
    generator = torch.Generator().manual_seed(0)

    def rand(*shape):
        return torch.randn(*shape, generator=generator)

    values = {
        "observations": rand(B, K + 1, *IMAGE.shape),
        "latents": rand(B, K, D),
        "next_latents": rand(B, K, D),
        "actions": nn.functional.one_hot(torch.arange(B * K) % action_dim, action_dim).float().reshape(B, K, -1),
        "rewards": rand(B, K),
        "terminated": torch.arange(B * K).reshape(B, K) % 3 == 0,
        "next_labels": rand(B, K),
        "mask": torch.tensor([[True, True], [True, False], [True, True], [True, True]]),
        "next_actions": None,
        "discount": 0.9,
    }
    return Steps(**{**values, **changes})


def mean_over(steps, error):
    """Average error(b, k) over the steps that the mask keeps."""
    return np.mean([error(b, k) for b in range(B) for k in range(K) if steps.mask[b, k]])


def test_reward_task():
    """The paper's p(o): the reward, predicted from the arriving latent."""
    steps, task = make_steps(), RewardTask()
    head = task.make_head(D, IMAGE, spaces.Discrete(3))
    expected = mean_over(steps, lambda b, k: (head(steps.next_latents[b, k]) - steps.rewards[b, k]).item() ** 2)
    assert task.loss(head, steps).item() == pytest.approx(expected, rel=1e-5)


def test_action_reward_task():
    """The reward, predicted from latent and action."""
    steps, task = make_steps(), ActionRewardTask()
    head = task.make_head(D, IMAGE, spaces.Discrete(3))
    expected = mean_over(
        steps,
        lambda b, k: (head(torch.cat([steps.latents[b, k], steps.actions[b, k]])) - steps.rewards[b, k]).item() ** 2,
    )
    assert task.loss(head, steps).item() == pytest.approx(expected, rel=1e-5)


def test_q_task_with_discrete_actions():
    """Temporal-difference target with the model's own discount, maximum over discrete actions, nothing after an end."""
    steps, task = make_steps(), QTask()
    head = task.make_head(D, IMAGE, spaces.Discrete(3))

    def error(b, k):
        following = head.slow_values(steps.next_latents[b, k]).max()
        target = steps.rewards[b, k] + 0.9 * (0 if steps.terminated[b, k] else following)
        return (head(steps.latents[b, k])[steps.actions[b, k].argmax()] - target).item() ** 2

    assert task.loss(head, steps).item() == pytest.approx(mean_over(steps, error), rel=1e-5)


def test_q_task_with_continuous_actions():
    """For continuous actions the target takes the policy's own action."""
    steps = make_steps(next_actions=torch.randn(B, K, 2), actions=torch.randn(B, K, 2))
    task, space = QTask(), spaces.Box(-1, 1, (2,), np.float32)
    head = task.make_head(D, IMAGE, space)
    assert task.needs_next_actions(space)
    assert not task.needs_next_actions(spaces.Discrete(2))

    def error(b, k):
        following = head.slow_values(torch.cat([steps.next_latents[b, k], steps.next_actions[b, k]]))
        target = steps.rewards[b, k] + 0.9 * (0 if steps.terminated[b, k] else following)
        return (head(torch.cat([steps.latents[b, k], steps.actions[b, k]])) - target).item() ** 2

    assert task.loss(head, steps).item() == pytest.approx(mean_over(steps, error), rel=1e-5)


def test_q_target_sends_no_gradient():
    """The slow target is held as buffers: no gradient, no parameter, saved all the same."""
    task = QTask()
    head = task.make_head(D, IMAGE, spaces.Discrete(3))
    steps = make_steps(next_latents=torch.randn(B, K, D, requires_grad=True))
    loss = task.loss(head, steps)
    assert torch.autograd.grad(loss, steps.next_latents, allow_unused=True) == (None,)
    assert not any("slow" in name for name, _ in head.named_parameters())
    assert any("slow" in name for name in head.state_dict())


def test_random_task_is_a_fixed_linear_map():
    """The paper's random p(o): linear in the pixels, the same for the same seed, not saved, never trained."""
    task = RandomTask(size=7, seed=3)
    head, again = (task.make_head(D, IMAGE, spaces.Discrete(3)) for _ in range(2))
    steps = make_steps()
    target = head.target(steps.observations)
    assert target.shape == (B, K + 1, 7)
    assert torch.equal(target, again.target(steps.observations))
    assert torch.allclose(head.target(2 * steps.observations), 2 * target)
    assert not torch.equal(
        target, RandomTask(7, seed=4).make_head(D, IMAGE, spaces.Discrete(3)).target(steps.observations)
    )
    assert "weights" not in head.state_dict()
    expected = mean_over(steps, lambda b, k: (head(steps.next_latents[b, k]) - target[b, k + 1]).square().mean().item())
    assert task.loss(head, steps).item() == pytest.approx(expected, rel=1e-5)


def test_label_task_leaves_out_what_is_unknown():
    """A label from info; where it is missing the step does not count, and no NaN reaches the gradient."""
    labels = torch.randn(B, K)
    labels[0, 0] = labels[3, 1] = torch.nan
    steps, task = make_steps(next_labels=labels), LabelTask()
    head = task.make_head(D, IMAGE, spaces.Discrete(3))
    kept = [(b, k) for b in range(B) for k in range(K) if steps.mask[b, k] and labels[b, k].isfinite()]
    expected = np.mean([(head(steps.next_latents[b, k]) - labels[b, k]).item() ** 2 for b, k in kept])
    loss = task.loss(head, steps)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in head.parameters())


def test_slow_copy_is_an_average():
    """The first update copies; then the average moves by 1/n until the rate, here 1/4, is reached."""
    module = nn.Linear(1, 1, bias=False)
    slow = SlowCopy(module, rate=0.25)
    expected = 0.0
    for n, weight in enumerate([3.0, 5.0, -1.0, 2.0, 7.0, 7.0], start=1):
        with torch.no_grad():
            module.weight.fill_(weight)
        slow.follow(module)
        rate = max(1 / n, 0.25)
        expected += rate * (weight - expected)
        assert slow(module, torch.ones(1)).item() == pytest.approx(expected, rel=1e-6)
    assert not list(slow.parameters())


def batch(seed=0):
    rng = np.random.default_rng(seed)
    return TransitionBatch(
        rng.integers(0, 256, (B, 2, *IMAGE.shape), dtype=np.uint8),
        rng.integers(0, 3, (B, 1)),
        rng.normal(size=(B, 1)).astype(np.float32),
        np.zeros((B, 1), np.bool_),
        np.full((B, 2), np.nan, np.float32),
        np.ones((B, 1), np.bool_),
    )


@pytest.mark.parametrize("target", ["online", "detach", "ema"])
def test_latent_targets(target):
    """online: gradient through both sides; detach: through the prediction alone; ema: a slow encoder's latents."""
    torch.manual_seed(0)
    extractor = JEPAExtractor(IMAGE, spaces.Discrete(3), latent_dim=D, auxiliary=(), target=target)
    jepa = extractor.jepa
    pixels = torch.from_numpy(batch().observations).float() / 255
    actions = nn.functional.one_hot(torch.from_numpy(batch().actions[:, 0]), 3).float()
    for _ in range(2):
        losses, _ = extractor.losses(batch())
        slow_latents = jepa.target.slow(jepa.encoder, pixels[:, 1]) if target == "ema" else None
        before, after = jepa.encoder(pixels[:, 0]), jepa.encoder(pixels[:, 1])
        right = {"online": after, "detach": after.detach(), "ema": slow_latents}[target]
        expected = (jepa.transition(before, actions) - right).square().mean()
        assert losses["dynamics"].item() == pytest.approx(expected.item(), rel=1e-4)
        parameters = list(jepa.encoder.parameters())
        for one, other in zip(
            *(torch.autograd.grad(x, parameters) for x in (losses["dynamics"], expected)), strict=True
        ):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)
        with torch.no_grad():  # the slow encoder falls behind
            for parameter in parameters:
                parameter.add_(0.01)


def test_weighted_sum_and_clip():
    """c_d L_dyn + sum of c_p L_p; the gradient's norm is cut to the clip, its direction kept."""
    x, y = (nn.Parameter(torch.tensor([v])) for v in (3.0, 1.0))
    losses = {"dynamics": x.square().sum(), "reward": (x * y).sum(), "q": y.sum() * 0 + 1}
    objective = Objective(2.0, {"reward": 10.0, "q": 5.0}, max_grad_norm=4.0)
    assert objective.total(losses).item() == 2 * 9 + 10 * 3 + 5
    gradient = objective.gradient(losses, [x, y, nn.Parameter(torch.zeros(1))])
    raw = np.array([2 * 2 * 3 + 10 * 1, 10 * 3])
    norm = np.linalg.norm(raw)
    assert gradient.norm.item() == pytest.approx(norm)
    assert gradient.clipped_norm.item() == pytest.approx(4.0)
    np.testing.assert_allclose([v.item() for v in gradient.values], 4 * raw / norm, rtol=1e-5)
    assert gradient.parameters == [x, y]
