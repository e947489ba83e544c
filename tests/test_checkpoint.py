"""Files that are replaced as a whole, and states whose damage is found."""

import errno
import multiprocessing
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces

from jepa_extractor import TransitionRing
from jepa_extractor.checkpoint import load_state, replace_file, require_sound_zip, save_state
from jepa_extractor.data import Step


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


STATES = {
    "ring": ring_state,
    "training": training_state,
    "plain": lambda: {"names": ["a", "b"], "share": np.float64(0.5)},
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


@pytest.mark.parametrize("name", STATES)
def test_no_damaged_file_loads_wrong(name, tmp_path):
    """200 damages: each is an error that names the file, or hits bytes of no meaning and changes nothing."""
    path = tmp_path / "state.pt"
    save_state(STATES[name](), path, "test")
    content, rng = path.read_bytes(), np.random.default_rng(0)
    whole = load_state(path, "test")
    refused = named = 0
    for _ in range(200):
        path.write_bytes(damage(content, rng))
        try:
            loaded = load_state(path, "test")
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
    with pytest.raises(ValueError, match=r"state\.pt is broken: the checksum"):
        require_sound_zip(path)


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
    require_sound_zip(path)
    with pytest.raises(ValueError, match=r"state\.pt is broken, or was not saved by this package"):
        load_state(path, "ring")
    path.write_text("no archive")
    for load in (lambda: load_state(path, "ring"), lambda: require_sound_zip(path)):
        with pytest.raises(ValueError, match=r"state\.pt is broken, or was not saved by this package"):
            load()


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
    (tmp_path / "taken" / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match=r"taken cannot be written"):
        replace_file(tmp_path / "taken", lambda unfinished: unfinished.write_text("a"))
