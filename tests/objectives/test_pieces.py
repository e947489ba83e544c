"""The pieces that recipes are made of: heads, targets, augmentations, regularisers, latent normalisation."""

import copy

import numpy as np
import pytest
import torch
from gymnasium import spaces
from numpy.testing import assert_allclose
from torch import nn

from jepa_extractor import (
    Batch,
    CosineLoss,
    JEPAExtractor,
    R2R2,
    RandomIntensity,
    RandomShift,
    RewardTask,
    SIGReg,
    VICReg,
)
from jepa_extractor.data.batch import Latents
from jepa_extractor.networks.copies import PeriodicCopy
from jepa_extractor.networks.heads import BinaryHead, MinMax, NumberHead, SimNorm, TwoHotHead

IMAGE, VECTOR, ACTIONS = (
    spaces.Box(0, 255, (3, 36, 40), np.uint8),
    spaces.Box(-9, 9, (5,), np.float32),
    spaces.Discrete(2),
)
B, D = 12, 8


def rand(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def make_batch(horizon=1, space=IMAGE, seed=0):
    rng = np.random.default_rng(seed)
    shape = (B, horizon + 1, *space.shape)
    observations = rng.integers(0, 256, shape, np.uint8) if space is IMAGE else rng.normal(size=shape).astype("f")
    return Batch(
        torch.from_numpy(observations),
        torch.from_numpy(rng.integers(0, 2, (B, horizon))),
        torch.zeros(B, horizon),
        torch.zeros(B, horizon, dtype=torch.bool),
    )


@pytest.mark.parametrize("interpolate", ["symlog", "raw"])
def test_two_hot(interpolate):
    """The share of each bin gives the number back; what is beyond is clipped; a bin's own number is all its."""
    head = TwoHotHead(D, bins=21, limit=5.0, interpolate=interpolate)
    bins = head.positions.double().numpy()
    numbers = np.array([[-1e6, -20.0, -1.0], [0.0, 0.3, 7.7], [147.0, 1e3, 1e6]])
    shares = head.two_hot(torch.tensor(numbers, dtype=torch.float32)).numpy()
    assert shares.shape == (3, 3, 21)
    assert ((shares > 0).sum(-1) <= 2).all()
    assert_allclose(shares.sum(-1), 1, rtol=1e-6)
    places = np.sign(numbers) * np.log1p(np.abs(numbers)) if interpolate == "symlog" else numbers
    assert_allclose((shares * bins).sum(-1), places.clip(bins[0], bins[-1]), rtol=1e-4, atol=1e-5)
    on_bin = float(bins[13]) if interpolate == "raw" else float(np.expm1(bins[13]))
    assert_allclose(head.two_hot(torch.tensor([on_bin]))[0, 13], 1, atol=1e-4)


@pytest.mark.parametrize("interpolate", ["symlog", "raw"])
def test_two_hot_learns_numbers(interpolate):
    """Minimising the errors brings the numbers expected to the targets, over five orders of magnitude."""
    torch.manual_seed(0)
    head, inputs, targets = (
        TwoHotHead(4, interpolate=interpolate),
        torch.eye(4),
        torch.tensor([-1000.0, 0.0, 0.1, 50.0]),
    )
    optimizer = torch.optim.Adam(head.parameters(), 1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        head.errors(inputs, targets).mean().backward()
        optimizer.step()
    assert_allclose(head(inputs).squeeze(-1).detach(), targets, rtol=0.05, atol=0.02)


def test_number_and_binary_heads():
    """A squared error, and the cross-entropy of a probability."""
    inputs, targets = rand(3, 2, D), torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    number, binary = NumberHead(D), BinaryHead(D, layers=2)
    torch.testing.assert_close(number.errors(inputs, targets), (number(inputs)[..., 0] - targets) ** 2)
    p = binary(inputs)[..., 0]
    expected = -(targets * p.log() + (1 - targets) * (1 - p).log())
    torch.testing.assert_close(binary.errors(inputs, targets), expected)


def test_a_head_of_the_users_own():
    """A callable that builds a module with ``errors``."""

    class Absolute(NumberHead):
        def errors(self, inputs, targets):
            return (self(inputs).squeeze(-1) - targets).abs()

    batch, latents = make_batch(), Latents(rand(B, 2, D), rand(B, 1, D, seed=1))
    task = RewardTask(head=Absolute, head_kwargs={"hidden": 3})
    head = task.make_head(D, IMAGE, ACTIONS)
    assert task.loss(head, latents, batch).item() == pytest.approx(head(latents.after).abs().mean().item())


def test_periodic_copy():
    """A copy at the first update, and at every third after it."""
    module = nn.Linear(1, 1, bias=False)
    copied, seen = PeriodicCopy(module, every=3), []
    for weight in (3.0, 5.0, -1.0, 2.0, 7.0, 8.0, 9.0):
        with torch.no_grad():
            module.weight.fill_(weight)
        copied.update(module)
        seen.append(copied(module, torch.ones(1)).item())
    assert seen == [3, 3, 3, 2, 2, 2, 9]


@pytest.mark.parametrize(
    ("target", "kwargs", "shares"), [("ema", {"rate": 0.5}, (0.5, 0.5)), ("copy", {"every": 2}, (1.0, 0.0))]
)
def test_the_projection_of_a_target_is_copied_too(target, kwargs, shares):
    """After two updates the target is the encoder and the projection of then and now, with these shares."""
    options = {"latent_dim": D, "auxiliary": (), "dynamics": "cosine", "target": target, "target_kwargs": kwargs}
    extractor = JEPAExtractor(VECTOR, ACTIONS, **options)
    embedding, batch = extractor.jepa._embedding, make_batch(space=VECTOR)
    first = copy.deepcopy(embedding)
    extractor.update_targets()
    with torch.no_grad():
        for parameter in embedding.parameters():
            parameter.add_(torch.randn(parameter.shape))
    extractor.update_targets()
    with torch.no_grad():
        mixed = copy.deepcopy(embedding)
        for parameter, old, new in zip(mixed.parameters(), first.parameters(), embedding.parameters(), strict=True):
            parameter.copy_(shares[0] * old + shares[1] * new)
        jepa = extractor.jepa
        z = jepa.encoder(batch.observations[:, 0])
        actions = nn.functional.one_hot(batch.actions[:, 0], 2).float()
        online = jepa.predictor(jepa.projection(jepa.next(z, actions)))
        cosine = nn.functional.cosine_similarity(online, mixed(batch.observations[:, 1]))
        assert extractor.losses(batch)[0]["dynamics"].item() == pytest.approx((2 - 2 * cosine).mean().item(), rel=1e-4)
    assert not any("target" in name for name, _ in extractor.named_parameters())


def test_a_target_of_the_users_own():
    """A callable that builds a module with the members of ``OnlineTarget``."""

    class Zero(nn.Module):
        reads_after = False

        def __init__(self, embedding, scale):
            super().__init__()
            self.scale = scale

        def forward(self, embedding, observations, latents):
            return torch.full_like(latents.predicted, self.scale)

        def update(self, embedding):
            pass

    extractor = JEPAExtractor(VECTOR, ACTIONS, auxiliary=(), target=Zero, target_kwargs={"scale": 3.0})
    losses, latents = extractor.losses(make_batch(space=VECTOR))
    assert losses["dynamics"].item() == pytest.approx((latents.predicted - 3).square().mean().item())


def test_min_max():
    """The smallest component becomes 0, the largest 1, the rest stays in order; equal ones become 0, not NaN."""
    latents = torch.tensor([[1.0, 3.0, 2.0], [-4.0, -4.0, -4.0]], requires_grad=True)
    scaled = MinMax(3)(latents)
    assert scaled.tolist() == [[0, 1, 0.5], [0, 0, 0]]
    scaled.square().sum().backward()
    assert latents.grad.isfinite().all()


def test_a_normalisation_of_the_users_own():
    """A callable, applied to what is encoded and to what is predicted."""
    extractor = JEPAExtractor(VECTOR, ACTIONS, latent_dim=D, normalization=lambda width: nn.Softmax(-1))
    _, latents = extractor.losses(make_batch(space=VECTOR))
    for part in latents:
        torch.testing.assert_close(part.sum(-1), torch.ones(part.shape[:-1]))


def test_shift_is_pad_and_crop():
    """Each image is a crop of itself, padded with its border; all shifts occur, and images differ in theirs."""
    images = rand(300, 2, 6, 9)
    shifted = RandomShift(pad=2)(images, torch.Generator().manual_seed(3))
    padded = nn.functional.pad(images, (2, 2, 2, 2), "replicate")
    found = []
    for before, after in zip(padded, shifted, strict=True):
        crops = {(y, x): before[:, y : y + 6, x : x + 9] for y in range(5) for x in range(5)}
        found += [place for place, crop in crops.items() if torch.equal(crop, after)]
    assert len(found) == 300
    assert len(set(found)) == 25


def test_intensity():
    """Each image is multiplied by a number of its own, which stays within two standard deviations of 1."""
    images = torch.rand(200, 2, 6, 9) + 0.1
    ratio = RandomIntensity(0.05)(images, torch.Generator().manual_seed(0)) / images
    assert (ratio.amax((1, 2, 3)) - ratio.amin((1, 2, 3))).max() < 1e-5
    factor = ratio[:, 0, 0, 0]
    assert 0.9 - 1e-5 <= factor.min() < 0.95
    assert 1.05 < factor.max() <= 1.1 + 1e-5


def test_augmentation_is_of_the_auxiliary_alone():
    """Losses see changed images, the policy the images themselves; an update brings new draws; global ones are left."""
    options = {"latent_dim": D, "augmentation": ("shift",)}
    extractor = JEPAExtractor(IMAGE, ACTIONS, **options)
    plain = JEPAExtractor(IMAGE, ACTIONS, latent_dim=D)
    plain.load_state_dict(extractor.state_dict(), strict=False)
    batch = make_batch()
    images = batch.observations[:, 0].float() / 255
    state = torch.get_rng_state()
    first, again = (extractor.losses(batch)[0]["dynamics"].item() for _ in range(2))
    assert first == again != plain.losses(batch)[0]["dynamics"].item()
    assert torch.equal(extractor(images), plain(images))
    extractor.update_targets()
    assert extractor.losses(batch)[0]["dynamics"].item() != first
    assert torch.equal(torch.get_rng_state(), state)


def test_draws_are_saved_with_the_model():
    """A model that is loaded goes on with the draws at which it was saved, of images and of directions."""
    options = {"latent_dim": D, "augmentation": ("shift",), "auxiliary": (SIGReg(),)}
    extractor, loaded = (JEPAExtractor(IMAGE, ACTIONS, **options) for _ in range(2))
    for _ in range(3):
        extractor.update_targets()
    loaded.load_state_dict(extractor.state_dict())
    for _ in range(2):
        ours, theirs = (one.losses(make_batch())[0] for one in (extractor, loaded))
        assert all(ours[name].item() == theirs[name].item() for name in ours)
        extractor.update_targets()
        loaded.update_targets()


def test_only_images_are_augmented():
    """Of a Dict, images are shifted, the rest is not; without an image nothing is."""
    space = spaces.Dict({"image": IMAGE, "speed": VECTOR})
    observations = {"image": rand(2, 3, *IMAGE.shape), "speed": rand(2, 3, 5)}
    changed = JEPAExtractor(space, ACTIONS, augmentation=("shift",)).jepa.augmentation(observations)
    assert torch.equal(changed["speed"], observations["speed"])
    assert not torch.equal(changed["image"], observations["image"])
    alone = JEPAExtractor(VECTOR, ACTIONS, augmentation=("shift",)).jepa.augmentation(observations["speed"])
    assert torch.equal(alone, observations["speed"])


def penalty(task, latents):
    head = task.make_head(D, VECTOR, ACTIONS)
    return task.loss(head, Latents(latents[:, None], latents[:, None]), None).item(), head


def test_vicreg_by_hand():
    """Variance and covariance of centred latents."""
    latents = rand(B, D) * torch.linspace(0.1, 2, D) + 5
    z = latents.double().numpy()
    covariance = np.cov(z.T)
    spread = np.maximum(0, 1 - np.sqrt(np.diag(covariance) + 1e-4)).mean()
    expected = spread + 0.3 * (covariance[~np.eye(D, dtype=bool)] ** 2).sum() / D
    assert penalty(VICReg(covariance=0.3), latents)[0] == pytest.approx(expected, rel=1e-4)


def test_r2r2_by_hand():
    """Variance, and the products of latents that are not centred."""
    latents = rand(B, D) * torch.linspace(0.1, 2, D) + 1
    z = latents.double().numpy()
    products = z.T @ z / (B - 1)
    expected = np.maximum(0, 1 - z.std(0, ddof=1)).mean() + (products[~np.eye(D, dtype=bool)] ** 2).mean()
    assert penalty(R2R2(), latents)[0] == pytest.approx(expected, rel=1e-4)


def test_sigreg_by_hand():
    """The characteristic function of projections against the normal one, at eight points from -5 to 5."""
    latents = rand(B, D)
    measured, head = penalty(SIGReg(), latents)
    directions = torch.randn(D, 16, generator=head.generator()).double().numpy()
    projected = latents.double().numpy() @ (directions / np.linalg.norm(directions, axis=0))
    points = np.linspace(-5, 5, 8)
    characteristic = np.exp(1j * projected[:, :, None] * points).mean(0)
    assert measured == pytest.approx((np.abs(characteristic - np.exp(-(points**2) / 2)) ** 2).mean(), rel=1e-4)


def test_sigreg_tells_normal_latents_from_others():
    """Standard normal latents cost least; dead, shifted and wide ones more; new directions come with an update."""
    normal = rand(4000, D)
    costs = [penalty(SIGReg(), one)[0] for one in (normal, normal * 0, normal + 2, normal * 3)]
    assert costs[0] < 0.01 < min(costs[1:])
    task = SIGReg()
    head = task.make_head(D, VECTOR, ACTIONS)
    latents = Latents(normal[:, None], normal[:, None])
    first, again = task.loss(head, latents, None), task.loss(head, latents, None)
    task.update_target(head)
    assert first == again != task.loss(head, latents, None)


@pytest.mark.parametrize("task", [VICReg(), R2R2(), SIGReg()])
def test_gradient_of_dead_latents_is_finite(task):
    """Where all latents are equal, no root of 0 makes a NaN."""
    latents = torch.full((B, 1, D), 0.5, requires_grad=True)
    task.loss(task.make_head(D, VECTOR, ACTIONS), Latents(latents, latents), None).backward()
    assert latents.grad.isfinite().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dynamics": "huber"}, "dynamics='huber' is unknown: choose among squared, cosine"),
        ({"target": "slow"}, "target='slow' is unknown: choose one of online, detach, ema, copy"),
        ({"target": "ema", "target_kwargs": {"rate": 0}}, r"rate=0 is not a number in \(0, 1\]"),
        ({"target": "copy", "target_kwargs": {"every": 0}}, "every=0"),
        ({"augmentation": "shift"}, "augmentation='shift' is not a sequence"),
        ({"augmentation": ("flip",)}, "augmentation='flip' is unknown: choose among shift, intensity"),
        ({"transition_kwargs": {"layers": 0}}, "layers=0"),
    ],
)
def test_bad_options(options, message):
    """Each names the option, its value and the mend."""
    with pytest.raises(ValueError, match=message):
        JEPAExtractor(VECTOR, ACTIONS, **options)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RewardTask(latents="imagined"), "latents='imagined' is unknown: choose one of encoded, predicted"),
        (lambda: RewardTask(head="softmax"), "head='softmax' is unknown: choose one of number, binary, two-hot"),
        (lambda: RewardTask(discount=1.5), "discount=1.5"),
        (lambda: TwoHotHead(D, bins=1), "bins=1"),
        (lambda: TwoHotHead(D, interpolate="log"), "interpolate='log' is unknown"),
        (lambda: RandomShift(pad=0), "pad=0"),
        (lambda: SIGReg(knots=1), "knots=1"),
        (lambda: VICReg(covariance=-1.0), "covariance=-1.0"),
    ],
)
def test_bad_pieces(make, message):
    """A piece out of range is refused when it is made."""
    with pytest.raises(ValueError, match=message):
        make()


# What the published code returned for these inputs: MR.Q at commit 8a44a7d, TD-MPC2 at e9f5932, SPR at 0b9dd4e.
REWARDS = torch.tensor([-7.3, -0.2, 0.0, 0.45, 3.0, 12.0])
MRQ = [3.827, 5.7283, 6.45848, 6.97289, 6.90417, 5.86509]
TDMPC2 = [7.06747, 7.30649, 6.61913, 5.49558, 3.86686, 3.37588]


@pytest.mark.parametrize(
    ("options", "expected"),
    [({"bins": 65, "interpolate": "raw"}, MRQ), ({"bins": 101, "interpolate": "symlog"}, TDMPC2)],
)
def test_two_hot_errors_are_those_of_the_published_code(options, expected, monkeypatch):
    """Cross-entropy of given logits against rewards, for each."""
    head = TwoHotHead(1, **options)
    monkeypatch.setattr(head, "outputs", lambda logits: logits)
    logits = 2 * torch.sin(0.37 * torch.arange(6.0)[:, None] + 0.1 * torch.arange(options["bins"])[None])
    assert_allclose(head.errors(logits, REWARDS).detach(), expected, atol=1e-5)


def test_normalisations_and_cosine_loss_are_those_of_the_published_code():
    """TD-MPC2's SimNorm, SPR's scaling to [0, 1], and its distance of projections."""
    x = 3 * torch.sin(torch.arange(16.0))
    first = [0.02626, 0.32782, 0.40179, 0.0401, 0.00271, 0.00148, 0.01136, 0.18848]
    second = [0.3641, 0.06444, 0.00366, 0.00093, 0.00374, 0.06601, 0.36546, 0.13166]
    assert_allclose(SimNorm(16)(x), [*first, *second], atol=1e-5)
    scaled = [0.51328, 0.96369, 1.0, 0.58882, 0.10819, 0.0, 0.36372, 0.86495]
    assert_allclose(MinMax(8)(x[:8]), scaled, atol=1e-5)
    one, other = (wave(torch.arange(24.0)).reshape(3, 1, 8) for wave in (torch.sin, lambda i: torch.cos(0.7 * i)))
    assert_allclose(CosineLoss().errors(one, other)[:, 0], [0.60671, 2.33526, 2.48578], atol=1e-5)
