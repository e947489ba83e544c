"""Environments with tables, and how they are made."""

import gymnasium as gym

from jepa_extractor.envs.table_images import TableImages

LAKE = {"id": "FrozenLake-v1", "is_slippery": False}
WORLDS = {
    "lake": LAKE,
    "large lake": {**LAKE, "map_name": "8x8"},
    "own lake": {**LAKE, "desc": ["FSHF", "FGHF"], "reward_schedule": (10, -5, -1)},
    "cliff": {"id": "CliffWalking-v1"},
}
TAXI = {"id": "Taxi-v4"}


def make(id, image_size=32, random_starts=False, **options):
    return TableImages(gym.make(id, render_mode="rgb_array", **options), image_size, random_starts)
