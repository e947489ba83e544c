"""Fitting the latent transition alone."""

import torch

from jepa_extractor import fit_transition, pretrain
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
        assert torch.equal(value, before[name]) != name.startswith("transition"), name
