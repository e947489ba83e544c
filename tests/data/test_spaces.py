"""How a policy sees an environment's observations, held against Stable-Baselines3 itself."""

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.preprocessing import (
    get_flattened_obs_dim,
    is_image_space,
    is_image_space_channels_first,
    preprocess_obs,
)
from stable_baselines3.common.vec_env import VecTransposeImage

from jepa_extractor.data.spaces import (
    channels_first,
    has_channels_last,
    is_image,
    policy_space,
    preprocessed_shape,
    preprocessed_size,
)

SPACES = [
    spaces.Box(0, 255, (64, 64, 3), np.uint8),
    spaces.Box(0, 255, (3, 64, 64), np.uint8),
    spaces.Box(0, 255, (84, 84, 4), np.uint8),
    spaces.Box(0, 255, (7, 7, 3), np.uint8),
    spaces.Box(0, 10, (7, 7, 3), np.uint8),
    spaces.Box(0, 1, (64, 64, 3), np.float32),
    spaces.Box(0, 1, (10, 10, 4), np.bool_),
    spaces.Box(-1, 1, (5,), np.float32),
    spaces.Discrete(4),
    spaces.MultiDiscrete([2, 3]),
    spaces.MultiBinary(3),
    spaces.Dict({"image": spaces.Box(0, 255, (36, 40, 3), np.uint8), "speed": spaces.Box(-1, 1, (2,), np.float32)}),
]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_as_stable_baselines3_sees_it(space):
    """Images are what Stable-Baselines3 takes for images, and are transposed where it transposes them."""
    assert is_image(space) == is_image_space(space)
    if is_image(space):
        assert has_channels_last(space) == (not is_image_space_channels_first(space))
    if not isinstance(space, spaces.Dict):
        expected = VecTransposeImage.transpose_space(space) if has_channels_last(space) else space
        assert policy_space(space) == expected


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_sizes_of_what_is_preprocessed(space):
    """Sizes and shapes are those of Stable-Baselines3's preprocessing."""
    import torch

    if isinstance(space, spaces.Dict):
        assert preprocessed_size(space) == sum(get_flattened_obs_dim(one) for one in space.values())
        return
    space.seed(0)
    observation = torch.as_tensor(np.asarray(space.sample()))[None]
    assert preprocess_obs(observation, space).reshape(1, -1).shape[1] == preprocessed_size(space)
    assert preprocess_obs(observation, space).reshape(1, *preprocessed_shape(space)).shape[0] == 1


def test_observations_of_a_dict_are_transposed_key_by_key():
    """Only the entries that are images have their channels moved, for single observations and for batches."""
    space = SPACES[-1]
    one: dict[str, np.ndarray] = {"image": np.zeros((36, 40, 3), np.uint8), "speed": np.zeros(2, np.float32)}
    many = {key: np.stack([array] * 5) for key, array in one.items()}
    assert policy_space(space)["image"].shape == channels_first(one, space)["image"].shape == (3, 36, 40)
    assert channels_first(many, space)["image"].shape == (5, 3, 36, 40)
    assert channels_first(many, space)["speed"].shape == (5, 2)
