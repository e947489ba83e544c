"""What the encoders of images see before anything is learned."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.torch_layers import NatureCNN

import counting_env
from jepa_extractor import jepa_policy_kwargs
from jepa_extractor.networks.encoders import (
    BothEncoder,
    GatedEncoder,
    Ladder,
    PlacesEncoder,
    PooledEncoder,
    make_encoder,
    pick_encoder,
)

gym.register_envs(counting_env)

SPACE = spaces.Box(0, 255, (3, 64, 64), np.uint8)


def scenes(count, number=40):
    """Return ``number`` images (B, 3, 64, 64) in [0, 1] with ``count`` objects."""
    env = gym.make("CountingEnv-v0")
    images = [env.reset(seed=seed, options={"count": count})[0] for seed in range(number)]
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255


@torch.no_grad()
def objects(encoder, images):
    """Return the mean over channels of the sums over places, from which each unit of the ladder begins, (B,)."""
    return encoder.places(images).sum(dim=(1, 2)).mean(dim=1).numpy()


@pytest.mark.parametrize("seed", range(3))
def test_an_untrained_encoder_counts_roughly(seed):
    torch.manual_seed(seed)
    encoder = PooledEncoder(SPACE, 8)
    few, many = objects(encoder, scenes(3)), objects(encoder, scenes(5))
    assert many.mean() - few.mean() > few.std() + many.std()
    assert many.mean() / few.mean() == pytest.approx(5 / 3, rel=0.1)


def test_a_policy_keeps_the_levels_of_its_encoder():
    env = gym.make("CountingEnv-v0")
    policy = PPO("CnnPolicy", env, policy_kwargs=jepa_policy_kwargs(env.action_space), seed=0, device="cpu").policy
    ladder = policy.features_extractor.jepa.encoder.ladder
    assert (ladder.weight >= 0).all()
    assert (ladder.bias == -2).all()


@torch.no_grad()
def test_units_of_a_ladder_bend_at_their_levels():
    torch.manual_seed(0)
    ladder = Ladder(channels=32)
    levels = torch.logspace(-2, 3, 64, base=2.0)
    means = ladder.weight.sum(dim=1) * levels / 2  # of a constant 1: 1 on average
    at_level = [
        ladder(torch.full((1, 32), 16 * float(level / mean)))[0, k]
        for k, (level, mean) in enumerate(zip(levels, means, strict=True))
    ]
    assert torch.stack(at_level).abs().max() < 1e-4
    assert means.mean() == pytest.approx(1, abs=0.05)
    rising = torch.stack([ladder(torch.full((1, 32), float(size)))[0] for size in (0, 1, 10, 100, 1_000)])
    assert (rising.diff(dim=0) > 0).all()
    assert rising.abs().max() < 2


@torch.no_grad()
def test_an_object_of_half_the_brightness_counts_nearly_as_much():
    torch.manual_seed(0)
    encoder = PooledEncoder(SPACE, 8)
    images = scenes(4)
    np.testing.assert_allclose(objects(encoder, images / 2), objects(encoder, images), rtol=0.06)


@pytest.mark.parametrize("build", [PooledEncoder, PlacesEncoder, GatedEncoder])
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_one_colour_is_harmless(build, value):
    torch.manual_seed(0)
    encoder = build(SPACE, 8)
    images = torch.full((4, 3, 64, 64), value)
    latents = encoder(images)
    latents.square().sum().backward()
    assert latents.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in encoder.parameters())
    assert torch.equal(latents, latents[:1].expand_as(latents))


def test_the_gate_hides_noise():
    torch.manual_seed(0)
    pooled, gated = PooledEncoder(SPACE, 8), GatedEncoder(SPACE, 8)
    gated.load_state_dict(pooled.state_dict())
    noise = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (4, 3, 64, 64))).float() / 255
    seen = []
    gated.places.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    gated(torch.cat([noise, torch.full_like(noise, 0.5)]))
    hidden, flat = seen[0][:4], seen[0][4:]
    assert (hidden > 0).float().mean() < 0.01
    assert (flat[..., 1:] == 0.5).all()


@pytest.mark.parametrize(("size", "seen"), [(36, 36), (43, 36), (44, 44), (64, 60), (68, 68), (84, 84)])
def test_what_nature_sees_of_an_image(size, seen):
    """The strides leave out what lies behind the last step of 8, in Stable-Baselines3's network as in ours."""
    space = spaces.Box(0, 255, (3, size, size), np.uint8)
    for convolutions in (make_encoder("nature", space, 8, {}).convolutions, NatureCNN(space).cnn):
        images = torch.zeros(1, 3, size, size, requires_grad=True)
        for part in convolutions:
            if isinstance(part, torch.nn.Conv2d):
                torch.nn.init.ones_(part.weight)
        convolutions(images + 1).sum().backward()
        reached = images.grad.abs().sum(dim=(0, 1)) > 0
        assert reached.any(dim=0).nonzero().max() == reached.any(dim=1).nonzero().max() == seen - 1


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        ((3, 32, 32), "pooled"),
        ((32, 40, 3), "pooled"),
        ((3, 31, 40), "grid"),
        ((10, 10, 4), "grid"),
        ((3, 10, 9), "grid"),
    ],
)
def test_auto_tells_images_from_grids(shape, name):
    """By the second largest of three axes: 32 pixels or more are an image."""
    assert pick_encoder(spaces.Box(0, 1, shape, np.float32)) == name
    assert pick_encoder(spaces.Box(0, 1, shape[:1], np.float32)) == "mlp"


@pytest.mark.parametrize("size", [3, 5])
def test_identity_takes_latents_of_its_width_alone(size):
    """Neither a wider nor a narrower observation is the latent."""
    with pytest.raises(ValueError, match=f"latent_dim=4 must be {size} for encoder='identity'"):
        make_encoder("identity", spaces.Box(-1, 1, (size,)), 4)


def test_stages_of_the_resnet():
    """Four stages of eight blocks, of which the first three after it halve the map; a skip passes each."""
    encoder = make_encoder("resnet", SPACE, 8)
    assert [block.residual[2].out_channels for block in encoder.blocks] == [
        w for w in (32, 64, 128, 256) for _ in range(8)
    ]
    sizes = []
    for block in encoder.blocks:
        block.register_forward_hook(lambda _, inputs, output: sizes.append(tuple(output.shape[2:])))
    encoder(torch.rand(1, 3, 64, 64))
    assert sizes == [(size, size) for size in (16, 8, 4, 2) for _ in range(8)]
    block = encoder.blocks[1]
    features = torch.rand(1, 32, 4, 4)
    with torch.no_grad():
        for parameter in block.residual.parameters():
            parameter.zero_()
    assert torch.equal(block(features), features)


def test_the_gate_by_hand():
    """A pixel is dimmed by how far it is from its left neighbour, in any channel: wholly from 16 grey levels on."""
    encoder, seen = GatedEncoder(SPACE, 8), []
    encoder.places.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    images = torch.full((1, 3, 40, 40), 0.5)
    images[0, 1, 7, 9] += 8 / 255  # half of the way
    images[0, 2, 20, 30] += 16 / 255
    encoder(images)
    expected = images.clone()
    expected[..., 0] = 0  # the left border is a step from black
    expected[0, :, 7, 9:11] *= 0.5
    expected[0, :, 20, 30:32] = 0
    torch.testing.assert_close(seen[0], expected)


@pytest.mark.parametrize("shape", [(4, 9, 3), (9, 4, 3), (4, 4, 3)])
def test_grids_that_are_too_small(shape):
    """Each side must have five cells."""
    with pytest.raises(ValueError, match="encoder='grid' takes at least 5 x 5 cells, with channels='last'"):
        make_encoder("grid", spaces.Box(0, 1, shape, np.float32), 8, {"channels": "last"})


def test_both_counts_and_sees():
    """Its latents add up what ``pooled`` adds up, and tell where an object is, as those of ``pooled`` do not."""
    both, pooled = BothEncoder(SPACE, 8), PooledEncoder(SPACE, 8)
    pooled.load_state_dict(both.state_dict(), strict=False)
    left, right = torch.zeros(2, 1, *SPACE.shape)
    left[..., 24:30, 12:18] = 1.0
    right[..., 24:30, 36:42] = 1.0  # a multiple of the stride further on
    torch.testing.assert_close(pooled(left), pooled(right))
    assert (both(left) - both(right)).abs().max() > 1e-3
    torch.testing.assert_close(both(left) - both.sight(left), pooled(left))
