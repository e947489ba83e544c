"""Each recipe's losses, against the published formulas written out in NumPy."""

import inspect

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from jepa_extractor import JEPA, Episode, TransitionRing, jepa_policy_kwargs, pretrain
from jepa_extractor.objectives import CosineLoss, RandomTask
from jepa_extractor.planning import Imagination, LatentPlanner
from jepa_extractor.recipes import RECIPES
from tests.jepa.published import ACTIONS, BY_HAND, IMAGE, PUBLISHED_TOTAL, A, B, D, make_batch, make_jepa

PUBLISHED = ["spr", "mrq", "tdmpc2"]


@pytest.mark.parametrize("recipe", PUBLISHED)
def test_losses_by_hand(recipe):
    """Each loss is the mean of its errors over the steps that belong to the episode."""
    jepa = make_jepa(recipe)
    batch = make_batch(jepa.horizon)
    losses, _ = jepa.losses(batch)
    errors = BY_HAND[recipe](jepa, batch)
    assert losses.keys() == errors.keys()
    for name, loss in losses.items():
        assert_allclose(loss.item(), errors[name][batch.mask.numpy()].mean(), rtol=1e-4, err_msg=name)


@pytest.mark.parametrize("recipe", PUBLISHED)
def test_total_is_the_published_one(recipe):
    """Where no episode ends within the horizon, weights and means give the sum that the published code minimises."""
    jepa = make_jepa(recipe)
    batch = make_batch(jepa.horizon, ends=False)
    total = jepa.loss(batch)[0].item()
    assert_allclose(total, PUBLISHED_TOTAL[recipe](BY_HAND[recipe](jepa, batch)), rtol=1e-4)


@pytest.mark.parametrize("recipe", PUBLISHED)
def test_what_follows_an_end_does_not_count(recipe):
    """Neither losses nor gradients see observations, actions and rewards behind the mask."""
    jepa = make_jepa(recipe)
    batch = make_batch(jepa.horizon)
    other, mask = make_batch(jepa.horizon, seed=1), batch.mask
    seen = torch.cat([torch.ones(B, 1, dtype=torch.bool), mask], 1)
    changed = batch.replace(
        observations=torch.where(seen[..., None], batch.observations, other.observations),
        actions=torch.where(mask, batch.actions, other.actions),
        rewards=torch.where(mask, batch.rewards, other.rewards),
    )
    assert not mask.all()
    jepa.losses(batch)  # moves the targets
    jepa.eval()
    gradients = []
    for one in (batch, changed):
        jepa.zero_grad()
        jepa.loss(one)[0].backward()
        gradients.append([p.grad for p in jepa.parameters() if p.grad is not None])
    for one, same in zip(*gradients, strict=True):
        torch.testing.assert_close(one, same, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("recipe", PUBLISHED)
def test_only_the_first_observation_needs_a_gradient(recipe):
    """The recipes read predictions alone: one observation is encoded with gradient, to the same losses as all."""
    jepa = make_jepa(recipe, IMAGE, augmentation=())
    tasks = (*RECIPES[recipe]()["auxiliary"], RandomTask(weight=0.0))  # reads latents of all observations
    whole = make_jepa(recipe, IMAGE, augmentation=(), auxiliary=tasks)
    whole.load_state_dict(jepa.state_dict(), strict=False)
    batch, sizes = make_batch(jepa.horizon, IMAGE), []
    jepa.encoder.register_forward_pre_hook(lambda _, inputs: sizes.append((len(inputs[0]), torch.is_grad_enabled())))
    results = []
    for one in (jepa, whole):
        losses, latents = one.losses(batch)
        results.append((losses, torch.autograd.grad(one.total(losses), list(one.encoder.parameters())), latents))
    assert sizes == [(B, True), (B * jepa.horizon, False)]
    assert (results[0][2].encoded.shape, results[1][2].encoded.shape) == ((B, 1, D), (B, jepa.horizon + 1, D))
    for name, loss in results[0][0].items():
        torch.testing.assert_close(loss, results[1][0][name], rtol=1e-4, atol=1e-6)
    for one, same in zip(results[0][1], results[1][1], strict=True):
        torch.testing.assert_close(one, same, rtol=1e-3, atol=1e-5)


def test_policies_share_by_default():
    options = jepa_policy_kwargs(ACTIONS)["features_extractor_kwargs"]
    assert options["target"] == "detach"
    assert [task.latents for task in options["auxiliary"]] == ["predicted"]


def test_paper_is_the_default_of_a_jepa():
    """Its recipe changes nothing."""
    assert jepa_policy_kwargs(ACTIONS, recipe="paper")["features_extractor_kwargs"] == {"action_space": ACTIONS}
    defaults = {n: p.default for n, p in inspect.signature(JEPA).parameters.items()}
    of_paper = {"auxiliary": ("reward",), "dynamics": "squared", "dynamics_weight": 2.0, "target": "online"}
    of_paper |= {"normalization": "none", "horizon": 1, "augmentation": ()}
    assert {name: defaults[name] for name in of_paper} == of_paper


def test_an_option_wins_over_the_recipe():
    """A recipe is a set of options, of which any can be given anew."""
    options = jepa_policy_kwargs(ACTIONS, recipe="spr", horizon=2, dynamics=CosineLoss(8))["features_extractor_kwargs"]
    assert (options["horizon"], options["dynamics"].width, options["dynamics_weight"]) == (2, 8, 5.0)
    with pytest.raises(ValueError, match="recipe='dreamer' is unknown: choose one of shared, paper, spr, mrq, tdmpc2"):
        jepa_policy_kwargs(ACTIONS, recipe="dreamer")


def test_an_interrupted_pretraining_goes_on(tmp_path):
    """Copies and draws are in the checkpoint: cut off and resumed, a pretraining ends as if it had not been."""

    def interrupt(record):
        if record["update"] == 2:
            raise KeyboardInterrupt

    def train(path, on_check=None):
        jepa = make_jepa("mrq", IMAGE, latent_dim=8, target_kwargs={"every": 3})
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (20, *IMAGE.shape), np.uint8)
        episode = Episode(images, rng.integers(0, A, 19), rng.normal(size=19), False)
        ring = TransitionRing.from_episodes([episode], seed=0)
        pretrain(jepa, ring, 4, batch_size=4, transition_updates=0, check_every=2, checkpoint=path, on_check=on_check)
        return jepa.state_dict()

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut.pt", interrupt)
    resumed, whole = train(tmp_path / "cut.pt"), train(tmp_path / "whole.pt")
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


@pytest.mark.parametrize("recipe", PUBLISHED)
def test_a_planner_reads_and_saves_the_heads(recipe, tmp_path):
    """Two-hot rewards and ends are numbers to a planner, and its file builds the same heads."""
    jepa = make_jepa(recipe, **({"auxiliary": ("reward",)} if recipe == "spr" else {}))
    with torch.no_grad():
        for parameter in jepa.parameters():
            parameter.add_(0.01 * torch.randn(parameter.shape))
    jepa.updates += 1  # as if it had been trained
    planner = LatentPlanner(jepa, horizon=3)
    planner.save(tmp_path / "planner.pt")
    loaded = LatentPlanner.load(tmp_path / "planner.pt")
    observations = np.random.default_rng(0).normal(size=(9, 7)).astype("f")
    np.testing.assert_array_equal(*(one.predict(observations)[0] for one in (planner, loaded)))
    assert [text for _, text in Imagination(planner).imagine(observations[0])] == [
        text for _, text in Imagination(loaded).imagine(observations[0])
    ]
