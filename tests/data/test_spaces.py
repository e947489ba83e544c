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
    require_action_space,
    require_bounded,
    require_observation_space,
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


BOX, DISCRETE = spaces.Box(-1, 1, (2,), np.float32), spaces.Discrete(3)
MINIGRID = spaces.Dict({"image": SPACES[3], "direction": spaces.Discrete(4), "mission": spaces.Text(9)})


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_supported_spaces(space):
    """Every kind that is stored is let through; a ``Dict`` only of observations."""
    require_observation_space("space", space)
    if isinstance(space, spaces.Dict):
        with pytest.raises(ValueError, match=r"space=Dict.* is not a Box.*TransformAction"):
            require_action_space("space", space)
    else:
        require_action_space("space", space)


@pytest.mark.parametrize(
    ("space", "named", "mend"),
    [
        (spaces.Tuple([DISCRETE, BOX]), "space=Tuple", "wrap it in gymnasium.wrappers.FlattenObservation"),
        (spaces.Text(3), "space=Text", "FlattenObservation"),
        (spaces.OneOf([DISCRETE, BOX]), "space=OneOf", "FlattenObservation"),
        (spaces.Sequence(DISCRETE), "space=Sequence", "into an array by gymnasium.wrappers.TransformObservation"),
        (spaces.Graph(BOX, DISCRETE), "space=Graph", "TransformObservation"),
        (spaces.Tuple([spaces.Sequence(BOX)]), "space=Tuple", "TransformObservation"),
        (spaces.Dict({"a": BOX, "b": spaces.Dict({"c": DISCRETE})}), r"space\['b'\]=Dict", "Flatten"),
        (spaces.Dict({"a": BOX, "{}": spaces.Tuple([BOX])}), r"space\['{}'\]=Tuple", r"FilterObservation.*\['a'\]"),
        (MINIGRID, r"\['mission'\]=Text", r"FilterObservation\(env, \['direction', 'image'\]\), or .*ImgObsWrapper"),
        (spaces.Dict({}), "space=Dict", "has no key"),
        (spaces.Discrete(3, start=1), "space=Discrete", "counts from 1, not from 0: shift it .*TransformObservation"),
        (spaces.MultiDiscrete([2, 3], start=[0, 1]), "space=MultiD", r"counts from \[0 1\]"),
        (spaces.MultiDiscrete(np.array([[2, 3]])), "space=MultiD", "flatten it to one axis"),
        (spaces.Dict({"a": spaces.Discrete(2, start=-1)}), r"space\['a'\]=Disc", "counts from -1"),
        (spaces.Box(-1, 1, (0,)), "space=Box", "holds no number"),
        (spaces.Space((2,), object), "space=<|space=Space", "is not a Box"),
        (3, "space=3", "give a Gymnasium space"),
    ],
    ids=lambda part: type(part).__name__ if isinstance(part, spaces.Space) else str(part),
)
def test_spaces_that_are_refused(space, named, mend):
    """The message names the space, the key where it is in a ``Dict``, and the wrapper that mends it."""
    with pytest.raises(ValueError, match=rf"(?s){named}.*{mend}"):
        require_observation_space("space", space)
    if not isinstance(space, spaces.Dict):
        with pytest.raises(ValueError, match=r"(?s)^space=.*(TransformAction|no number|give a Gymnasium space)"):
            require_action_space("space", space)


class Objects(spaces.Box):
    """A ``Box`` of Python objects."""

    def __init__(self):
        super().__init__(-1, 1, (2,), np.float32)
        self.dtype = np.dtype(object)  # type: ignore[assignment]


def test_a_box_of_objects_is_refused():
    """A ``Box`` whose entries are no numbers is no array of them."""
    with pytest.raises(ValueError, match=r"is not of numbers, but of object: .*TransformObservation"):
        require_observation_space("space", Objects())


@pytest.mark.parametrize("kind", [spaces.Tuple, spaces.OneOf])
def test_the_mend_mends(kind):
    """What the message advises makes a space that is supported."""
    require_observation_space("space", spaces.flatten_space(kind([DISCRETE, BOX])))
    require_observation_space("space", spaces.flatten_space(spaces.Text(3)))


def test_random_actions_need_bounds():
    """Uniform actions are drawn between bounds; where there are none, on one side or both, a policy must act."""
    require_bounded("space", BOX)
    require_bounded("space", DISCRETE)
    for low, high in ((-np.inf, np.inf), (0, np.inf), (-np.inf, 0)):
        with pytest.raises(ValueError, match=r"space=Box.* has no bounds.*TransformAction, or give a policy"):
            require_bounded("space", spaces.Box(low, high, (2,), np.float32))
