"""The auxiliary tasks and latent targets, against their formulas worked by hand."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from jepa_extractor import JEPA
from jepa_extractor.data.batch import Batch, Latents
from jepa_extractor.objectives.tasks import ActionRewardTask, EndTask, LabelTask, QTask, RandomTask, RewardTask

B, K, D = 4, 2, 5
IMAGE = spaces.Box(0, 255, (3, 36, 36), np.uint8)


def rand(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def make_latents():
    return Latents(encoded=rand(B, K + 1, D, seed=1), predicted=rand(B, K, D, seed=2))


def make_batch(action_dim=3, **changes):
    values = {
        "observations": rand(B, K + 1, *IMAGE.shape, seed=3),
        "actions": nn.functional.one_hot(torch.arange(B * K) % action_dim, action_dim).float().reshape(B, K, -1),
        "rewards": rand(B, K, seed=4),
        "terminated": torch.arange(B * K).reshape(B, K) % 3 == 0,
        "mask": torch.tensor([[True, True], [True, False], [True, True], [True, True]]),
        "discount": 0.9,
    }
    return Batch(**{**values, **changes})


def mean_over(batch, error):
    """Average error(b, k) over the steps that the mask keeps."""
    return np.mean([error(b, k) for b in range(B) for k in range(K) if batch.mask[b, k]])


def test_reward_task():
    """The paper's p(o): the reward, predicted from the arriving latent."""
    latents, batch, task = make_latents(), make_batch(), RewardTask()
    head = task.make_head(D, IMAGE, spaces.Discrete(3))
    expected = mean_over(batch, lambda b, k: (head(latents.after[b, k]) - batch.rewards[b, k]).item() ** 2)
    assert task.loss(head, latents, batch).item() == pytest.approx(expected, rel=1e-5)


def test_reward_on_both_latents():
    """The reward, predicted from the arriving latent and from the transition's prediction of it, in equal parts."""
    latents, batch, task = make_latents(), make_batch(), RewardTask(latents="both")
    head = task.make_head(D, IMAGE, spaces.Discrete(3))

    def error(latent, b, k):
        return (head(latent) - batch.rewards[b, k]).item() ** 2

    expected = mean_over(
        batch, lambda b, k: (error(latents.after[b, k], b, k) + error(latents.predicted[b, k], b, k)) / 2
    )
    assert task.loss(head, latents, batch).item() == pytest.approx(expected, rel=1e-5)


def test_end_task():
    """The probability that the step ended the episode, from the arriving latent: cross-entropy."""
    latents, batch, task = make_latents(), make_batch(), EndTask()
    head = task.make_head(D, IMAGE, spaces.Discrete(3))

    def error(b, k):
        p = head(latents.after[b, k]).item()
        return -np.log(p if batch.terminated[b, k] else 1 - p)

    assert task.loss(head, latents, batch).item() == pytest.approx(mean_over(batch, error), rel=1e-5)


def test_action_reward_task():
    """The reward, predicted from latent and action."""
    latents, batch, task = make_latents(), make_batch(), ActionRewardTask()
    head = task.make_head(D, IMAGE, spaces.Discrete(3))
    expected = mean_over(
        batch,
        lambda b, k: (head(torch.cat([latents.before[b, k], batch.actions[b, k]])) - batch.rewards[b, k]).item() ** 2,
    )
    assert task.loss(head, latents, batch).item() == pytest.approx(expected, rel=1e-5)


def test_q_task_with_discrete_actions():
    """Temporal-difference target with the model's own discount, maximum over discrete actions, nothing after an end."""
    latents, batch, task = make_latents(), make_batch(), QTask()
    head = task.make_head(D, IMAGE, spaces.Discrete(3))

    def error(b, k):
        following = head.target_values(latents.after[b, k]).max()
        target = batch.rewards[b, k] + 0.9 * (0 if batch.terminated[b, k] else following)
        return (head(latents.before[b, k])[batch.actions[b, k].argmax()] - target).item() ** 2

    assert task.loss(head, latents, batch).item() == pytest.approx(mean_over(batch, error), rel=1e-5)


def test_q_task_with_continuous_actions():
    """For continuous actions the target takes the policy's own action."""
    latents, batch = make_latents(), make_batch(next_actions=rand(B, K, 2, seed=5), actions=rand(B, K, 2, seed=6))
    task, space = QTask(), spaces.Box(-1, 1, (2,), np.float32)
    head = task.make_head(D, IMAGE, space)
    assert task.needs_next_actions(space)
    assert not task.needs_next_actions(spaces.Discrete(2))

    def error(b, k):
        following = head.target_values(torch.cat([latents.after[b, k], batch.next_actions[b, k]]))
        target = batch.rewards[b, k] + 0.9 * (0 if batch.terminated[b, k] else following)
        return (head(torch.cat([latents.before[b, k], batch.actions[b, k]])) - target).item() ** 2

    assert task.loss(head, latents, batch).item() == pytest.approx(mean_over(batch, error), rel=1e-5)


def test_q_target_sends_no_gradient():
    """The target network is held as buffers: no gradient, no parameter, saved all the same."""
    task = QTask()
    head = task.make_head(D, IMAGE, spaces.Discrete(3))
    latents, batch = make_latents(), make_batch()
    latents.encoded.requires_grad_()
    (gradient,) = torch.autograd.grad(task.loss(head, latents, batch), latents.encoded)
    assert gradient[:, 0].any()
    assert not gradient[:, -1].any(), "the last latent is in the target alone"
    assert not any("average" in name for name, _ in head.named_parameters())
    assert any("average" in name for name in head.state_dict())


def test_random_task_is_a_fixed_linear_map():
    """The paper's random p(o): linear in the pixels, the same for the same seed, not saved, never trained."""
    with pytest.raises(ValueError, match="size=0"):
        RandomTask(size=0)
    task = RandomTask(size=7, seed=3)
    head, again = (task.make_head(D, IMAGE, spaces.Discrete(3)) for _ in range(2))
    latents, batch = make_latents(), make_batch()
    target = head.target(batch.observations)
    assert target.shape == (B, K + 1, 7)
    assert torch.equal(target, again.target(batch.observations))
    assert torch.allclose(head.target(2 * batch.observations), 2 * target)
    assert not torch.equal(
        target, RandomTask(7, seed=4).make_head(D, IMAGE, spaces.Discrete(3)).target(batch.observations)
    )
    assert "weights" not in head.state_dict()
    expected = mean_over(batch, lambda b, k: (head(latents.after[b, k]) - target[b, k + 1]).square().mean().item())
    assert task.loss(head, latents, batch).item() == pytest.approx(expected, rel=1e-5)


def test_label_task_leaves_out_what_is_unknown():
    """A label from info; where it is missing the step does not count, and no NaN reaches the gradient."""
    labels = rand(B, K + 1, seed=7)
    labels[0, 1] = labels[3, 2] = torch.nan
    latents, batch, task = (
        make_latents(),
        make_batch(labels={"count": labels, "other": rand(B, K + 1)}),
        LabelTask("count"),
    )
    head = task.make_head(D, IMAGE, spaces.Discrete(3))
    kept = [(b, k) for b in range(B) for k in range(K) if batch.mask[b, k] and labels[b, k + 1].isfinite()]
    expected = np.mean([(head(latents.after[b, k]) - labels[b, k + 1]).item() ** 2 for b, k in kept])
    loss = task.loss(head, latents, batch)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in head.parameters())


def test_label_task_before_any_label_was_seen():
    """A batch without the label has a loss of 0 and no gradient that is not finite."""
    task = LabelTask("count")
    head = task.make_head(D, IMAGE, spaces.Discrete(3))
    assert task.loss(head, make_latents(), make_batch()).item() == 0


def test_weighted_sum():
    """The total is ``c_d L_dyn`` plus each task's weight times its loss."""
    tasks = (RewardTask(weight=3.0), LabelTask("count", weight=0.5))
    jepa = JEPA(IMAGE, spaces.Discrete(3), latent_dim=D, auxiliary=tasks, dynamics_weight=7.0)
    losses = {"dynamics": torch.tensor(1.0), "reward": torch.tensor(10.0), "label_count": torch.tensor(100.0)}
    assert jepa.total(losses).item() == 7 + 30 + 50
    assert [
        JEPA(IMAGE, spaces.Discrete(2)).total({name: torch.tensor(1.0)}).item() for name in ("dynamics", "reward")
    ] == [2, 10]


def test_a_discount_of_its_own_wins():
    """Over that of the algorithm, which the batch holds."""
    latents, batch, losses = make_latents(), make_batch(), []
    for task in (QTask(discount=0.3), QTask()):
        torch.manual_seed(0)
        head = task.make_head(D, IMAGE, spaces.Discrete(3))
        losses += [task.loss(head, latents, batch).item(), task.loss(head, latents, batch.replace(discount=0.3)).item()]
    assert losses[0] == losses[1] == losses[3] != losses[2]


def test_the_name_of_the_dynamics_is_taken():
    """A task cannot be named as the loss that every JEPA has."""
    task = RewardTask()
    task.name = "dynamics"
    with pytest.raises(ValueError, match="two losses named 'dynamics'"):
        JEPA(IMAGE, spaces.Discrete(3), auxiliary=(task,))


def test_random_maps_are_of_size_one():
    """Of observations whose numbers have variance 1, outputs have it too, however many numbers there are."""
    head = RandomTask(size=400).make_head(D, IMAGE, spaces.Discrete(3))
    assert head.target(rand(B, 2, *IMAGE.shape)).std().item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(("latents", "reads"), [("encoded", True), ("both", True), ("predicted", False)])
def test_which_tasks_read_later_latents(latents, reads):
    """Those that read encoded ones; where none does, later observations are not encoded with gradient."""
    assert RewardTask(latents=latents).reads_after == reads
