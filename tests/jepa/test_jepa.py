"""JEPA: raw observations in; latents, predictions and losses out."""

import pickle

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.preprocessing import preprocess_obs
from torch import nn

from jepa_extractor import JEPA, AuxiliaryTask, Batch, JEPAExtractor, RewardTask, jepa_policy_kwargs
from jepa_extractor.networks import make_head
from jepa_extractor.objectives import squared_error

IMAGE = spaces.Box(0, 255, (3, 40, 40), np.uint8)
ACTIONS = {
    "discrete": (spaces.Discrete(3), 3),
    "box": (spaces.Box(-2, 2, (2, 2), np.float32), 4),
    "multi-discrete": (spaces.MultiDiscrete([2, 3]), 5),
    "multi-binary": (spaces.MultiBinary(4), 4),
}


def random_batch(action_space, batch=5, horizon=2, seed=0):
    rng = np.random.default_rng(seed)
    action_space.seed(seed)
    actions = np.array([[action_space.sample() for _ in range(horizon)] for _ in range(batch)])
    return Batch(
        observations=torch.from_numpy(rng.integers(0, 256, (batch, horizon + 1, *IMAGE.shape), dtype=np.uint8)),
        actions=torch.from_numpy(actions),
        rewards=torch.from_numpy(rng.normal(size=(batch, horizon)).astype(np.float32)),
        terminated=torch.zeros(batch, horizon, dtype=torch.bool),
    )


@pytest.mark.parametrize("kind", ACTIONS)
def test_losses_by_hand(kind):
    """Both losses equal the paper's formulas, computed frame by frame, for every kind of action."""
    action_space, action_dim = ACTIONS[kind]
    torch.manual_seed(0)
    jepa = JEPA(IMAGE, action_space, latent_dim=6)
    batch = random_batch(action_space)
    losses, latents = jepa.losses(batch)
    assert latents.encoded.shape == (5, 3, 6)
    assert latents.predicted.shape == (5, 2, 6)
    dynamics, reward = [], []
    for row in range(5):
        z = jepa.encoder(batch.observations[row].float() / 255)
        predicted = z[:1]
        for step in range(2):
            features = preprocess_obs(batch.actions[row, step : step + 1], action_space).flatten(1)
            assert features.shape == (1, action_dim)
            predicted = jepa.transition(predicted, features)
            dynamics.append((predicted - z[step + 1]).square().mean())
            reward.append((jepa.heads["reward"](z[step + 1]) - batch.rewards[row, step]).square())
    assert losses["dynamics"].item() == pytest.approx(torch.stack(dynamics).mean().item(), rel=1e-4)
    assert losses["reward"].item() == pytest.approx(torch.stack(reward).mean().item(), rel=1e-4)
    assert list(losses) == ["dynamics", "reward"]
    loss, logs = jepa.loss(batch)
    assert loss.item() == pytest.approx(2 * losses["dynamics"].item() + 10 * losses["reward"].item(), rel=1e-6)
    assert {name: one.item() for name, one in logs.losses.items()} == {n: one.item() for n, one in losses.items()}
    assert torch.equal(logs.latents, latents.encoded)
    assert not any(one.requires_grad for one in (*logs.losses.values(), logs.latents))


@pytest.mark.parametrize("kind", ACTIONS)
def test_predictions_by_hand(kind):
    """One step, and several: the transition on action features, then the normalisation, fed back."""
    action_space, _ = ACTIONS[kind]
    jepa = JEPA(IMAGE, action_space, latent_dim=6, normalization="layer").eval()
    actions = random_batch(action_space, horizon=3).actions
    latents = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in jepa.predicted_norm.parameters():
            parameter.add_(0.5)  # a norm that is told from the encoder's
        unrolled = jepa.unroll(latents, actions)
        assert unrolled.shape == (5, 3, 6)
        expected = latents
        for step in range(3):
            features = preprocess_obs(actions[:, step], action_space).flatten(1)
            assert torch.equal(jepa.action_features(actions[:, step]), features)
            assert torch.equal(jepa.predict(expected, actions[:, step]), jepa.next(expected, features))
            expected = jepa.predicted_norm(jepa.transition(expected, features))
            torch.testing.assert_close(unrolled[:, step], expected)


def test_policy_and_auxiliary_see_the_same_pixels():
    """Raw uint8 is not fed to the auxiliary: policy and auxiliary inputs are both in [0, 1]."""
    extractor = JEPAExtractor(IMAGE, spaces.Discrete(2), latent_dim=6)
    jepa, seen = extractor.jepa, []
    jepa.encoder.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].detach()))
    batch = random_batch(spaces.Discrete(2), horizon=1)
    jepa.losses(batch)
    extractor(preprocess_obs(batch.observations[:, 0], IMAGE))
    jepa.encode(batch.observations[:, 0].numpy())
    assert len(seen) == 3, "all frames of an auxiliary batch go through the encoder in one pass"
    assert all(pixels.min() >= 0 and 0.9 < pixels.max() <= 1 for pixels in seen)
    assert torch.equal(seen[0].unflatten(0, (5, 2))[:, 0], seen[1])
    assert torch.equal(seen[2], seen[1])


def test_pooling_forgets_place():
    """The default encoder averages over positions: away from the border, a shift by its stride changes nothing."""
    encoder = JEPA(spaces.Box(0, 255, (3, 128, 128), np.uint8), spaces.Discrete(2)).encoder.eval()
    image = torch.zeros(1, 3, 128, 128)
    image[:, :, 60:67, 60:67] = 0.7
    with torch.no_grad():
        original, shifted = encoder(image), encoder(image.roll((6, -6), (2, 3)))
    assert torch.allclose(original, shifted, atol=1e-5)


def test_encode_needs_no_gradient_and_equals_forward():
    """encode gives the features that the policy sees, over chunks."""
    extractor = JEPAExtractor(IMAGE, spaces.Discrete(2), latent_dim=4)
    images = np.random.default_rng(0).integers(0, 256, (300, *IMAGE.shape), dtype=np.uint8)
    latents = extractor.jepa.encode(images)
    assert latents.shape == (300, 4)
    assert latents.dtype == np.float32
    np.testing.assert_array_equal(extractor.jepa.encode(np.moveaxis(images, 1, -1)), latents)  # channels last, too
    expected = extractor(torch.from_numpy(images[290:]).float() / 255).detach().numpy()
    np.testing.assert_allclose(latents[290:], expected, rtol=1e-4, atol=1e-5)


def test_encode_is_in_evaluation_mode_and_leaves_the_mode_alone():
    """Latents do not depend on dropout, nor on which observations are encoded together; no observation is an error."""

    def network(space, latent_dim):
        return nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.LazyBatchNorm1d(), nn.LazyLinear(latent_dim))

    jepa = JEPA(IMAGE, spaces.Discrete(2), encoder=network, latent_dim=4)
    images = np.random.default_rng(0).integers(0, 256, (6, *IMAGE.shape), dtype=np.uint8)
    first = jepa.encode(images)
    np.testing.assert_allclose(first[:3], jepa.encode(images[:3]), atol=1e-5)
    assert all(module.training for module in jepa.modules())
    with pytest.raises(ValueError, match="observations are empty"):
        jepa.encode(images[:0])
    with pytest.raises(ValueError, match="observations is one observation: give a batch"):
        jepa.encode(images[0])


class LastPixelTask(AuxiliaryTask):
    """A user's task: predict whether the step ended the episode, from the latent it began at."""

    name = "end"

    def make_head(self, latent_dim, observation_space, action_space):
        return make_head(latent_dim, 1)

    def loss(self, head, latents, batch):
        return squared_error(head(latents.before).squeeze(-1), batch.terminated.float(), batch.mask)


def named(name):
    task = LastPixelTask()
    task.name = name
    return task


def test_a_task_of_the_users_own():
    """A task is a small object with one interface; several at once, each with head and loss by its name."""
    jepa = JEPA(IMAGE, spaces.Discrete(2), auxiliary=("reward", LastPixelTask()))
    losses, _ = jepa.losses(random_batch(spaces.Discrete(2)))
    assert list(losses) == ["dynamics", "reward", "end"]
    assert set(jepa.heads) == {"reward", "end"}


def test_no_task():
    """Dynamics only, the paper's collapsing condition, is possible."""
    losses, _ = JEPA(IMAGE, spaces.Discrete(2), auxiliary=()).losses(random_batch(spaces.Discrete(2)))
    assert list(losses) == ["dynamics"]


def test_policy_kwargs_are_picklable():
    """Extractor arguments hold no module instances and travel with model.save."""
    kwargs = jepa_policy_kwargs(spaces.Discrete(2), auxiliary=("reward", LastPixelTask()))
    copy = pickle.loads(pickle.dumps(kwargs))
    extractor = copy["features_extractor_class"](IMAGE, **copy["features_extractor_kwargs"])
    assert extractor.features_dim == 64


@pytest.mark.parametrize(
    ("observation_space", "arguments", "message"),
    [
        (spaces.Box(-1, 1, (8,), np.float32), {"encoder": "pooled"}, "is not an image"),
        (spaces.Discrete(4), {"encoder": "nature"}, "is not an image.*mlp"),
        (IMAGE, {"action_space": None}, "action_space=None.*jepa_policy_kwargs"),
        (IMAGE, {"latent_dim": 0}, "latent_dim=0"),
        (IMAGE, {"latent_dim": 2.5}, "latent_dim=2.5"),
        (IMAGE, {"horizon": 0}, "horizon=0"),
        (IMAGE, {"transition": lambda d, a: nn.Bilinear(d, a, d + 1)}, "its output must have the shape of the latents"),
        (IMAGE, {"encoder": "vgg"}, "encoder='vgg'.*pooled"),
        (IMAGE, {"auxiliary": ("rewards",)}, "auxiliary='rewards'.*reward"),
        (IMAGE, {"auxiliary": "reward"}, "auxiliary='reward'.*give a tuple"),
        (IMAGE, {"auxiliary": None}, "auxiliary=None.*give a tuple"),
        (IMAGE, {"auxiliary": (["reward"],)}, r"auxiliary=\['reward'\] is unknown"),
        (IMAGE, {"auxiliary": (named("a.b"),)}, "name='a.b'"),
        (IMAGE, {"auxiliary": (named("keys"),)}, "name='keys'"),
        (IMAGE, {"encoder": ["pooled"]}, r"encoder=\['pooled'\] is unknown"),
        (IMAGE, {"auxiliary": ("label",)}, r"auxiliary='label' is unknown.*LabelTask\('count'\)"),
        (IMAGE, {"auxiliary": (RewardTask(weight=-1.0),)}, "'reward'=-1.0 is not a finite number of at least 0"),
        (IMAGE, {"dynamics_weight": float("nan")}, "dynamics_weight=nan"),
        (IMAGE, {"normalization": "batch"}, "normalization='batch'"),
        (IMAGE, {"normalization": "simnorm", "latent_dim": 12}, "latent_dim=12 must be a multiple of 8"),
        (IMAGE, {"transition": "linear"}, "transition='linear' is unknown"),
        ("images", {}, "observation_space='images' is not of type Space"),
        (IMAGE, {"action_space": spaces.Discrete(2, start=1)}, "action_space=.*counts from 1, not from 0"),
        (IMAGE, {"action_space": spaces.Dict({"a": spaces.Discrete(2)})}, "action_space=Dict"),
        (spaces.Dict({"a": IMAGE}), {"encoder": "identity"}, "observation_space=Dict.*flatten"),
        (spaces.Box(0, 1, (64, 64, 3), np.float32), {}, "channels last: .*move the channels to the front"),
        (IMAGE, {"auxiliary": ("reward", "reward")}, "two losses named 'reward'"),
        (spaces.Box(0, 255, (3, 31, 64), np.uint8), {"encoder": "pooled"}, "at least 32 x 32"),
    ],
)
def test_bad_arguments(observation_space, arguments, message):
    """Every option out of range raises an error at once that names the option, the value and what is right."""
    with pytest.raises(ValueError, match=message):
        JEPA(observation_space, **{"action_space": spaces.Discrete(2), **arguments})
