"""Small deterministic worlds whose latents, transitions and rewards are exact, and their values by brute force."""

import itertools

import numpy as np
import torch
from gymnasium import spaces
from torch import nn

from jepa_extractor import JEPA, AuxiliaryTask


class Table(nn.Module):
    """A transition over one-hot latents (B, S): ``successors[state, action]``, an int array (S, A)."""

    def __init__(self, latent_dim, action_dim, successors):
        super().__init__()
        self.register_buffer("moves", torch.eye(latent_dim)[torch.as_tensor(successors)])  # (S, A, S)

    def forward(self, latents, actions):
        return torch.einsum("bs,ba,sat->bt", latents, actions, self.moves)


class Linear(nn.Module):
    """A head that reads numbers off one-hot latents, and one-hot actions where they are appended."""

    def __init__(self, numbers):
        super().__init__()
        self.register_buffer("numbers", torch.as_tensor(numbers, dtype=torch.float32))

    def forward(self, latents):
        size = self.numbers.shape[0]
        states = latents[..., :size]
        if self.numbers.dim() == 1:
            return (states @ self.numbers).unsqueeze(-1)
        if latents.shape[-1] == size:
            return states @ self.numbers
        return ((states @ self.numbers) * latents[..., size:]).sum(-1, keepdim=True)


class Count(nn.Module):
    """A transition that counts how many rows it is asked for."""

    rows = 0

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, latents, actions):
        self.rows += len(latents)
        return self.inner(latents, actions)


class Given(AuxiliaryTask):
    """A task whose head is given."""

    def __init__(self, name, head):
        self.name, self._head = name, head

    def make_head(self, latent_dim, observation_space, action_space):
        return self._head

    def loss(self, head, latents, batch):
        return latents.encoded.sum() * 0


def random_world(seed, states=5, actions=3):
    """Return successors (S, A) drawn from ``seed``, and the generator that drew them."""
    rng = np.random.default_rng(seed)
    return rng.integers(states, size=(states, actions)), rng


def world(successors, rewards, ends=None, q=None, action_space=None):
    """Return a JEPA that knows a world of S states and A actions exactly; observations and latents are one-hot.

    ``rewards`` is (S,) for arriving, or (S, A) for leaving; ``ends`` (S,) the probability of an end; ``q`` (S, A).
    """
    states, actions = np.shape(successors)
    tasks = [Given("reward" if np.ndim(rewards) == 1 else "action_reward", Linear(rewards))]
    if ends is not None:
        tasks.append(Given("end", Linear(ends)))
    if q is not None:
        tasks.append(Given("q", Linear(q)))
    return JEPA(
        spaces.Box(0, 1, (states,), np.float32),
        spaces.Discrete(actions) if action_space is None else action_space,
        latent_dim=states,
        encoder="identity",
        transition=Table,
        transition_kwargs={"successors": successors},
        auxiliary=tuple(tasks),
    )


def trained(observation_space, action_space, **options):
    """Return a JEPA with random weights, its normalisation too, that counts as trained."""
    torch.manual_seed(0)
    jepa = JEPA(observation_space, action_space, latent_dim=8, **options)
    jepa.updates += 1
    with torch.no_grad():
        for parameter in jepa.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return jepa


def best_returns(successors, rewards, horizon, discount, ends=None, q=None):
    """Return the best return (S, A) of each first action, by trying every sequence of ``horizon`` actions."""
    states, actions = np.shape(successors)
    best = np.full((states, actions), -np.inf)
    for start in range(states):
        for sequence in itertools.product(range(actions), repeat=horizon):
            state, total, reach = start, 0.0, 1.0
            for action in sequence:
                arrived = successors[state][action]
                total += reach * (rewards[arrived] if np.ndim(rewards) == 1 else rewards[state][action])
                reach *= discount * (1.0 if ends is None else 1.0 - ends[arrived])
                state = arrived
            if q is not None:
                total += reach * np.max(q[state])
            best[start, sequence[0]] = max(best[start, sequence[0]], total)
    return best
