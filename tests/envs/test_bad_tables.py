"""Environments and starts that are refused, and how."""

import gymnasium as gym
import pytest
from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv

from jepa_extractor.envs.table_images import TableImages
from tests.envs.tables import LAKE, make


class ContradictoryLake(FrozenLakeEnv):
    """A lake whose table ends an episode in a state in which another goes on."""

    def __init__(self, **options):
        super().__init__(**options)
        self.P[0][0] = [(1.0, 4, 0, True)]


def test_bad_environment():
    """Every error names what is wrong with the environment and what mends it."""
    with pytest.raises(ValueError, match="no transition table P"):
        TableImages(gym.make("CartPole-v1", render_mode="rgb_array"))
    with pytest.raises(ValueError, match="render_mode=None: make it with render_mode='rgb_array'"):
        TableImages(gym.make("FrozenLake-v1"))
    with pytest.raises(ValueError, match="fickle_passenger=True"):
        make("Taxi-v4", fickle_passenger=True)
    with pytest.raises(ValueError, match="state 4 in which an episode ends"):
        TableImages(ContradictoryLake(render_mode="rgb_array", is_slippery=False))
    with pytest.raises(ValueError, match="image_size=0"):
        make(**LAKE, image_size=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"state": 16}, r"options\['state'\]=16 is no start"),
        ({"state": 5}, r"=5 is no start: .* not an end \(5, 7, 11, 12, 15\)"),
        ({"state": -1}, r"options\['state'\]=-1"),
        ({"state": 1.5}, r"options\['state'\]=1.5"),
        ({"count": 3}, r"unknown keys \['count'\]"),
    ],
)
def test_bad_start(options, message):
    """A start that is none is named, and nothing is reset."""
    env = make(**LAKE)
    env.reset(seed=0)
    env.step(2)
    with pytest.raises(ValueError, match=message):
        env.reset(options=options)
    assert env.step(2)[4]["state"] == 2
