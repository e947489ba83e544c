"""Saving without losing what was saved before."""

import os
from pathlib import Path

from stable_baselines3.common.base_class import BaseAlgorithm


def save_model(model: BaseAlgorithm, path: Path) -> None:
    """Save ``model`` at ``path`` as Stable-Baselines3 does, in one move.

    Whatever interrupts it (a signal, a full disk), ``path`` holds the old file or the new one, whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.stem}.unfinished.zip")
    try:
        model.save(unfinished)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
