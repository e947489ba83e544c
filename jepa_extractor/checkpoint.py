"""Files that are replaced as a whole, and saved states that are checked when they are loaded."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

FORMAT = "jepa_extractor state 3"


def save_state(state: dict[str, Any], path: Path, kind: str) -> None:
    """Save a dict of arrays, tensors and plain values at ``path``; see ``replace_file``.

    ``kind`` names what the state belongs to; ``load_state`` must be given the same one.

    Raises:
        OSError: ``path`` cannot be written, or its disk is full.
    """
    content = {"format": FORMAT, "kind": kind, **_map_leaves(_without_numpy, state)}
    try:
        replace_file(path, lambda unfinished: torch.save(content, unfinished))
    except RuntimeError as error:  # this is how torch reports a full disk
        raise OSError(f"{path} cannot be written: make room, or give another ({error})") from error


def load_state(path: Path, kind: str) -> dict[str, Any]:
    """Return what ``save_state`` saved at ``path``, on the CPU.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is broken, was not written by ``save_state``, or holds a state of another kind.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no saved state at {path}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling a broken file can raise anything
        raise ValueError(f"{path} is broken, or was not saved by this package") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(f"{path} was not saved by this package")
    if state["kind"] != kind:
        raise ValueError(f"{path} holds a {state['kind']}, not a {kind}: give another file")
    return state


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


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Call ``write`` with the path of a temporary file, then move that file to ``path``.

    After an interrupt (a signal, a full disk), ``path`` holds the whole old file or the whole new one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.stem}.unfinished{path.suffix}")
    try:
        write(unfinished)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
