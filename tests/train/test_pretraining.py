"""Pretraining, on a small world of flat observations."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from jepa_extractor import JEPA, LabelTask, pretrain
from jepa_extractor.train import LabelAccuracy, pretraining
from tests.train.walks import SPACE, episodes, make_jepa, make_ring, same, weights_of


def test_updates_by_hand():
    """Pretraining uses the loss code of the callback: three lines by hand give the same, to the last bit."""
    trained, by_hand, ring = make_jepa(), make_jepa(), make_ring()
    options = {"rewarded_fraction": 0.0, "max_grad_norm": None, "transition_updates": 0}
    (record,) = pretrain(trained, make_ring(), updates=4, batch_size=16, learning_rate=1e-3, **options)
    optimizer = torch.optim.Adam(by_hand.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=5)
    seen = []
    for _ in range(4):
        loss, logs = by_hand.loss(ring.sample(16))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        seen.append([logs.losses["dynamics"].item(), logs.losses["reward"].item()])
    assert same(trained.state_dict(), by_hand.state_dict())
    assert record["update"] == 4
    assert [record["dynamics_loss"], record["reward_loss"]] == pytest.approx(np.mean(seen, axis=0))


@pytest.mark.parametrize(
    ("kwargs", "rate"),
    [
        ({}, 4e-3),
        ({"normalization": "layer"}, 4e-3),
        ({"encoder": lambda space, width: torch.nn.Linear(3, width)}, 5e-4),
    ],
)
def test_the_encoder_names_the_learning_rate(kwargs, rate):
    """By default the rate is that of the encoder, also behind a normalisation; other networks get a lower one."""
    by_default, given = make_jepa(**kwargs), make_jepa(**kwargs)
    pretrain(by_default, make_ring(), updates=4, transition_updates=0)
    pretrain(given, make_ring(), updates=4, transition_updates=0, learning_rate=rate)
    assert same(by_default.state_dict(), given.state_dict())


def test_it_learns_and_stops_early():
    """Training ends early, at the first check whose measure reaches stop_at."""
    held_out = (
        [episode.observations for episode in episodes(seed=1)],
        [episode.labels["place"] for episode in episodes(seed=1)],
    )
    accuracy = LabelAccuracy(np.concatenate(held_out[0]), np.concatenate(held_out[1]))
    records = pretrain(
        make_jepa(), make_ring(number=300), updates=2_000, measure=accuracy, stop_at=0.95, check_every=20
    )
    measured = [record["measure"] for record in records]
    assert measured[-1] >= 0.95 > max(measured[:-1])
    assert records[-1]["update"] < 2_000


def test_dead_latents_are_told_at_once():
    """Where all latents have become equal, a warning says so and names what helps."""
    jepa = make_jepa()

    def kill(record):
        with torch.no_grad():
            jepa.encoder.layers[-1].weight.zero_()
            jepa.encoder.layers[-1].weight.requires_grad_(False)

    with pytest.warns(UserWarning, match=r"all latents are equal at update 20.*learning rate.*max_grad_norm"):
        pretrain(jepa, make_ring(), updates=20, check_every=10, on_check=kill)


def test_what_is_frozen_stays():
    """Parameters that do not require a gradient are left alone, and the others are trained."""
    jepa = make_jepa()
    jepa.encoder.requires_grad_(False)
    before = weights_of(jepa)
    pretrain(jepa, make_ring(), updates=5)
    for name, value in jepa.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith("encoder"), name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"updates": 0}, "updates=0"),
        ({"batch_size": 2.5}, "batch_size=2.5"),
        ({"check_every": 0}, "check_every=0"),
        ({"learning_rate": 0.0}, "learning_rate=0.0"),
        ({"rewarded_fraction": -0.1}, "rewarded_fraction=-0.1 is not a number in"),
        ({"jepa": "encoder"}, "jepa='encoder' is not of type JEPA: build one; that of a policy is model.policy"),
        ({"transitions": []}, r"transitions=\[\] is not of type TransitionRing"),
        ({"checkpoint": "."}, r"checkpoint='\.' is a folder"),
        ({"max_grad_norm": 0}, "max_grad_norm=0"),
        ({"max_grad_norm": "a"}, "max_grad_norm='a'"),
        ({"transition_updates": -1}, "transition_updates=-1"),
        ({"stop_at": 0.9}, "stop_at=0.9 needs a measure"),
    ],
)
def test_bad_arguments(arguments, message):
    """Errors come before any training and name the argument, its value and the mend."""
    with pytest.raises(ValueError, match=message):
        pretrain(**{"jepa": make_jepa(), "transitions": make_ring(), "updates": 5, **arguments})


def test_what_cannot_be_pretrained_is_refused():
    """A JEPA that is frozen, or whose task needs a policy, is refused with the mend."""
    frozen = make_jepa().requires_grad_(False)
    with pytest.raises(ValueError, match="frozen"):
        pretrain(frozen, make_ring(), updates=5)
    continuous = JEPA(SPACE, spaces.Box(-1, 1, (2,)), encoder="mlp", auxiliary=("q",))
    with pytest.raises(ValueError, match="'q' needs the actions of a policy"):
        pretrain(continuous, make_ring(), updates=5)
    with pytest.raises(ValueError, match=r"learns the label 'count'.*labels=\('count',\)"):
        pretrain(make_jepa(auxiliary=(LabelTask("count"),)), make_ring(), updates=5)


def test_labels_that_do_not_fit_are_refused():
    """A measure needs two observations, and a label for each."""
    with pytest.raises(ValueError, match="4 observations have 3 labels"):
        LabelAccuracy(np.zeros((4, 3)), np.zeros(3))
    with pytest.raises(ValueError, match="1 observations have 1 labels: give at least two"):
        LabelAccuracy(np.zeros((1, 3)), np.zeros(1))


def test_progress_bar(capsys):
    """A progress bar is shown on the error stream when asked for, and only then."""
    pretrain(make_jepa(), make_ring(), updates=3)
    assert capsys.readouterr().err == ""
    pretrain(make_jepa(), make_ring(), updates=3, progress_bar=True)
    assert "3/3" in capsys.readouterr().err


def test_it_stops_where_the_measure_is_just_reached():
    """``stop_at`` itself suffices; without it, a measure ends nothing."""
    options = {"updates": 6, "check_every": 2, "transition_updates": 0, "measure": lambda jepa: 0.5}
    assert [record["update"] for record in pretrain(make_jepa(), make_ring(), stop_at=0.5, **options)] == [2]
    assert [record["update"] for record in pretrain(make_jepa(), make_ring(), **options)] == [2, 4, 6]


@pytest.mark.parametrize(("horizon", "fitted"), [(1, 2), (3, 3)])
def test_the_horizon_of_the_fit(horizon, fitted, monkeypatch):
    """That of the JEPA, but at least 2."""
    seen = []
    monkeypatch.setattr(pretraining, "fit_transition", lambda jepa, ring, updates, steps: seen.append((updates, steps)))
    pretrain(make_jepa(horizon=horizon), make_ring(), updates=1, transition_updates=9)
    assert seen == [(9, fitted)]


def test_label_accuracy_by_hand():
    """Centroids of observations 0, 2, 4, ... judge 1, 3, 5, ...: here all but the last are right."""
    jepa = make_jepa(encoder="identity", latent_dim=3)
    observations = np.zeros((8, 3), np.float32)
    observations[:, 0] = [0, 1, 10, 9, 0, 2, 10, 4.9]
    assert LabelAccuracy(observations, np.array([0, 0, 1, 1, 0, 0, 1, 1]))(jepa) == 0.75


def test_rewarded_transitions_are_drawn():
    """``rewarded_fraction`` reaches the ring: with 1, every first step has a reward."""
    ring, batches = make_ring(), []
    sample = ring.sample
    ring.sample = lambda *arguments: batches.append(sample(*arguments)) or batches[-1]
    pretrain(make_jepa(), ring, updates=2, batch_size=16, rewarded_fraction=1.0, transition_updates=0)
    assert all((batch.rewards[:, 0] != 0).all() for batch in batches)
