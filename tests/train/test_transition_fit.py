"""Fitting the latent transition alone."""

import pytest
import torch

from jepa_extractor import fit_transition, pretrain
from jepa_extractor.data.ring import encoded
from tests.train.walks import make_jepa, make_ring, weights_of


def test_the_fit_moves_the_transition_alone_and_makes_it_better():
    """``fit_transition`` leaves encoder and heads as they are, and rollouts of several steps improve."""
    jepa, ring = make_jepa(), make_ring(number=300)
    pretrain(jepa, ring, updates=30, transition_updates=0)
    before, batch = weights_of(jepa), make_ring(seed=1, number=300).sample(500, horizon=4)

    def error():
        jepa.horizon = 4
        with torch.no_grad():
            return jepa.losses(batch)[0]["dynamics"].item()

    unfitted = error()
    fit_transition(jepa, ring, updates=300)
    assert error() < 0.5 * unfitted
    for name, value in jepa.state_dict().items():
        assert torch.equal(value, before[name]) != name.startswith(("transition", "updates")), name


@pytest.mark.parametrize("options", [{"normalization": "layer", "latent_dim": 8}, {}])
def test_updates_by_hand(options):
    """Adam on the squared error over the variance of latents, steps after an end left out."""
    fitted, by_hand = make_jepa(**options), make_jepa(**options)
    fit_transition(fitted, make_ring(), updates=5, horizon=3, batch_size=16, learning_rate=1e-2)
    ring = make_ring()
    latents = encoded(ring, by_hand.encode)
    scale = 1 / latents.sample(1_000).observations.flatten(0, 1).var(dim=0).mean()
    parameters = [*by_hand.transition.parameters(), *by_hand.predicted_norm.parameters()]
    optimizer = torch.optim.Adam(parameters, 1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=6)
    for _ in range(5):
        batch = latents.sample(16, 3)
        z, errors = batch.observations[:, 0], []
        for step in range(3):
            z = by_hand.predict(z, batch.actions[:, step])
            errors.append((z - batch.observations[:, step + 1])[batch.mask[:, step]])
        loss = scale * torch.cat(errors).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    assert not batch.mask.all()
    for parameter, expected in zip(fitted.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(parameter, expected, rtol=1e-4, atol=1e-6)


def test_a_frozen_transition_is_left_alone():
    """Nothing is drawn for it either."""
    jepa, ring = make_jepa(), make_ring()
    jepa.transition.requires_grad_(False)
    before, state = weights_of(jepa), ring.generator.bit_generator.state
    fit_transition(jepa, ring, updates=3)
    assert all(torch.equal(value, before[name]) for name, value in jepa.state_dict().items())
    assert ring.generator.bit_generator.state == state
