"""Recordings: what the file holds, where it lies, and what the window says of it."""

import re
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from counting_env import play
from counting_env.viewer import recording
from counting_env.viewer.canvas import VERMILLION

pytest.importorskip("pygame")
Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def clock(monkeypatch):
    """The recording's clock, in seconds, as a list of one number."""
    now = [0.0]
    monkeypatch.setattr(recording, "monotonic", lambda: now[0])
    return now


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def frames(path):
    """Return the pictures (n, H, W, 3) and the milliseconds of each."""
    with Image.open(path) as gif:
        pictures, times = [], []
        for number in range(gif.n_frames):
            gif.seek(number)
            pictures.append(np.asarray(gif.convert("RGB")))
            times.append(gif.info["duration"])
        assert gif.info["loop"] == 0
    return np.stack(pictures), times


def test_one_key_records_to_a_gif(start, press, shows, screen, folder, clock):
    """G begins and ends it: a frame for each change of the window, as long as it was seen."""
    viewer = start()
    press(viewer, "g")
    assert shows("Recording. G ends it.")
    assert VERMILLION in {tuple(screen.display.get_surface().get_at((x, 44)))[:3] for x in range(560, 600)}
    seen = [screen.surfarray.array3d(viewer.canvas.surface).swapaxes(0, 1)]
    for seconds, key in ((2.0, "LEFT"), (0.5, "RIGHT")):
        clock[0] += seconds
        press(viewer, key)
        seen.append(screen.surfarray.array3d(viewer.canvas.surface).swapaxes(0, 1))
    clock[0] += 60
    press(viewer, "g")
    (path,) = folder.iterdir()
    assert re.fullmatch(r"counting-\d{8}-\d{6}\.gif", path.name)
    assert shows("Saved")
    assert shows(path.name)
    assert not shows("Recording. G ends it.")
    pictures, times = frames(path)
    assert times == [2000, 500, 5000]
    assert pictures.shape == (3, 360, 640, 3)
    for picture, window in zip(pictures, seen, strict=True):
        window[:90, 560:910] = (17, 19, 25)  # the sign of recording is not recorded
        halved = window.reshape(360, 2, 640, 2, 3).mean((1, 3))
        assert np.abs(picture - halved).mean() < 2


def test_a_still_window_takes_no_frames(start, press, screen, folder, clock):
    """The loop draws again and again; only changes count."""
    viewer = start()
    press(viewer, "g")
    for _ in range(50):
        clock[0] += 0.02
        viewer.draw()
    press(viewer, "LEFT", "g")
    (path,) = folder.iterdir()
    _, times = frames(path)
    assert times == [1000]  # "LEFT" and "g" came between two drawings


def test_a_file_is_never_overwritten(start, press, folder, monkeypatch):
    """Two recordings within a second have two names."""

    class Noon(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 5, 4, 12, 0, 0)

    monkeypatch.setattr(recording, "datetime", Noon)
    viewer = start()
    for _ in range(3):
        press(viewer, "g")
        press(viewer, "g")
    names = ["counting-20260504-120000-2.gif", "counting-20260504-120000-3.gif", "counting-20260504-120000.gif"]
    assert sorted(path.name for path in folder.iterdir()) == names


def test_leaving_writes_what_there_is(screen, folder, capsys):
    """The name of the file is printed, since the window is gone."""
    screen.display.init()
    for key in (screen.K_g, screen.K_q):
        screen.event.post(screen.event.Event(screen.KEYDOWN, key=key))
    assert play.main(["--seed", "0"]) == 0
    (path,) = folder.iterdir()
    assert capsys.readouterr().out == f"Saved {path.name}\n"
    assert len(frames(path)[0]) == 1


def test_a_recording_ends_by_itself(start, press, folder, monkeypatch):
    """After the most frames that it takes it is written, and the game goes on."""
    monkeypatch.setattr(recording, "MOST", 3)
    viewer = start(max_episode_steps=9, target=0)
    press(viewer, "g")
    for key in ("RIGHT", "LEFT", "LEFT", "LEFT"):
        press(viewer, key)
    assert viewer.recording is None
    (path,) = folder.iterdir()
    assert len(frames(path)[0]) == 3
    assert viewer.game.info["count"] == 5


def test_a_folder_that_takes_no_file(start, press, shows, folder, monkeypatch):
    """The window says so, and the game goes on."""

    def refuse(path, mode):
        raise PermissionError(13, "Permission denied", str(path))

    viewer = start()
    press(viewer, "g")
    monkeypatch.setattr(Path, "open", refuse)
    press(viewer, "g", "LEFT")
    assert shows("The recording is lost:")
    assert shows("Permission denied")
    assert (viewer.recording, viewer.game.info["count"]) == (None, 6)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full is Linux's")
def test_a_full_disk(start, press, shows, folder, monkeypatch):
    """No half recording is left, and the game goes on."""
    viewer, real = start(), Path.open

    def on_full_disk(path, mode):
        real(path, mode).close()
        return real(Path("/dev/full"), "wb")

    press(viewer, "g")
    monkeypatch.setattr(Path, "open", on_full_disk)
    press(viewer, "g", "LEFT")
    assert shows("The recording is lost:")
    assert not list(folder.iterdir())
    assert (viewer.recording, viewer.game.info["count"]) == (None, 6)


def test_without_pillow(start, press, shows, folder, monkeypatch):
    """G says what to install, and nothing is recorded."""
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    viewer = start()
    press(viewer, "g", "LEFT")
    assert shows("A recording needs Pillow: pip")
    assert shows('install "counting-jepa[play]"')
    assert (viewer.recording, viewer.game.info["count"]) == (None, 6)
    assert not list(folder.iterdir())
