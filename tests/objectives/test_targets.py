"""What the latent transition learns to predict."""

import copy

import pytest
import torch
from torch import nn

from jepa_extractor import JEPA, RewardTask
from tests.objectives.batches import ACTIONS, IMAGE, VECTOR, D, make_batch


@pytest.mark.parametrize(
    ("target", "kwargs", "shares"), [("ema", {"rate": 0.5}, (0.5, 0.5)), ("copy", {"every": 2}, (1.0, 0.0))]
)
def test_the_projection_of_a_target_is_copied_too(target, kwargs, shares):
    """After two updates the target is the encoder and the projection of then and now, with these shares."""
    options = {"latent_dim": D, "auxiliary": (), "dynamics": "cosine", "target": target, "target_kwargs": kwargs}
    jepa = JEPA(VECTOR, ACTIONS, **options)
    embedding, batch = jepa._embedding, make_batch(space=VECTOR)
    first = copy.deepcopy(embedding)
    jepa.losses(batch)  # moves the target
    with torch.no_grad():
        for parameter in embedding.parameters():
            parameter.add_(torch.randn(parameter.shape))
    loss = jepa.losses(batch)[0]["dynamics"].item()
    with torch.no_grad():
        mixed = copy.deepcopy(embedding)
        for parameter, old, new in zip(mixed.parameters(), first.parameters(), embedding.parameters(), strict=True):
            parameter.copy_(shares[0] * old + shares[1] * new)
        z = jepa.encoder(batch.observations[:, 0])
        actions = nn.functional.one_hot(batch.actions[:, 0], 2).float()
        online = jepa.predictor(jepa.projection(jepa.next(z, actions)))
        cosine = nn.functional.cosine_similarity(online, mixed(batch.observations[:, 1]))
        assert loss == pytest.approx((2 - 2 * cosine).mean().item(), rel=1e-4)
    assert not any("target" in name for name, _ in jepa.named_parameters())


def test_a_target_of_the_users_own():
    """A callable that builds a module with the members of ``OnlineTarget``."""

    class Zero(nn.Module):
        reads_after = False

        def __init__(self, embedding, scale):
            super().__init__()
            self.scale = scale

        def forward(self, embedding, observations, latents):
            return torch.full_like(latents.predicted, self.scale)

        def update(self, embedding):
            pass

    jepa = JEPA(VECTOR, ACTIONS, auxiliary=(), target=Zero, target_kwargs={"scale": 3.0})
    losses, latents = jepa.losses(make_batch(space=VECTOR))
    assert losses["dynamics"].item() == pytest.approx((latents.predicted - 3).square().mean().item())


@pytest.mark.parametrize("target", ["online", "detach", "ema"])
def test_latent_targets(target):
    """online: gradient through both sides; detach: through the prediction alone; ema: an averaged encoder's latents."""
    torch.manual_seed(0)
    jepa, batch = JEPA(IMAGE, ACTIONS, latent_dim=D, auxiliary=(), target=target), make_batch()
    pixels = batch.observations.float() / 255
    actions = nn.functional.one_hot(batch.actions[:, 0], 2).float()
    for _ in range(2):
        losses, _ = jepa.losses(batch)
        averaged = (
            jepa.target.copy(nn.Sequential(jepa.encoder, jepa.projection), pixels[:, 1]) if target == "ema" else None
        )
        before, after = jepa.encoder(pixels[:, 0]), jepa.encoder(pixels[:, 1])
        right = {"online": after, "detach": after.detach(), "ema": averaged}[target]
        expected = (jepa.transition(before, actions) - right).square().mean()
        assert losses["dynamics"].item() == pytest.approx(expected.item(), rel=1e-4)
        parameters = list(jepa.encoder.parameters())
        for one, other in zip(
            *(torch.autograd.grad(x, parameters) for x in (losses["dynamics"], expected)), strict=True
        ):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)
        with torch.no_grad():  # the average falls behind
            for parameter in parameters:
                parameter.add_(0.01)


@pytest.mark.parametrize(("task", "passes"), [(RewardTask(), 1), (RewardTask(latents="predicted"), 2)])
def test_a_detached_target_encodes_nothing_twice(task, passes):
    """Where a task has encoded all observations, the target takes these; else it encodes those after the first."""
    jepa, seen = JEPA(VECTOR, ACTIONS, auxiliary=(task,), target="detach"), []
    jepa.encoder.register_forward_hook(lambda *_: seen.append(1))
    jepa.loss(make_batch(space=VECTOR))
    assert len(seen) == passes
