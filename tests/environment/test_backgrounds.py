"""What is behind the objects: noise, clutter, a pattern that drifts."""

from itertools import combinations

import numpy as np
import pytest
from scipy import ndimage, stats

from counting_env import CountingEnv
from tests.environment.drawing import EIGHT_NEIGHBOURS, hues_of, painted_by_hand, rainbow


def test_noise_is_fresh_in_every_frame() -> None:
    """The noise is new in every frame and uniform in every channel."""
    env = CountingEnv(background="noise", terminate_on_target=False)
    frames = [env.reset(seed=0, options={"count": 0})[0]]
    for action in (0, 0, 0, 1, 0, 0, 0):  # clipped at 0 too
        frames.append(env.step(action)[0])
    frames.append(env.reset(options={"count": 0})[0])
    for one, other in combinations(frames, 2):
        assert (one == other).mean() == pytest.approx(1 / 256, abs=0.004)
    empty = np.stack([frame for k, frame in enumerate(frames) if k != 4])
    for channel in range(3):
        values = np.bincount(empty[..., channel].ravel(), minlength=256)
        assert stats.chisquare(values).pvalue > 0.001


@pytest.mark.parametrize("background", ["clutter", "drift"])
@pytest.mark.parametrize("appearance", ["episode", "object"])
def test_colour_tells_objects_from_clutter_and_drift(background: str, appearance: str) -> None:
    """Each background pixel is a hue with a channel of 0; no drawn object colour has one, so the count can be read."""
    env = CountingEnv(background=background, appearance=appearance, image_size=32)
    hues = {tuple(color) for color in rainbow().tolist()}
    image, info = env.reset(seed=0)
    for _ in range(60):
        objects = image.min(axis=2) > 0
        np.testing.assert_array_equal(objects, painted_by_hand(info, 32)[1])
        assert ndimage.label(objects, EIGHT_NEIGHBOURS)[1] == info["count"]
        assert {tuple(color) for color in image[~objects].tolist()} <= hues
        image, info = env.reset()


@pytest.mark.parametrize("image_size", [32, 64])
@pytest.mark.parametrize("placement", ["resample", "persist"])
def test_clutter_stays_for_an_episode(placement: str, image_size: int) -> None:
    """Two frames of an episode have the same background wherever neither has an object; two episodes differ."""
    env = CountingEnv(background="clutter", placement=placement, image_size=image_size, terminate_on_target=False)
    actions = np.random.default_rng(0)
    env.reset(seed=0)
    pictures = []
    for _ in range(8):
        image, info = env.reset()
        picture, objects = env.reset(options={"count": 0})[0], painted_by_hand(info, image_size)[1]
        assert (image == picture)[~objects].mean() < 0.5  # another episode
        pictures.append(picture)
        for _ in range(20):
            image, *_, info = env.step(int(actions.integers(2)))
            objects = painted_by_hand(info, image_size)[1]
            np.testing.assert_array_equal(image[~objects], picture[~objects])
    assert min((one != other).any(axis=2).mean() for one, other in combinations(pictures, 2)) > 0.5
    assert min(len(np.unique(picture.reshape(-1, 3), axis=0)) for picture in pictures) > 5


@pytest.mark.parametrize("placement", ["resample", "persist"])
def test_drift_moves_at_a_constant_speed(placement: str) -> None:
    """The hue is linear in row, column and step, so two frames predict the next, whatever the objects do."""
    env = CountingEnv(background="drift", placement=placement, image_size=32, terminate_on_target=False)
    actions = np.random.default_rng(0)
    step, row, column = np.mgrid[:5, :32, :32]
    motions = []
    for seed in range(12):
        frames = [env.reset(seed=seed)[0], *(env.step(int(actions.integers(2)))[0] for _ in range(4))]
        hues = hues_of(np.stack(frames))
        seen = hues >= 0
        slopes = []
        for axis in range(3):  # the most frequent difference of neighbours, in -384..383
            one, other = (
                np.take(hues, range(1, hues.shape[axis]), axis),
                np.take(hues, range(hues.shape[axis] - 1), axis),
            )
            differences = (one - other)[(one >= 0) & (other >= 0)] % 768
            slopes.append((int(np.bincount(differences).argmax()) + 384) % 768 - 384)
        corner = (hues - slopes[0] * step - slopes[1] * row - slopes[2] * column)[seen] % 768
        assert len(np.unique(corner)) == 1
        assert 16 <= abs(slopes[0]) <= 63
        assert -12 <= slopes[1] <= 12
        assert 4 <= slopes[2] <= 12
        motions.append((*slopes, corner[0]))
    assert len(set(motions)) == 12
    assert {motion[0] > 0 for motion in motions} == {True, False}
