"""The ``info`` dictionaries of the single and the vector environment."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from counting_env.kernels import SHAPES, Outcomes, Rules, Scenes

Array = NDArray[Any]
Mask = NDArray[np.bool_]

SHAPE_NAMES = np.array([*SHAPES, ""], dtype=np.object_)  # "" for ABSENT; Gymnasium's check_env needs objects


def scene_info(scenes: Scenes, rules: Rules, is_success: bool) -> dict[str, Any]:
    """Return the ``info`` of the single environment, whose scene is the only one of ``scenes``."""
    look = slice(None) if rules.per_object else 0
    return {
        "count": scenes.counts.item(0),
        "shape": SHAPE_NAMES[scenes.shapes[0, look]],
        "color": scenes.colors[0, look].copy(),
        "positions": scenes.positions[0].copy(),
        "is_success": is_success,
        "state": scenes.states.item(0),
    }


class VectorInfos:
    """Makes the ``info`` dictionaries of n scenes: an array for each key, and its mask (n,) for ``"_" + key``.

    Args:
        scenes: the scenes whose state the infos show.
        outcomes: what the last step led to.
        rules: the options of the environment.
        copy: whether each dictionary has arrays of its own. ``False`` returns the same read-only arrays every time, so
            that nothing is allocated that grows with n.
    """

    def __init__(self, scenes: Scenes, outcomes: Outcomes, rules: Rules, copy: bool) -> None:
        n = len(scenes.counts)
        looks: Any = slice(None) if rules.per_object else (slice(None), 0)  # one for each object, or for each scene
        self._copy = copy
        self._shapes = scenes.shapes[looks]
        self._names = np.empty(self._shapes.shape, object)
        self._sources: dict[str, Array] = {
            "count": scenes.counts,
            "shape": self._names,
            "color": scenes.colors[looks],
            "positions": scenes.positions,
            "is_success": outcomes.successes,
            "state": scenes.states,
        }
        self._all = _infos(self._sources, np.ones(n, np.bool_))
        self._parts = {key: np.empty_like(array) for key, array in self._sources.items()}
        self._chosen, self._others = np.empty(n, np.bool_), np.empty(n, np.bool_)
        self._some = _infos(self._parts, self._chosen)

    def all(self) -> dict[str, Any]:
        """Return the infos of all scenes."""
        self._write_names()
        return self._own(self._all)

    def where(self, chosen: Mask) -> dict[str, Any]:
        """Return the infos of the scenes for which ``chosen`` (n,) is true, and for the others Gymnasium's blanks.

        A blank is 0, or ``None`` for a string.
        """
        self._write_names()
        np.copyto(self._chosen, chosen)
        np.logical_not(chosen, out=self._others)
        for key, array in self._parts.items():
            np.copyto(array, self._sources[key])
            blank = None if array.dtype == object and array.ndim == 1 else array.dtype.type(0)
            np.copyto(array, blank, where=self._others.reshape(-1, *[1] * (array.ndim - 1)))  # type: ignore[arg-type]
        return self._own(self._some)

    def _write_names(self) -> None:
        np.take(SHAPE_NAMES, self._shapes, out=self._names, mode="clip")  # other modes make a copy first

    def _own(self, infos: dict[str, Array]) -> dict[str, Any]:
        return {key: array.copy() for key, array in infos.items()} if self._copy else dict(infos)


def read_only(array: Array) -> Array:
    """Return a view of ``array`` that cannot be written to."""
    view = array.view()
    view.flags.writeable = False
    return view


def _infos(values: dict[str, Array], mask: Mask) -> dict[str, Array]:
    """Return read-only views of ``values`` and, for each, of the one ``mask``."""
    shown = {key: read_only(array) for key, array in values.items()}
    return shown | {f"_{key}": read_only(mask) for key in values}
