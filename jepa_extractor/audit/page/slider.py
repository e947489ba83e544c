"""The moments of a training that a slider shows: where the same observations lay, and what was measured."""

from base64 import b64encode
from math import isfinite, nan
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jepa_extractor.audit.moments import Moment
from jepa_extractor.audit.page.curves import History
from jepa_extractor.audit.page.maps import axes_of
from jepa_extractor.audit.page.rows import Rows

STEPS = 65_535  # of a coordinate from the lowest to the highest
SHOWN = {  # by what the page calls them
    "collapse index": ("collapse_index", ".3f"),
    "observations hit": ("observations_hit", ".1%"),
    "effective rank": ("effective_rank", ".1f"),
    "prediction error": ("prediction_error_1", ".2f"),
    "pairs of classes kept": ("required_pairs_kept", ",.0f"),
}


class ShownMoment(NamedTuple):
    """A moment of a training.

    Attributes:
        steps: environment steps until then, in words.
        values: what was measured of ``SHOWN``, by its name there.
        data: what the script reads: ``places`` (uint16, all x and then all y, in base64), ``low`` and ``span`` of both
            axes, their names ``axes``, and ``text``.
    """

    steps: str
    values: dict[str, str]
    data: dict[str, Any]


def shown_moments(history: History, end: NDArray[np.float64], rows: Rows, most: int) -> list[ShownMoment]:
    """Return at most ``most`` moments of a training, the first and the last among them, that hold a plane.

    A component has no sign: each is turned so that it goes along with that of ``end``, the (N, 2) places of the report.
    Moments of another number of observations are left out.
    """
    known = [moment for moment in history if moment.plane is not None and moment.plane.places.shape == end.shape]
    chosen = np.unique(np.linspace(0, len(known) - 1, min(most, len(known))).round().astype(int))
    return [_shown(known[i], end, rows) for i in chosen]


def _shown(moment: Moment, end: NDArray[np.float64], rows: Rows) -> ShownMoment:
    assert moment.plane is not None
    signs = np.where(np.sum(moment.plane.places * (end - end.mean(axis=0)), axis=0) < 0, -1, 1)
    places = moment.plane.places[rows] * signs
    low, span = places.min(axis=0), np.maximum(np.ptp(places, axis=0), 1e-12)
    whole = np.round(STEPS * (places - low) / span).astype("<u2")
    values = {
        called: f"{moment.numbers[name]:{form}}"
        for called, (name, form) in SHOWN.items()
        if isfinite(moment.numbers.get(name, nan))
    }
    measured = ", ".join(f"{name} {value}" for name, value in values.items())
    steps = f"{moment.steps:,}"
    data = {
        "places": b64encode(whole.T.tobytes()).decode(),
        "low": low.tolist(),
        "span": span.tolist(),
        "axes": axes_of(moment.plane),
        "text": f"After {steps} steps: {measured}.",
    }
    return ShownMoment(steps, values, data)
