"""Files that are replaced as a whole, and saved states that are checked when they are loaded."""

import errno
import os
import secrets
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from jepa_extractor.checks import as_path

FORMAT = "jepa_extractor state 3"


def save_state(state: dict[str, Any], path: str | Path, kind: str) -> None:
    """Save a dict of arrays, tensors and plain values at ``path``; see ``replace_file``.

    ``kind`` names what the state belongs to; ``load_state`` must be given the same one.

    Raises:
        ValueError: ``path`` is no path.
        OSError: ``path`` cannot be written, or its disk is full.
    """
    content = {"format": FORMAT, "kind": kind, **_map_leaves(_without_numpy, state)}
    try:
        replace_file(path, lambda unfinished: torch.save(content, unfinished))
    except RuntimeError as error:  # this is how torch reports a full disk
        raise OSError(errno.ENOSPC, f"{path} cannot be written ({error}): make room, or give another path") from error


def load_state(path: str | Path, kind: str) -> dict[str, Any]:
    """Return what ``save_state`` saved at ``path``, on the CPU.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is broken, was not written by ``save_state``, or holds a state of another kind.
    """
    path = as_path("path", path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no saved state at {path}")
    with path.open("rb") as file:
        require_sound_zip(file, path)
        file.seek(0)
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # unpickling a file of unknown origin can raise anything
            raise ValueError(f"{path} is broken, or was not saved by this package") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(f"{path} was not saved by this package")
    if state.get("kind") != kind:
        raise ValueError(f"{path} holds a {state.get('kind')}, not a {kind}: give another file")
    return state


def require_sound_zip(file: IO[bytes], path: Path) -> None:
    """Raise ``ValueError`` unless each part of a zip archive has its checksum, which torch does not look at.

    Args:
        file: the archive, open for reading; it is read to its end.
        path: what the message calls it.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
    except Exception as error:  # a broken archive can raise anything
        raise ValueError(f"{path} is broken, or was not saved by this package") from error
    if damaged is not None:
        raise ValueError(f"{path} is broken: the checksum of its part {damaged!r} is another; give a sound copy")


def _without_numpy(leaf: Any) -> Any:
    """Return ``leaf`` as a tensor or a plain value, which torch loads without running code."""
    if isinstance(leaf, np.ndarray):
        return torch.from_numpy(leaf)
    return leaf.item() if isinstance(leaf, np.generic) else leaf


def _map_leaves(change: Callable[[Any], Any], tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _map_leaves(change, value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_map_leaves(change, value) for value in tree]
    return change(tree)


def replace_file(path: str | Path, write: Callable[[Path], object]) -> None:
    """Call ``write`` with the path of a temporary file in the same folder, then move that file to ``path``.

    ``path`` holds a whole file at any time, the old one or a new one, also after an interrupt (a signal, a full disk)
    and while several processes write it: the last to finish wins. The temporary file has the suffix of ``path``; it is
    removed, unless the process is killed.

    Raises:
        ValueError: ``path`` is no path.
        OSError: ``path`` cannot be written, or its disk is full; the message names it.
    """
    path = as_path("path", path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(error.errno, f"{path} cannot be written ({error}): give another path") from error
    unfinished = path.with_name(f".{secrets.token_hex(8)}.unfinished{path.suffix}")  # another name for each writer
    try:
        write(unfinished)
        os.replace(unfinished, path)
    except OSError as error:
        if error.filename not in (None, str(unfinished)):  # what ``write`` read
            raise
        reason, number = error.strerror or error, error.errno or errno.EIO
        raise OSError(number, f"{path} cannot be written ({reason}): make room, or give another path") from error
    finally:
        unfinished.unlink(missing_ok=True)
