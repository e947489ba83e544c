"""Pretraining, on a small world of flat observations."""

import errno

import numpy as np
import pytest
import torch
from gymnasium import spaces

from jepa_extractor import JEPA, Episode, LabelTask, QTask, RewardTask, TransitionRing, fit_transition, pretrain
from jepa_extractor.train import LabelAccuracy, pretraining

SPACE = spaces.Box(-9, 9, (3,), np.float32)
ACTIONS = spaces.Discrete(2)


def episodes(seed=0, number=30, rewards=None):
    """Walks of four steps on the integers 0..4; the reward is 1 at 2, and the observation holds the place once."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(number):
        actions = rng.integers(2, size=4)
        walk = [int(rng.integers(5))]
        for action in actions:
            walk.append(int(np.clip(walk[-1] + 2 * action - 1, 0, 4)))
        places = np.array(walk)
        observations = rng.normal(size=(5, 3)).astype(np.float32)
        observations[:, 0] = places
        reward = (places[1:] == 2).astype(np.float32) if rewards is None else np.full(4, rewards, np.float32)
        made.append(Episode(observations, actions, reward, False, {"place": places.astype(np.float32)}))
    return made


def make_ring(seed=0, **kwargs):
    return TransitionRing.from_episodes(episodes(seed, **kwargs), seed=seed)


def make_jepa(seed=0, **kwargs):
    torch.manual_seed(seed)
    return JEPA(SPACE, ACTIONS, **{"encoder": "mlp", "latent_dim": 4, **kwargs})


@pytest.fixture(autouse=True)
def _short_fit(monkeypatch):
    """Fit the transition in 20 updates unless a test says otherwise."""

    def fit(jepa, transitions, updates, *rest):
        fit_transition(jepa, transitions, min(updates, 20), *rest)

    monkeypatch.setattr(pretraining, "fit_transition", fit)


def weights_of(jepa):
    return {name: value.clone() for name, value in jepa.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_updates_by_hand():
    """Pretraining uses the loss code of the callback: its updates are Adam's on 2 dynamics + 10 reward."""
    trained, by_hand, ring = make_jepa(), make_jepa(), make_ring()
    options = {"rewarded_fraction": 0.0, "max_grad_norm": None, "transition_updates": 0}
    (record,) = pretrain(trained, make_ring(), updates=4, batch_size=16, learning_rate=1e-3, **options)
    optimizer = torch.optim.Adam(by_hand.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=5)
    seen = []
    for _ in range(4):
        losses, _ = by_hand.losses(ring.sample(16))
        optimizer.zero_grad()
        (2 * losses["dynamics"] + 10 * losses["reward"]).backward()
        optimizer.step()
        schedule.step()
        seen.append([losses["dynamics"].item(), losses["reward"].item()])
    for name, value in by_hand.state_dict().items():
        assert torch.allclose(trained.state_dict()[name], value, atol=1e-5), name
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


@pytest.mark.parametrize(
    "kwargs", [{}, {"target": "ema", "auxiliary": (QTask(discount=0.9), "random")}, {"horizon": 2}]
)
def test_resume_is_exact(tmp_path, kwargs):
    """Cut off in the middle and resumed, or not, weights, records and later batches are the same."""

    class CutOffError(Exception):
        pass

    def cut_off(record):
        if record["update"] == 20:
            raise CutOffError

    options = {"updates": 45, "batch_size": 8, "check_every": 10}
    straight, straight_ring = make_jepa(**kwargs), make_ring()
    records = pretrain(straight, straight_ring, **options)
    with pytest.raises(CutOffError):
        pretrain(make_jepa(**kwargs), make_ring(), **options, checkpoint=tmp_path / "c.pt", on_check=cut_off)
    resumed, resumed_ring = make_jepa(seed=7, **kwargs), make_ring()
    assert pretrain(resumed, resumed_ring, **options, checkpoint=tmp_path / "c.pt") == records
    assert [record["update"] for record in records] == [10, 20, 30, 40, 45]
    assert same(weights_of(straight), weights_of(resumed))
    assert straight_ring.generator.bit_generator.state == resumed_ring.generator.bit_generator.state


def test_a_finished_training_returns_at_once(tmp_path):
    """A finished checkpoint gives its weights and records back without another update."""
    options = {"updates": 20, "batch_size": 8, "check_every": 10, "checkpoint": tmp_path / "c.pt"}
    first, again = make_jepa(), make_jepa(seed=1)
    records = pretrain(first, make_ring(), **options)
    assert pretrain(again, make_ring(), **options, on_check=pytest.fail) == records
    assert same(weights_of(first), weights_of(again))


@pytest.mark.parametrize("cut", ["before the fit", "in the fit"])
def test_resume_is_exact_around_the_fit_of_the_transition(tmp_path, monkeypatch, cut):
    """Cut off between the last update and the end of the transition's fit, a training ends as if it had not been."""
    options = {"updates": 20, "batch_size": 8, "check_every": 10, "transition_updates": 20}
    straight, straight_ring = make_jepa(), make_ring()
    records = pretrain(straight, straight_ring, **options)

    def interrupted(jepa, ring, *rest):
        if cut == "in the fit":
            fit_transition(jepa, ring, 7)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pretraining, "fit_transition", interrupted)
        with pytest.raises(KeyboardInterrupt, match=r"while the transition was.*c\.pt"):
            pretrain(make_jepa(), make_ring(), **options, checkpoint=tmp_path / "c.pt")
    resumed, resumed_ring = make_jepa(seed=7), make_ring()
    assert pretrain(resumed, resumed_ring, **options, checkpoint=tmp_path / "c.pt") == records
    assert same(weights_of(straight), weights_of(resumed))
    assert straight_ring.generator.bit_generator.state == resumed_ring.generator.bit_generator.state


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


def test_a_loss_that_is_not_finite_stops(tmp_path):
    """Nothing is lost when something fails: the checkpoint keeps the last good state, and the error says where."""
    options = {"batch_size": 8, "check_every": 5, "checkpoint": tmp_path / "c.pt"}
    jepa = make_jepa()

    def poison(record):
        with torch.no_grad():
            jepa.heads["reward"][0].weight.fill_(float("nan"))

    with pytest.raises(FloatingPointError, match=r"_loss is nan at update 10.*c\.pt"):
        pretrain(jepa, make_ring(), updates=20, **options, on_check=poison)
    recovered = make_jepa()
    assert pretrain(recovered, make_ring(), updates=20, **options)[-1]["update"] == 20
    assert all(value.isfinite().all() for value in recovered.state_dict().values())


class RootTask(RewardTask):
    """Its loss is finite and its gradient is not: the derivative of a root at 0 is infinite."""

    name = "root"

    def loss(self, head, latents, batch):
        return (0.0 * head(latents.after)).pow(2).sum().sqrt()


def test_parameters_that_are_not_finite_are_not_kept(tmp_path):
    """No checkpoint is written once a finite loss had a gradient that is not finite."""
    jepa = make_jepa(auxiliary=(RootTask(),))
    with pytest.raises(FloatingPointError, match=r"is no longer finite at update 1"):
        pretrain(jepa, make_ring(), updates=3, check_every=1, checkpoint=tmp_path / "c.pt")
    assert not (tmp_path / "c.pt").exists()


def test_an_interrupt_says_where_the_state_is(tmp_path):
    """A training that is interrupted says where its last good state is."""
    ring = make_ring()
    sample, calls = ring.sample, []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 13:
            raise KeyboardInterrupt
        return sample(*arguments)

    ring.sample = interrupted
    with pytest.raises(KeyboardInterrupt, match=r"interrupted at update 12.*c\.pt"):
        pretrain(make_jepa(), ring, updates=20, check_every=5, checkpoint=tmp_path / "c.pt")
    assert pretrain(make_jepa(), make_ring(), updates=20, check_every=5, checkpoint=tmp_path / "c.pt")


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    """On a full disk the error is the system's own, and the checkpoint before it is whole."""
    options = {"updates": 20, "batch_size": 8, "check_every": 5, "checkpoint": tmp_path / "c.pt"}
    save, calls = torch.save, []

    def full(state, path):
        calls.append(1)
        if len(calls) == 3:
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        save(state, path)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        pretrain(make_jepa(), make_ring(), **options)
    assert [path.name for path in tmp_path.iterdir()] == ["c.pt"]
    straight, resumed = make_jepa(), make_jepa()
    pretrain(straight, make_ring(), **{**options, "checkpoint": None})
    pretrain(resumed, make_ring(), **options)
    assert same(weights_of(straight), weights_of(resumed))


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    """Another configuration, other data and a broken file are each refused with a clear sentence."""
    path = tmp_path / "c.pt"
    pretrain(make_jepa(), make_ring(), updates=4, checkpoint=path)
    with pytest.raises(ValueError, match=r"c\.pt is of another training: batch_size, dynamics_weight differ"):
        pretrain(make_jepa(dynamics_weight=1.0), make_ring(), updates=4, batch_size=7, checkpoint=path)
    with pytest.raises(ValueError, match="another training: transitions differ"):
        pretrain(make_jepa(), make_ring(seed=5), updates=4, checkpoint=path)
    with pytest.raises(ValueError, match="another training: target differ"):
        pretrain(make_jepa(target="detach"), make_ring(), updates=4, checkpoint=path)
    with pytest.raises(ValueError, match="another training: auxiliary, trained differ"):
        pretrain(make_jepa(auxiliary=("action_reward",)), make_ring(), updates=4, checkpoint=path)
    with pytest.raises(ValueError, match="built otherwise"):
        pretrain(make_jepa(latent_dim=5), make_ring(), updates=4, checkpoint=path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"c\.pt is broken"):
        pretrain(make_jepa(), make_ring(), updates=4, checkpoint=path)


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


def test_numpy_numbers_are_saved_as_numbers(tmp_path):
    """A training whose settings and measure are NumPy's numbers is saved, and goes on from its checkpoint."""
    options = {"updates": np.int64(4), "learning_rate": np.float64(1e-3), "rewarded_fraction": np.float32(0.5)}
    options |= {"measure": lambda jepa: np.mean([0.25, 0.75]), "checkpoint": tmp_path / "c.pt"}
    (record,) = pretrain(make_jepa(), make_ring(), **options)
    assert record["measure"] == 0.5
    assert pretrain(make_jepa(), make_ring(), **options) == [record]


def test_progress_bar(capsys):
    """A progress bar is shown on the error stream when asked for, and only then."""
    pretrain(make_jepa(), make_ring(), updates=3)
    assert capsys.readouterr().err == ""
    pretrain(make_jepa(), make_ring(), updates=3, progress_bar=True)
    assert "3/3" in capsys.readouterr().err
