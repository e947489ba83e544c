"""The last model whose parameters were finite."""

import warnings
from pathlib import Path

from stable_baselines3.common.base_class import BaseAlgorithm

from jepa_extractor.checkpoint import replace_file


class LastGood:
    """Keeps ``last_good.zip`` in a folder.

    Args:
        folder: the folder; it is made when the first model is kept. ``None``: nothing is kept.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._warned = False

    def keep(self, model: BaseAlgorithm) -> None:
        """Save ``model`` unless a parameter is no longer finite.

        If the disk is full or the folder cannot be written, the earlier file stays, and a warning is given once.
        """
        if self._folder is None or not all(bool(p.isfinite().all()) for p in model.policy.parameters()):
            return
        try:
            replace_file(self._folder / "last_good.zip", model.save)
        except OSError as error:
            if not self._warned:
                warnings.warn(f"checkpoint_dir={str(self._folder)!r} cannot be written ({error})", stacklevel=2)
            self._warned = True

    def where(self) -> str:
        """Return the end of a sentence that says where the last good model is, or nothing if there is none."""
        if self._folder is None or not (self._folder / "last_good.zip").exists():
            return ""
        return f"; the last good model is in {self._folder / 'last_good.zip'}"
