"""What a model imagines."""

import copy

import numpy as np
import pytest
import torch

from jepa_extractor.audit.prediction import prediction_errors, rollouts_of


def test_rollouts_follow_the_transition(untrained, extractor):
    """The frames are those of one episode, and the errors those of the unrolled latents, computed by hand."""
    data = untrained.audit_set
    rollouts = rollouts_of(extractor, untrained.latents, data)
    assert len(rollouts) == 3
    for rollout in rollouts:
        frames = np.array(rollout.frames)
        assert len(set(data.episodes[frames])) == 1
        assert data.steps[frames].tolist() == list(range(len(frames)))
        assert set(data.episodes[rollout.imagined]).isdisjoint(data.episodes[frames])
        latent = torch.from_numpy(untrained.latents[frames[:1]])
        scale = np.sqrt(2 * untrained.latents.astype(np.float64).var(axis=0).sum())
        for row, frame, error in zip(frames, frames[1:], rollout.errors, strict=False):
            with torch.no_grad():
                latent = extractor.next(latent, torch.eye(2)[data.actions[row]][None])
            assert error == pytest.approx(
                np.linalg.norm(latent[0].numpy() - untrained.latents[frame]) / scale, rel=1e-4
            )


class Standstill(torch.nn.Module):
    """A transition that predicts that nothing changes."""

    def forward(self, latents, actions):
        return latents


def test_what_is_imagined_is_of_another_episode(untrained, extractor):
    """The nearest latent is looked for in other episodes, where nobody would find the first frame again."""
    still = copy.deepcopy(extractor)
    still.transition = Standstill()
    data, latents = untrained.audit_set, untrained.latents
    for rollout in rollouts_of(still, latents, data):
        distances = np.linalg.norm(latents - latents[rollout.frames[0]], axis=1)
        distances[data.episodes == data.episodes[rollout.frames[0]]] = np.inf
        assert set(rollout.imagined) == {distances.argmin()}


def test_other_encoders_have_no_rollouts(merged):
    """A function has no latent transition."""
    assert rollouts_of(lambda seen: seen, merged.latents, merged.audit_set) == []
    assert prediction_errors(lambda seen: seen, merged.latents, merged.audit_set) == ()


def test_errors_per_step(untrained, extractor):
    """The error k steps ahead is the mean over all stretches of k steps, by hand."""
    data, latents = untrained.audit_set, untrained.latents
    scale = np.sqrt(2 * latents.astype(np.float64).var(axis=0).sum())
    for ahead, error in enumerate(prediction_errors(extractor, latents, data), start=1):
        starts = [i for i in range(len(data) - ahead) if data.episodes[i] == data.episodes[i + ahead]]
        actions = torch.tensor([[int(data.actions[i + k]) for k in range(ahead)] for i in starts])
        with torch.no_grad():
            predicted = extractor.unroll(torch.from_numpy(latents[starts]), actions)[:, -1].numpy()
        by_hand = np.mean([np.linalg.norm(row - latents[i + ahead]) for row, i in zip(predicted, starts, strict=True)])
        assert error == pytest.approx(by_hand / scale, rel=1e-4)
    assert untrained.prediction_errors == prediction_errors(extractor, latents, data)
