"""The last model whose parameters were finite."""

import warnings
from pathlib import Path

from stable_baselines3.common.base_class import BaseAlgorithm

from jepa_extractor.checkpoint import replace_file
from jepa_extractor.train.step import Gradient


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

    def require_finite(self, gradient: Gradient, model: BaseAlgorithm, updates: int) -> None:
        """Keep ``model`` and raise ``FloatingPointError`` if a loss of auxiliary update ``updates`` is not finite."""
        if gradient.is_finite():
            return
        self.keep(model)
        where = f"at auxiliary update {updates}, step {model.num_timesteps}: training stops"
        if self._folder is not None and (self._folder / "last_good.zip").exists():
            where += f"; the last good model is in {self._folder / 'last_good.zip'}"
        gradient.require_finite(where)
