"""Random changes of images, and the draws behind them."""

import numpy as np
import torch
from gymnasium import spaces
from torch import nn

from jepa_extractor import JEPA
from jepa_extractor.objectives import RandomIntensity, RandomShift, SIGReg
from tests.objectives.batches import ACTIONS, IMAGE, VECTOR, D, make_batch, rand


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
    jepa = JEPA(IMAGE, ACTIONS, **options).eval()
    plain = JEPA(IMAGE, ACTIONS, latent_dim=D)
    plain.load_state_dict(jepa.state_dict(), strict=False)
    batch = make_batch()
    images = batch.observations[:, 0].float() / 255
    state = torch.get_rng_state()
    first, again = (jepa.losses(batch)[0]["dynamics"].item() for _ in range(2))
    assert first == again != plain.losses(batch)[0]["dynamics"].item()
    assert torch.equal(jepa.encoder(images), plain.encoder(images))
    np.testing.assert_array_equal(*(one.encode(batch.observations[:, 0].numpy()) for one in (jepa, plain)))
    drawn = {jepa.train().losses(batch)[0]["dynamics"].item() for _ in range(3)}
    assert len(drawn | {first}) == 4
    assert torch.equal(torch.get_rng_state(), state)


def test_draws_are_saved_with_the_model():
    """A model that is loaded goes on with the draws at which it was saved, of images and of directions."""
    options = {"latent_dim": D, "augmentation": ("shift",), "auxiliary": (SIGReg(),)}
    jepa, loaded = (JEPA(IMAGE, ACTIONS, **options) for _ in range(2))
    for _ in range(3):
        jepa.losses(make_batch())
    loaded.load_state_dict(jepa.state_dict())
    for _ in range(2):
        ours, theirs = (one.losses(make_batch())[0] for one in (jepa, loaded))
        assert all(ours[name].item() == theirs[name].item() for name in ours)


def test_only_images_are_augmented():
    """Of a Dict, images are shifted, the rest is not; without an image nothing is."""
    space = spaces.Dict({"image": IMAGE, "speed": VECTOR})
    observations = {"image": rand(2, 3, *IMAGE.shape), "speed": rand(2, 3, 5)}
    changed = JEPA(space, ACTIONS, augmentation=("shift",)).augmentation(observations)
    assert torch.equal(changed["speed"], observations["speed"])
    assert not torch.equal(changed["image"], observations["image"])
    alone = JEPA(VECTOR, ACTIONS, augmentation=("shift",)).augmentation(observations["speed"])
    assert torch.equal(alone, observations["speed"])
