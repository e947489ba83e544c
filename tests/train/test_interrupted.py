"""A pretraining that is cut off, fails, or finds the disk full."""

import errno

import numpy as np
import pytest
import torch

from jepa_extractor import QTask, RewardTask, fit_transition, pretrain
from jepa_extractor.train import pretraining
from tests.train.walks import make_jepa, make_ring, same, weights_of


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


def test_numpy_numbers_are_saved_as_numbers(tmp_path):
    """A training whose settings and measure are NumPy's numbers is saved, and goes on from its checkpoint."""
    options = {"updates": np.int64(4), "learning_rate": np.float64(1e-3), "rewarded_fraction": np.float32(0.5)}
    options |= {"measure": lambda jepa: np.mean([0.25, 0.75]), "checkpoint": tmp_path / "c.pt"}
    (record,) = pretrain(make_jepa(), make_ring(), **options)
    assert record["measure"] == 0.5
    assert pretrain(make_jepa(), make_ring(), **options) == [record]
