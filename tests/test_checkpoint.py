"""Files that are replaced as a whole, and states whose damage is found."""

import errno
import multiprocessing
import re
import secrets
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from torch.utils.tensorboard import SummaryWriter

from jepa_extractor import JEPA, Episode, JEPACallback, TransitionRing, jepa_policy_kwargs, pretrain
from jepa_extractor.audit import AuditSet, audit, to_parquet, to_tensorboard, write_page
from jepa_extractor.audit.audit_set import ARRAYS
from jepa_extractor.checkpoint import load_state, replace_file, require_sound_zip, save_state
from jepa_extractor.data import Step
from jepa_extractor.machine import Machine, load_machine, save_machine
from jepa_extractor.planning import Imagination, LatentPlanner
from jepa_extractor.sb3.loading import load_policy
from studies.runner import Run, _execute, _read

SEEN, ACTS = spaces.Box(0, 1, (4,), np.float32), spaces.Discrete(2)


def ring_state():
    ring = TransitionRing(spaces.Box(0, 255, (1, 4, 4), np.uint8), spaces.Discrete(3), 2, 40, seed=0)
    rng = np.random.default_rng(0)
    frames = rng.integers(256, size=(12, 2, 1, 4, 4)).astype(np.uint8)
    ring.begin(frames[0])
    for seen in frames[1:]:
        ends = rng.random(2) < 0.3
        labels = {"count": rng.random(2)}
        ring.add(Step(rng.integers(3, size=2), rng.random(2), ends, ends, seen, seen, labels, labels))
    return ring.state()


def training_state():
    """Weights and the state of an optimizer, as of a planner, a callback or a training."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(9, 7), torch.nn.ReLU(), torch.nn.Linear(7, 2))
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(3, 9)).sum().backward()
    optimizer.step()
    return {"weights": network.state_dict(), "optimizer": optimizer.state_dict(), "records": [{"loss": 0.5}], "n": 3}


def jepa():
    torch.manual_seed(0)
    made = JEPA(SEEN, ACTS, latent_dim=4, transition_kwargs={"hidden": 8})
    made.updates += 1
    return made


def episodes():
    rng, made = np.random.default_rng(0), []
    for _ in range(6):
        seen, rewards = rng.integers(4, size=6), rng.integers(2, size=5).astype(np.float32)
        made.append(
            Episode(np.eye(4, dtype=np.float32)[seen], rng.integers(2, size=5), rewards, False, {"a": seen / 1})
        )
    return made


def trained(path):
    """Return the weights of a training that has finished, or goes on from ``path``."""
    made = jepa()
    pretrain(made, TransitionRing.from_episodes(episodes(), 0), 2, 4, transition_updates=1, checkpoint=path)
    return dict(made.state_dict())


def loaded_callback(path):
    return JEPACallback().load(path)._saved


def saved_callback(path):
    callback, env = JEPACallback(buffer_size=40), gym.make("CartPole-v1")
    kwargs = jepa_policy_kwargs(env, latent_dim=4)
    model = PPO("MlpPolicy", env, n_steps=16, batch_size=16, policy_kwargs=kwargs, seed=0, device="cpu")
    model.learn(32, callback)
    callback.save(path)
    model.save(path.parent / "model.zip")


def loaded_set(path):
    loaded = AuditSet.load(path)
    arrays = {name: torch.from_numpy(getattr(loaded, name)) for name in ("observations", *ARRAYS)}
    return {**arrays, "coverage": loaded.coverage(), "names": list(loaded.action_names), "env": loaded.env}


def loaded_machine(path):
    loaded = load_machine(path)
    arrays = ("successors", "rewards", "ends", "counts", "certainty", "starts", "prototypes", "prototype_nodes")
    return {**{name: torch.from_numpy(getattr(loaded, name)) for name in arrays}, "names": list(loaded.names)}


def saved_machine(path):
    machine = Machine.from_mdp([[0, 1], [0, 1]], [0.0, 1.0])
    save_machine(replace(machine, prototypes=np.eye(2, dtype=np.float32), prototype_nodes=np.arange(2)), path)


def saved_model(path):
    saved_callback(path.parent / "callback.pt")
    (path.parent / "model.zip").replace(path)


FILES = {
    "ring": (lambda path: save_state(ring_state(), path, "test"), lambda path: load_state(path, "test")),
    "training": (lambda path: save_state(training_state(), path, "test"), lambda path: load_state(path, "test")),
    "pretrain": (trained, trained),
    "planner": (LatentPlanner(jepa()).save, lambda path: LatentPlanner.load(path).state()["jepa"]["weights"]),
    "imagination": (
        lambda path: Imagination(LatentPlanner(jepa()), np.eye(4, dtype=np.float32), list("abcd")).save(path),
        lambda path: {"names": Imagination.load(path)._names, "latents": Imagination.load(path)._latents},
    ),
    "callback": (saved_callback, loaded_callback),
    "model": (saved_model, lambda path: load_policy(path).state_dict()),
    "audit set": (lambda path: AuditSet.from_episodes(episodes(), 2).save(path), loaded_set),
    "machine": (saved_machine, loaded_machine),
    "result": (
        lambda path: _execute(lambda *_: {"score": 0.125, "runs": [1, 2]}, Run("a", {}, 0, path.parent)),
        lambda path: _read(path, "result"),
    ),
}


def damage(content, rng):
    """Return ``content`` with a bit flipped, cut off, with a block of zeros, or with two blocks exchanged."""
    data, kind = bytearray(content), rng.integers(4)
    at, size = int(rng.integers(len(data))), int(rng.integers(1, 200))
    if kind == 0:
        data[at] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        del data[at:]
    elif kind == 2:
        data[at : at + size] = bytes(len(data[at : at + size]))
    else:
        other = int(rng.integers(len(data)))
        data[at : at + 50], data[other : other + 50] = data[other : other + 50], data[at : at + 50]
    return bytes(data)


def same(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and one.numpy().tobytes() == other.numpy().tobytes()  # NaN is NaN
    return type(one) is type(other) and one == other


QUICK = ("ring", "machine", "result")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in FILES]
)
def test_no_damaged_file_loads_wrong(name, tmp_path):
    """200 damages: each is an error that names the file, or hits bytes of no meaning and changes nothing."""
    write, read = FILES[name]
    path = tmp_path / "result.json"
    write(path)
    content, rng = path.read_bytes(), np.random.default_rng(0)
    whole = read(path)
    refused = named = 0
    for _ in range(200):
        path.write_bytes(damage(content, rng))
        try:
            loaded = read(path)
        except ValueError as error:
            refused += 1
            named += str(path) in str(error)
        else:
            assert same(loaded, whole)
    assert named == refused > 100


def test_damage_that_torch_does_not_see(tmp_path):
    """Of a file whose weights have changed, the message says what is wrong."""
    path = tmp_path / "state.pt"
    save_state({"weights": torch.full((100,), 1.5)}, path, "test")
    content = path.read_bytes()
    at = content.index(np.full(100, 1.5, np.float32).tobytes())
    path.write_bytes(content[:at] + b"\0" * 40 + content[at + 40 :])
    assert torch.load(path)["weights"][0] == 0
    with pytest.raises(ValueError, match=r"state\.pt is broken: the checksum of its part .*data/0' is another"):
        load_state(path, "test")


def test_other_files_are_refused(tmp_path):
    """No file, another kind of state, what torch saved elsewhere, and what is no archive: each has its sentence."""
    path = tmp_path / "state.pt"
    with pytest.raises(FileNotFoundError, match=r"there is no saved state at .*state\.pt"):
        load_state(path, "ring")
    save_state({}, path, "ring")
    assert load_state(path, "ring").keys() == {"format", "kind"}
    with pytest.raises(ValueError, match=r"state\.pt holds a ring, not a planner"):
        load_state(path, "planner")
    torch.save({"weights": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match=r"state\.pt was not saved by this package"):
        load_state(path, "ring")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", "b")
    with path.open("rb") as file:
        require_sound_zip(file, path)
    with pytest.raises(ValueError, match=r"state\.pt is broken, or was not saved by this package"):
        load_state(path, "ring")
    path.write_text("no archive")
    with pytest.raises(ValueError, match=r"state\.pt is broken, or was not saved by this package"):
        load_state(path, "ring")


def test_a_state_comes_back(tmp_path):
    """Arrays come back as tensors, NumPy's numbers as plain ones, everything else as it was, in new folders too."""
    path = tmp_path / "new" / "folder" / "state.pt"
    state = {"a": np.arange(3), "b": [np.float32(0.5), {"c": torch.ones(2)}], "d": np.bool_(True), "e": "text", 4: None}
    save_state(state, path, "test")
    loaded = load_state(path, "test")
    expected = {"a": torch.arange(3), "b": [0.5, {"c": torch.ones(2)}], "d": True, "e": "text", 4: None}
    assert same({key: loaded[key] for key in expected}, expected)
    assert [file.name for file in path.parent.iterdir()] == ["state.pt"]


def write_often(path, number, times):
    for _ in range(times):
        replace_file(path, lambda unfinished: unfinished.write_bytes(bytes([number]) * 100_000))


@pytest.mark.parametrize(
    "kind", [threading.Thread, pytest.param(multiprocessing.get_context("spawn").Process, marks=pytest.mark.slow)]
)
def test_several_writers_of_one_file(kind, tmp_path):
    """Whoever reads finds a whole file of one writer at any time, and no save fails."""
    path = tmp_path / "file.bin"
    write_often(path, 0, 1)
    writers = [kind(target=write_often, args=(path, number, 50)) for number in (1, 2, 3)]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        content = path.read_bytes()
        assert len(content) == 100_000
        assert len(set(content)) == 1
        seen.add(content[0])
    for writer in writers:
        writer.join()
        assert getattr(writer, "exitcode", 0) == 0
    assert path.read_bytes()[0] in (1, 2, 3)
    assert [file.name for file in tmp_path.iterdir()] == ["file.bin"]


@pytest.mark.parametrize("problem", [KeyboardInterrupt(), ValueError("no"), OSError(errno.ENOSPC, "No space left")])
def test_a_failure_leaves_the_old_file(problem, tmp_path):
    """After an interrupt or an error the old file is whole, and nothing else is left."""
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail(unfinished):
        unfinished.write_text("ne")
        raise problem

    with pytest.raises(type(problem)):
        replace_file(path, fail)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["file.txt"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full is Linux's")
def test_a_full_disk_is_named(tmp_path):
    """The system's own error does not name the file: ours does, for text and for states."""
    path = tmp_path / "file.txt"

    def on_full_disk(unfinished):
        unfinished.symlink_to("/dev/full")
        unfinished.write_text("text")

    with pytest.raises(OSError, match=r"file\.txt cannot be written \(No space left on device\): make room") as caught:
        replace_file(path, on_full_disk)
    assert caught.value.errno == errno.ENOSPC
    assert not list(tmp_path.iterdir())


WRITERS = {
    "set.npz": lambda path: AuditSet.from_episodes(episodes(), 2).save(path),
    "page.html": lambda path: write_page([report()], path),
    "table.parquet": lambda path: to_parquet(report(), path),
    "machine.json": saved_machine,
    "planner.pt": LatentPlanner(jepa()).save,
    "training.pt": trained,
}


def report():
    return audit(jepa(), AuditSet.from_episodes(episodes(), 2), controls=False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full is Linux's")
@pytest.mark.parametrize("name", WRITERS)
def test_whatever_is_written_names_its_file(name, tmp_path, monkeypatch):
    """On a full disk each writer names the file; the one that was there stays, and nothing else."""
    path = tmp_path / name
    WRITERS[name](path)
    content = path.read_bytes()
    path.rename(tmp_path / "kept")  # so that a training does not go on from it
    monkeypatch.setattr(secrets, "token_hex", lambda _: "0")
    (tmp_path / f".0.unfinished{path.suffix}").symlink_to("/dev/full")
    with pytest.raises(OSError, match=rf"{re.escape(str(path))} cannot be written \(.*\): make room") as caught:
        WRITERS[name](path)
    assert caught.value.errno == errno.ENOSPC
    assert [file.name for file in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept").read_bytes() == content


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full is Linux's")
def test_a_full_folder_of_tensorboard(tmp_path):
    """The folder is named, whether it was opened here or by the caller."""
    (tmp_path / "00000" / "encoder").mkdir(parents=True)
    (tmp_path / "00000" / "encoder" / "tensors.tsv").symlink_to("/dev/full")
    with pytest.raises(OSError, match=rf"{re.escape(str(tmp_path))} cannot be written \(No space left"):
        to_tensorboard(report(), tmp_path)
    with SummaryWriter(str(tmp_path)) as writer, pytest.raises(OSError, match="cannot be written"):
        to_tensorboard(report(), writer)


def test_a_state_on_a_full_disk(tmp_path, monkeypatch):
    """torch reports a full disk in its own way; the error is still the system's, and names the file."""

    def full(content, file):
        raise RuntimeError("enforce fail at inline_container.cc")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match=r"s\.pt cannot be written \(enforce fail at inline_container.cc\)") as caught:
        save_state({}, tmp_path / "s.pt", "test")
    assert caught.value.errno == errno.ENOSPC


def test_an_error_of_what_is_read_stays_its_own(tmp_path):
    """A missing source is not reported as a target that cannot be written."""
    with pytest.raises(FileNotFoundError, match="source") as caught:
        replace_file(tmp_path / "target", lambda unfinished: unfinished.write_bytes((tmp_path / "source").read_bytes()))
    assert caught.value.filename == str(tmp_path / "source")
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"file.inside cannot be written \(.*\): give another path"):
        replace_file(tmp_path / "file" / "inside", lambda unfinished: unfinished.write_text("a"))
    (tmp_path / "taken" / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match=r"taken cannot be written"):
        replace_file(tmp_path / "taken", lambda unfinished: unfinished.write_text("a"))
