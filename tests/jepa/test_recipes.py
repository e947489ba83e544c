"""Each recipe's losses, against the published formulas written out in NumPy."""

import inspect

import numpy as np
import pytest
import torch
from gymnasium import spaces
from numpy.testing import assert_allclose

from jepa_extractor import JEPA, Batch, Episode, TransitionRing, jepa_policy_kwargs, pretrain
from jepa_extractor.objectives import CosineLoss, RandomTask
from jepa_extractor.planning import LatentPlanner
from jepa_extractor.recipes import RECIPES

B, D, A = 6, 16, 3
VECTOR, IMAGE, ACTIONS = (
    spaces.Box(-9, 9, (7,), np.float32),
    spaces.Box(0, 255, (3, 36, 40), np.uint8),
    spaces.Discrete(A),
)
PUBLISHED = ["spr", "mrq", "tdmpc2"]


def make_jepa(recipe, space=VECTOR, seed=0, **options):
    torch.manual_seed(seed)
    return JEPA(space, ACTIONS, **{**RECIPES[recipe](), "latent_dim": D, **options})


def make_batch(horizon, space=VECTOR, ends=True, seed=0):
    """Return stretches, of which some end before the horizon does."""
    rng = np.random.default_rng(seed)
    shape = (B, horizon + 1, *space.shape)
    observations = rng.integers(0, 256, shape, np.uint8) if space is IMAGE else rng.normal(size=shape).astype("f")
    last = np.where(np.arange(B) % 2 == 0, np.arange(B) % horizon, horizon) if ends else np.full(B, horizon)
    steps = np.arange(horizon)
    return Batch(
        torch.from_numpy(observations),
        torch.from_numpy(rng.integers(0, A, (B, horizon))),
        torch.from_numpy(rng.normal(scale=5, size=(B, horizon)).astype("f")),
        torch.from_numpy(steps == last[:, None]),
        torch.from_numpy(steps <= last[:, None]),
    )


def layer_norm(x, weight=1.0, bias=0.0):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * weight + bias


def mish(x):
    return x * np.tanh(np.log1p(np.exp(x)))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def symlog(x):
    return np.sign(x) * np.log(1 + np.abs(x))


def symexp(x):
    return np.sign(x) * (np.exp(np.abs(x)) - 1)


class Weights:
    """The weights of an jepa in float64, and the networks that they make, in NumPy."""

    def __init__(self, jepa):
        self.values = {name: value.double().numpy() for name, value in jepa.state_dict().items()}

    def linear(self, name, x):
        return x @ self.values[f"{name}.weight"].T + self.values[f"{name}.bias"]

    def norm(self, name, x):
        return layer_norm(x, self.values[f"{name}.weight"], self.values[f"{name}.bias"])

    def perceptron(self, name, x, layers):
        for layer in range(layers):
            x = mish(self.norm(f"{name}.{3 * layer + 1}", self.linear(f"{name}.{3 * layer}", x)))
        return self.linear(f"{name}.{3 * layers}", x)


def scaled(x):
    least, largest = x.min(-1, keepdims=True), x.max(-1, keepdims=True)
    return (x - least) / (largest - least)


def simnorm(x):
    return softmax(x.reshape(*x.shape[:-1], D // 8, 8)).reshape(x.shape)


def unrolled(jepa, batch, encoder_norm, transition):
    """Return the latents of all observations, the unrolled ones, and actions, (B, k + 1 or k, ...)."""
    network = jepa.encoder[0]  # without the normalisation
    with torch.no_grad():
        raw = network(batch.observations.flatten(0, 1)).reshape(B, -1, D).double().numpy()
    encoded, actions = encoder_norm(raw), np.eye(A)[batch.actions.numpy()]
    z, predicted = encoded[:, 0], []
    for k in range(actions.shape[1]):
        z = transition(np.concatenate([z, actions[:, k]], -1))
        predicted.append(z)
    return encoded, np.stack(predicted, 1), actions


def spr_losses(jepa, batch):
    """mila-iqia/spr: the squared distance of normalised projections, for each step."""
    weights = Weights(jepa)
    encoded, predicted, _ = unrolled(jepa, batch, scaled, lambda x: scaled(weights.perceptron("transition.head", x, 1)))
    online = weights.linear("predictor", weights.linear("projection", predicted))
    target = weights.linear("projection", encoded[:, 1:])
    cosine = (online * target).sum(-1) / np.linalg.norm(online, axis=-1) / np.linalg.norm(target, axis=-1)
    return {"dynamics": 2 - 2 * cosine}


def mrq_two_hot(reward):
    """facebookresearch/MRQ: weights of the two bins around a number, measured in the number itself."""
    bins = symexp(np.linspace(-10, 10, 65))
    lower = max(i for i in range(65) if bins[i] <= reward)
    share = (reward - bins[lower]) / (bins[lower + 1] - bins[lower])
    return np.eye(65)[lower] * (1 - share) + np.eye(65)[lower + 1] * share


def tdmpc2_two_hot(reward):
    """nicklashansen/tdmpc2: weights of the two bins around a number, measured in its symlog."""
    place = (symlog(reward) + 10) / (20 / 100)
    lower = int(np.floor(place))
    return np.eye(101)[lower] * (1 - place + lower) + np.eye(101)[lower + 1] * (place - lower)


def cross_entropy(two_hot, rewards, logits):
    shares = np.array([[two_hot(float(reward)) for reward in row] for row in rewards])
    return -(shares * np.log(softmax(logits))).sum(-1)


def mrq_losses(jepa, batch):
    weights = Weights(jepa)
    encoded, predicted, actions = unrolled(
        jepa,
        batch,
        lambda x: weights.norm("encoder.1", x),
        lambda x: weights.norm("predicted_norm", weights.perceptron("transition.head", x, 2)),
    )
    before = np.concatenate([encoded[:, :1], predicted[:, :-1]], 1)
    logits = weights.perceptron("heads.action_reward", np.concatenate([before, actions], -1), 1)
    ends = weights.perceptron("heads.end", predicted, 1)[..., 0]
    return {
        "dynamics": ((predicted - encoded[:, 1:]) ** 2).mean(-1),
        "action_reward": cross_entropy(mrq_two_hot, batch.rewards.numpy(), logits),
        "end": (ends - batch.terminated.numpy()) ** 2,
    }


def tdmpc2_losses(jepa, batch):
    weights = Weights(jepa)
    encoded, predicted, actions = unrolled(
        jepa, batch, simnorm, lambda x: simnorm(weights.perceptron("transition.head", x, 2))
    )
    before = np.concatenate([encoded[:, :1], predicted[:, :-1]], 1)
    logits = weights.perceptron("heads.action_reward", np.concatenate([before, actions], -1), 2)
    p = 1 / (1 + np.exp(-weights.perceptron("heads.end", predicted, 2)[..., 0]))
    discount = 0.5 ** np.arange(3)
    return {
        "dynamics": discount * ((predicted - encoded[:, 1:]) ** 2).mean(-1),
        "action_reward": discount * cross_entropy(tdmpc2_two_hot, batch.rewards.numpy(), logits),
        "end": -np.where(batch.terminated.numpy(), np.log(p), np.log(1 - p)),
    }


BY_HAND = {"spr": spr_losses, "mrq": mrq_losses, "tdmpc2": tdmpc2_losses}
# what the published code adds up, from errors (B, k): mean over the batch, then over or along the horizon
PUBLISHED_TOTAL = {
    "spr": lambda errors: 5 * errors["dynamics"].mean(1).mean(0),
    "mrq": lambda errors: sum(
        errors["dynamics"][:, k].mean() + 0.1 * errors["action_reward"][:, k].mean() + 0.1 * errors["end"][:, k].mean()
        for k in range(5)
    ),
    "tdmpc2": lambda errors: (
        20 * sum(errors["dynamics"].mean(0)) / 3 + 0.1 * sum(errors["action_reward"].mean(0)) / 3 + errors["end"].mean()
    ),
}


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


def test_paper_is_the_default():
    """Without a recipe, nothing changes."""
    assert jepa_policy_kwargs(ACTIONS) == jepa_policy_kwargs(ACTIONS, recipe="paper")
    defaults = {n: p.default for n, p in inspect.signature(JEPA).parameters.items()}
    of_paper = {"auxiliary": ("reward",), "dynamics": "squared", "dynamics_weight": 2.0, "target": "online"}
    of_paper |= {"normalization": "none", "horizon": 1, "augmentation": ()}
    assert {name: defaults[name] for name in of_paper} == of_paper


def test_an_option_wins_over_the_recipe():
    """A recipe is a set of options, of which any can be given anew."""
    options = jepa_policy_kwargs(ACTIONS, recipe="spr", horizon=2, dynamics=CosineLoss(8))["features_extractor_kwargs"]
    assert (options["horizon"], options["dynamics"].width, options["dynamics_weight"]) == (2, 8, 5.0)
    with pytest.raises(ValueError, match="recipe='dreamer' is unknown: choose one of paper, spr, mrq, tdmpc2"):
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
    planner = LatentPlanner(jepa, horizon=3)
    planner.save(tmp_path / "planner.pt")
    loaded = LatentPlanner.load(tmp_path / "planner.pt")
    observations = np.random.default_rng(0).normal(size=(9, 7)).astype("f")
    np.testing.assert_array_equal(*(one.predict(observations)[0] for one in (planner, loaded)))
    assert [text for _, text in planner.imagine(observations[0])] == [
        text for _, text in loaded.imagine(observations[0])
    ]
