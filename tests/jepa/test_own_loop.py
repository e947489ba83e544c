"""A loop of one's own, three lines, against what ``JEPACallback`` makes of the same batches: equal to the last bit."""

import copy

import numpy as np
import pytest
import torch
from gymnasium import spaces

from jepa_extractor import JEPA, Batch, JEPACallback, Joint, QTask, RewardTask
from jepa_extractor.objectives import R2R2, SIGReg, VICReg
from jepa_extractor.sb3.schedules import Schedule
from tests.sb3.algorithms import find_jepas, make_model

EVERY = {"target_kwargs": {"every": 3}}
CASES = {
    "paper": {},
    "spr": {"recipe": "spr", "latent_dim": 16},
    "mrq": {"recipe": "mrq", "latent_dim": 16, **EVERY},
    "tdmpc2": {"recipe": "tdmpc2", "latent_dim": 16},
    "online": {"target": "online", "horizon": 2},
    "detach": {"target": "detach", "auxiliary": (RewardTask(latents="predicted"),)},
    "ema": {"target": "ema", "target_kwargs": {"rate": 0.3}, "dynamics": "cosine"},
    "copy": {"target": "copy", **EVERY},
    "q": {"auxiliary": (QTask(discount=0.9), "end")},
    "draws": {"auxiliary": ("reward", SIGReg(), VICReg(), R2R2()), "augmentation": ("shift", "intensity")},
}


@pytest.mark.parametrize("case", CASES)
def test_three_lines_train_as_the_callback_does(case, monkeypatch):
    """Parameters, copies and draws after eight updates, where the algorithm's own gradient is zero."""
    twin = make_model("PPO", **CASES[case])
    jepa = copy.deepcopy(find_jepas(twin)[0])  # as it was built
    recorder = JEPACallback(Schedule(), batch_size=8)  # whose every hook is a no-op
    twin.learn(32, callback=recorder)

    model = make_model("PPO", arguments={"n_epochs": 4}, **CASES[case])
    backward = torch.Tensor.backward
    monkeypatch.setattr(torch.Tensor, "backward", lambda loss: backward(0.0 * loss))
    callback = JEPACallback(Joint(), batch_size=8, max_grad_norm=None)
    model.learn(32, callback=callback)
    monkeypatch.undo()
    assert callback.updates == 8

    options = model.policy.optimizer.defaults
    optimizer = torch.optim.Adam(jepa.parameters(), lr=options["lr"], eps=options["eps"])
    before = {name: value.clone() for name, value in jepa.state_dict().items()}
    for _ in range(8):
        loss, _ = jepa.loss(recorder.ring.sample(8, jepa.horizon, rewarded_fraction=0.5))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    by_hand, trained = jepa.state_dict(), find_jepas(model)[0].state_dict()
    assert by_hand.keys() == trained.keys()
    assert [name for name, value in by_hand.items() if not torch.equal(value, trained[name])] == []
    assert not any(torch.equal(parameter, before[name]) for name, parameter in jepa.named_parameters())


def test_a_discount_that_nobody_named():
    """In a loop of one's own no algorithm says how far values reach, and 0.99 is not guessed."""
    jepa = JEPA(spaces.Box(-1, 1, (3,)), spaces.Discrete(2), auxiliary=("q",))
    batch = small_batch()
    with pytest.raises(ValueError, match=r"discount=None of the task 'q'.*give QTask\(discount=0.99\)"):
        jepa.loss(batch)
    jepa.loss(batch.replace(discount=0.9))  # as an algorithm's batches


def small_batch(seed=0, size=6, horizon=1):
    rng = np.random.default_rng(seed)
    return Batch(
        torch.from_numpy(rng.normal(size=(size, horizon + 1, 3)).astype("f")),
        torch.from_numpy(rng.integers(0, 2, (size, horizon))),
        torch.from_numpy(rng.normal(size=(size, horizon)).astype("f")),
        torch.from_numpy(rng.integers(0, 2, (size, horizon)) == 0),
    )


MOVING = {
    "ema": ({"target": "ema"}, ["target.copy"]),
    "copy": ({"target": "copy", "target_kwargs": {"every": 2}}, ["target.copy"]),
    "q": ({"auxiliary": (QTask(discount=0.9),)}, ["heads.q.average"]),
    "sigreg": ({"auxiliary": (SIGReg(),)}, ["heads.sigreg._extra_state"]),
    "augmentation": ({"augmentation": ("shift",)}, ["augmentation.draws"]),
}


@pytest.mark.parametrize("case", MOVING)
def test_evaluation_mode_changes_nothing(case):
    """In evaluation mode a loss is the same however often it is computed, and no entry of the state changes."""
    options, moving = MOVING[case]
    jepa, batch = JEPA(spaces.Box(-1, 1, (3,)), spaces.Discrete(2), latent_dim=8, **options), small_batch()
    jepa.loss(batch)
    with torch.no_grad():
        for parameter in jepa.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))

    def state():
        return {name: value.clone() for name, value in jepa.state_dict().items()}

    jepa.eval()
    before, losses = state(), [jepa.loss(batch)[0].item() for _ in range(3)]
    assert len(set(losses)) == 1
    assert [name for name, value in state().items() if not torch.equal(value, before[name])] == []
    jepa.train()
    for _ in range(2):  # the copy is made at every second
        jepa.loss(batch)
    changed = [name for name, value in state().items() if not torch.equal(value, before[name])]
    assert changed
    assert all(any(name.startswith(prefix) for prefix in (*moving, "updates")) for name in changed)


def test_training_mode_draws_anew():
    """Directions of SIGReg differ from one loss to the next, and so does the loss."""
    jepa = JEPA(spaces.Box(-1, 1, (3,)), spaces.Discrete(2), latent_dim=8, auxiliary=(SIGReg(),))
    losses = {jepa.loss(small_batch())[1].losses["sigreg"].item() for _ in range(4)}
    assert len(losses) == 4
