"""A new goal from labelled observations."""

import warnings

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from jepa_extractor import JEPA, LabelTask, QTask, RewardTask
from jepa_extractor.planning import LatentPlanner, retarget
from tests.planning.worlds import world

CHAIN = [[max(state - 1, 0), min(state + 1, 8)] for state in range(9)]
STATES = np.eye(9, dtype=np.float32)


def known(goal=4):
    return world(CHAIN, np.arange(9) == goal)


@pytest.mark.parametrize("goal", range(9))
def test_nine_labels_make_a_goal(goal):
    """With one labelled observation of each state the planner walks straight to the new goal."""
    planner = LatentPlanner(retarget(known(), STATES, np.arange(9) == goal))
    actions, _ = planner.predict(STATES)
    assert (actions[:goal] == 1).all()
    assert (actions[goal + 1 :] == 0).all()


def test_the_reward_is_that_of_the_nearest_label():
    """Each latent has the reward of the labelled latent that is nearest to it."""
    new = retarget(known(), STATES[[0, 3, 8]], [0.5, -1.0, 2.0])
    latents = torch.from_numpy(STATES[[8, 0, 3]] + 0.1)
    assert new.heads["reward"](latents).tolist() == [[2.0], [0.5], [-1.0]]
    assert new.heads["reward"](latents[None]).shape == (1, 3, 1)


def test_the_old_jepa_keeps_its_goal():
    """The copy has the same encoder and transition, without gradient; the original is not changed."""
    torch.manual_seed(0)
    old = JEPA(
        spaces.Box(-1, 1, (3,), np.float32),
        spaces.Discrete(2),
        latent_dim=4,
        encoder="mlp",
        auxiliary=("reward", QTask(), LabelTask("place")),
    )
    before = {name: value.clone() for name, value in old.state_dict().items()}
    observations = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    new = retarget(old, observations, np.arange(6) == 2)
    assert all(torch.equal(before[name], value) for name, value in old.state_dict().items())
    assert [task.name for task in old.tasks] == ["reward", "q", "label_place"]
    assert all(parameter.requires_grad for parameter in old.parameters())
    assert [task.name for task in new.tasks] == list(new.heads) == ["reward", "label_place"]
    assert not any(parameter.requires_grad for parameter in new.parameters())
    assert old.training
    assert not any(module.training for module in new.modules())
    assert (new.encode(observations) == old.encode(observations)).all()
    for name, value in new.transition.state_dict().items():
        assert torch.equal(value, old.transition.state_dict()[name])


def test_a_jepa_without_a_goal_gets_one():
    """Where no reward was learned, labelled observations bring it."""
    space = spaces.Box(-1, 1, (3,), np.float32)
    jepa = JEPA(space, spaces.Discrete(2), latent_dim=3, encoder="identity", auxiliary=())
    new = retarget(jepa, np.eye(3, dtype=np.float32), [0, 0, 1])
    assert isinstance(new.tasks[0], RewardTask)
    with pytest.warns(UserWarning, match="never trained"):
        LatentPlanner(new)


def test_images_with_channels_first_or_last():
    """Labelled images may come from reset or from random_episodes."""
    last = spaces.Box(0, 255, (40, 48, 3), np.uint8)
    jepa = JEPA(last, spaces.Discrete(3), encoder="pooled", latent_dim=8)
    images = np.random.default_rng(0).integers(256, size=(4, 40, 48, 3), dtype=np.uint8)
    heads = [
        retarget(jepa, observations, [0, 1, 0, 1]).heads["reward"].latents
        for observations in (images, np.moveaxis(images, -1, 1))
    ]
    assert torch.equal(*heads)


@pytest.mark.parametrize(
    ("observations", "rewards", "message"),
    [
        (STATES, np.zeros(9), "rewards are all 0.*label"),
        (STATES[:1], [1.0], "rewards are all 1.*label"),
        (STATES, np.ones(8), r"rewards has shape \(8,\) for 9"),
        (STATES[0], [1.0], "batch"),
        (STATES[:2], [1.0, np.nan], "not all finite"),
        (STATES[[0, 1, 2, 1]], [0, 0, 0, 1], "observations 1 and 3 have rewards 0 and 1 and the same latent"),
        (STATES[:0], [], "no observation"),
        (np.zeros((4, 5), np.float32), [0, 1, 0, 0], r"observations have shape \(4, 5\)"),
    ],
)
def test_labels_that_do_not_suffice(observations, rewards, message):
    """Labels from which no goal can be read are an error that says what is missing."""
    with pytest.raises(ValueError, match=message):
        retarget(known(), observations, rewards)


def test_an_encoder_that_tells_nothing_apart():
    """Where all observations have one latent, different labels contradict each other."""
    jepa = JEPA(spaces.Box(-1, 1, (3,), np.float32), spaces.Discrete(2), latent_dim=4, encoder="mlp")
    for parameter in jepa.encoder.parameters():
        torch.nn.init.zeros_(parameter)
    with pytest.raises(ValueError, match="the same latent"):
        retarget(jepa, np.eye(3, dtype=np.float32), [0, 1, 0])


class Jumping(nn.Module):
    """A transition that steps along one-hot latents (B, S) and adds ``error`` times the next state's neighbour."""

    def __init__(self, latent_dim, action_dim, error):
        super().__init__()
        self.error = error

    def forward(self, latents, actions):
        return (1 - self.error) * latents.roll(1, -1) + self.error * latents.roll(2, -1)


@pytest.mark.parametrize(("error", "told"), [(0.0, False), (0.35, False), (0.45, True)])
def test_labels_that_leave_doubt(error, told):
    """Predictions at 0.45 of the way to another reward are at 0.82 of its distance: that is said before planning."""
    space = spaces.Box(0, 1, (5,), np.float32)
    kwargs = {"encoder": "identity", "transition": Jumping, "transition_kwargs": {"error": error}}
    jepa = JEPA(space, spaces.Discrete(2), latent_dim=5, auxiliary=(), **kwargs)
    jepa.updates += 1
    states = np.eye(5, dtype=np.float32)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        retarget(jepa, states, [0, 0, 1, 0, 0])
    assert [f"ratio of distances {error / (1 - error):.2f}" in str(warning.message) for warning in caught] == [
        True
    ] * told


def test_a_goal_to_which_nothing_leads():
    """Where no prediction is nearest to a label of the goal, a warning says so; it needs no search."""
    jepa = known()
    jepa.updates += 1
    with pytest.warns(UserWarning, match=r"no action leads from a labelled observation.*1, the highest reward"):
        retarget(jepa, STATES[[0, 4, 8]], [0.0, 1.0, 0.0])
