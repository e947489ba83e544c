"""Episodes by hand."""

import numpy as np

from jepa_extractor import Episode

NAMES = ("remove", "add")

RNG = np.random.default_rng(0)


def episode(actions, rewards, terminated=False, observations=None, **labels):
    """An episode whose observations are random numbers unless they are given."""
    if observations is None:
        observations = RNG.random((len(actions) + 1, 2), np.float32)
    labels = {name: np.array(values, float) for name, values in labels.items()}
    return Episode(np.array(observations), np.array(actions), np.float32(rewards), terminated, labels)


EPISODES = [  # observations 0 to 3, and 4 to 7
    episode([1, 1, 0], [0, 1, 0], count=[0, 1, 2, 1]),
    episode([1, 1, 1], [0, 0, 0], terminated=True, count=[3, 4, 5, 6]),
]
