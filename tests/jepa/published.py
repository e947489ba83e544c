"""The losses of published recipes, written out in NumPy."""

import numpy as np
import torch
from gymnasium import spaces

from jepa_extractor import JEPA, Batch
from jepa_extractor.recipes import RECIPES

B, D, A = 6, 16, 3
VECTOR, IMAGE, ACTIONS = (
    spaces.Box(-9, 9, (7,), np.float32),
    spaces.Box(0, 255, (3, 36, 40), np.uint8),
    spaces.Discrete(A),
)


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
