"""A small world of flat observations to pretrain on: walks on a line."""

import numpy as np
import torch
from gymnasium import spaces

from jepa_extractor import JEPA, Episode, TransitionRing

SPACE = spaces.Box(-9, 9, (3,), np.float32)
ACTIONS = spaces.Discrete(2)


def episodes(seed=0, number=30, rewards=None):
    """Walks of four steps on the integers 0..4; the reward is 1 at 2, and the observation holds the place once."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(number):
        actions = rng.integers(2, size=4)
        walk = [int(rng.integers(5))]
        for action in actions:
            walk.append(int(np.clip(walk[-1] + 2 * action - 1, 0, 4)))
        places = np.array(walk)
        observations = rng.normal(size=(5, 3)).astype(np.float32)
        observations[:, 0] = places
        reward = (places[1:] == 2).astype(np.float32) if rewards is None else np.full(4, rewards, np.float32)
        made.append(Episode(observations, actions, reward, False, {"place": places.astype(np.float32)}))
    return made


def make_ring(seed=0, **kwargs):
    return TransitionRing.from_episodes(episodes(seed, **kwargs), seed=seed)


def make_jepa(seed=0, **kwargs):
    torch.manual_seed(seed)
    return JEPA(SPACE, ACTIONS, **{"encoder": "mlp", "latent_dim": 4, **kwargs})


def weights_of(jepa):
    return {name: value.clone() for name, value in jepa.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)
