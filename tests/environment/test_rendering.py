"""Every pixel of observations, and of the pictures that render makes of them."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from counting_env import CountingEnv
from counting_env.display import enlarge
from tests.environment.drawing import painted_by_hand


@pytest.mark.parametrize(("image_size", "max_count"), [(64, 8), (32, 16), (150, 12)])
def test_every_pixel_is_what_info_says(variant: dict, image_size: int, max_count: int) -> None:
    """An image painted by hand from count, shape, color and positions equals the observation."""
    env = CountingEnv(image_size=image_size, max_count=max_count, terminate_on_target=False, **variant)
    actions = np.random.default_rng(0)
    image, info = env.reset(seed=0)
    for step in range(100):
        expected, mask = painted_by_hand(info, image_size)
        if variant["background"] == "black":
            np.testing.assert_array_equal(image, expected)
        else:
            np.testing.assert_array_equal(image[mask], expected[mask])
        image, _, _, _, info = env.step(int(actions.integers(2)))
        if step % 10 == 9:
            image, info = env.reset()


@pytest.mark.parametrize(("size", "scale"), [(32, 16), (64, 8), (100, 5), (200, 2), (256, 2)])
def test_enlarging_repeats_each_pixel(size: int, scale: int) -> None:
    """enlarge repeats each pixel, without blur."""
    image = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    picture = enlarge(image)
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture, np.kron(image, np.ones((scale, scale, 1), np.uint8)))


@pytest.mark.parametrize("image_size", [32, 150])
def test_render_shows_the_scene_of_the_last_observation(variant: dict, image_size: int) -> None:
    """render_mode="rgb_array" shows the last observation, enlarged without blur."""
    env = gym.make("CountingEnv-v0", render_mode="rgb_array", image_size=image_size, **variant)
    image, _ = env.reset(seed=0)
    for action in (None, 1, 0, 0, 1):
        if action is not None:
            image, _, terminated, _, _ = env.step(action)
            if terminated:
                image, _ = env.reset()
        picture: Any = env.render()
        scale = picture.shape[0] // image_size
        assert picture.shape == (scale * image_size, scale * image_size, 3)
        assert 256 < picture.shape[0] <= 512
        np.testing.assert_array_equal(picture, np.kron(image, np.ones((scale, scale, 1), np.uint8)))
        np.testing.assert_array_equal(picture[::scale, ::scale], image)


@pytest.mark.parametrize("image_size", [32, 64, 150])
def test_the_window_shows_the_same_picture(screen, image_size: int) -> None:
    """render_mode="human" shows the same picture in a window, after each reset and step."""
    env = gym.make("CountingEnv-v0", render_mode="human", image_size=image_size)
    image, _ = env.reset(seed=0, options={"count": 8})
    for action in (None, 1, 0, 0):
        if action is not None:
            image = env.step(action)[0]
        window = screen.surfarray.array3d(screen.display.get_surface()).swapaxes(0, 1)
        np.testing.assert_array_equal(window, enlarge(image))
    env.close()
    assert not screen.display.get_init()
    env.close()
