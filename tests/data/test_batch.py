"""Latents of a batch: which belong to what."""

import torch

from jepa_extractor import Batch, Latents


def test_latents_before_and_after():
    """Encoded before and after each step; imagined before is the first encoded, then what was predicted."""
    encoded, predicted = torch.arange(8.0).reshape(1, 4, 2), 10 + torch.arange(6.0).reshape(1, 3, 2)
    latents = Latents(encoded, predicted)
    assert latents.has_after
    assert latents.before.equal(encoded[:, [0, 1, 2]])
    assert latents.after.equal(encoded[:, [1, 2, 3]])
    assert latents.imagined_before.tolist() == [[[0, 1], [10, 11], [12, 13]]]
    first = Latents(encoded[:, :1], predicted)
    assert not first.has_after
    assert first.before.shape == first.after.shape == (1, 0, 2)


def test_observations_after_each_step():
    """All but the first. Dicts are taken key by key."""
    frames, steps = torch.arange(6.0).reshape(1, 3, 2), torch.zeros(1, 2)
    batch = Batch(frames, steps, steps, steps.bool())
    assert batch.observations_after.equal(frames[:, [1, 2]])
    assert batch.replace(observations={"a": frames}).observations_after["a"].equal(frames[:, [1, 2]])
