"""Training the latent transition alone, so that it can be rolled out over many steps."""

import torch
from torch.optim.lr_scheduler import OneCycleLR

from jepa_extractor.checks import require_integer, require_positive, require_type
from jepa_extractor.data.ring import TransitionRing, encoded
from jepa_extractor.jepa import JEPA
from jepa_extractor.objectives.losses import squared_error


def fit_transition(
    jepa: JEPA,
    transitions: TransitionRing,
    updates: int = 1_000,
    horizon: int = 2,
    batch_size: int = 128,
    learning_rate: float = 4e-3,
) -> None:
    """Train the latent transition of ``jepa``, in place, on the latents of its encoder, which stays as it is.

    While an encoder learns, its latents change, and the transition stays inexact. Here every observation is encoded
    once, so an update takes a small part of the time that one of the encoder takes. The loss is the squared error
    over the variance of the latents, the optimizer Adam with a one-cycle learning rate.

    Args:
        jepa: what to train; a transition that is frozen is left alone.
        transitions: what to train on; batches come from its generator.
        updates: steps of the optimizer, at least 1.
        horizon: steps for which the transition is unrolled, at least 1; from 2, it learns to correct its own errors.
        batch_size: stretches of ``horizon`` steps in a batch, at least 1.
        learning_rate: the highest of the cycle, positive.

    Raises:
        ValueError: an argument is out of range, or ``transitions`` is empty.
    """
    require_type("jepa", jepa, JEPA, "build one; that of a policy is model.policy.features_extractor.jepa")
    require_type("transitions", transitions, TransitionRing, "TransitionRing.from_episodes makes one")
    for name, value in (("updates", updates), ("horizon", horizon), ("batch_size", batch_size)):
        require_integer(name, value, least=1)
    require_positive("learning_rate", learning_rate)
    parameters = [*jepa.transition.parameters(), *jepa.predicted_norm.parameters()]
    parameters = [parameter for parameter in parameters if parameter.requires_grad]
    if not parameters:
        return
    latents = encoded(transitions, jepa.encode)
    variance = latents.sample(1_000).observations
    assert isinstance(variance, torch.Tensor)
    scale = 1.0 / variance.flatten(0, 1).var(dim=0).mean().clamp(min=1e-12).to(jepa.device)
    optimizer = torch.optim.Adam(parameters, learning_rate)
    schedule = OneCycleLR(optimizer, learning_rate, total_steps=updates + 1)
    for _ in range(updates):
        batch = latents.sample(batch_size, horizon).to(jepa.device)
        seen = batch.observations
        assert isinstance(seen, torch.Tensor)
        predicted = jepa.unroll(seen[:, 0], batch.actions)
        optimizer.zero_grad()
        torch.autograd.backward(scale * squared_error(predicted, seen[:, 1:], batch.mask))
        optimizer.step()
        schedule.step()
    jepa.updates += updates
