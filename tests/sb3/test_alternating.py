"""The schedule Alternating by hand: steps on the auxiliary losses alone, between the algorithm's own."""

import copy
from types import SimpleNamespace

import pytest
import torch

from jepa_extractor import Alternating, JEPACallback, Joint
from jepa_extractor.sb3.schedules import Schedule
from tests.sb3.algorithms import find_jepas, make_model


@pytest.mark.parametrize("falling", [False, True])
def test_steps_by_hand(falling, monkeypatch):
    """Three steps for every second one of PPO, at its learning rate of the moment, from fresh gradients each."""
    rate = (lambda remaining: 1e-3 * remaining) if falling else 1e-3
    arguments = {"learning_rate": rate, "n_steps": 16, "batch_size": 16, "n_epochs": 2}
    twin = make_model("PPO", arguments=arguments)
    jepa = copy.deepcopy(find_jepas(twin)[0])  # as it was built
    recorder = JEPACallback(Schedule(), batch_size=8)
    twin.learn(32, callback=recorder)

    model = make_model("PPO", arguments=arguments)
    backward = torch.Tensor.backward
    monkeypatch.setattr(torch.Tensor, "backward", lambda loss: backward(0.0 * loss))
    callback = JEPACallback(Alternating(every=2, replay_ratio=3), batch_size=8, max_grad_norm=None)
    model.learn(64, callback=callback)
    monkeypatch.undo()
    assert callback.updates == 4 // 2 * 3  # PPO's steps after the first rollout; those after the last are not followed

    options = model.policy.optimizer.defaults
    optimizer = torch.optim.Adam(jepa.parameters(), lr=1e-3 * (0.5 if falling else 1), eps=options["eps"])
    for _ in range(6):
        loss, _ = jepa.loss(recorder.ring.sample(8, rewarded_fraction=0.5))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    by_hand, trained = jepa.state_dict(), find_jepas(model)[0].state_dict()
    assert [name for name, value in by_hand.items() if not torch.equal(value, trained[name])] == []


class Counted:
    """A trainer that counts what a schedule asks of it, and its own recorder, ring and monitor."""

    def __init__(self):
        self.ring = self.model = "full"
        self.recorder = self.monitor = self
        self.updates, self.compared = [], []

    def gradient(self, jepa):
        return jepa

    def add(self, gradient):
        self.updates.append(gradient)

    def compare(self, optimizer, encoder, gradient):
        self.compared.append(len(self.updates) + 1)


@pytest.mark.parametrize("every", [1, 2, 3])
def test_which_steps_joint_adds_to_and_compares(every, monkeypatch):
    """Every ``every``-th step, and every eighth of these is compared: the eighth, the sixteenth, ..."""
    monkeypatch.setattr(Joint, "prepare", lambda *_: None)
    trainer = Counted()
    trainee = SimpleNamespace(jepas=[SimpleNamespace(encoder=None)], optimizer=None)
    schedule = Joint(every).bound(trainee, trainer)
    for step in range(1, 33 * every):
        schedule.steps = step
        schedule.before_optimizer_step()
        assert len(trainer.updates) == step // every
    assert trainer.compared == [8, 16, 24, 32]
    trainer.ring = ""  # before anything is recorded
    schedule.before_optimizer_step()
    assert len(trainer.updates) == 32
