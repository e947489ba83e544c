"""Measures over a training, as an ``AuditCallback`` recorded them."""

from collections.abc import Mapping, Sequence
from math import isfinite, nan
from typing import Any, NamedTuple, cast

from bokeh.core.enums import DashPatternType
from bokeh.models import Range1d
from bokeh.models.annotations import Legend
from bokeh.models.renderers import GlyphRenderer
from bokeh.plotting import figure

from jepa_extractor.audit.moments import Moment
from jepa_extractor.audit.pictures import OKABE_ITO
from jepa_extractor.checks import Number, require_mapping, require_sequence, require_type, shown

History = Sequence[Moment]
DASHES: tuple[DashPatternType, ...] = (
    "solid",
    "dashed",
    "dotted",
    "dotdash",
)  # so that curves differ in more than their colour


class Curve(NamedTuple):
    """A measure over the training of one or more models.

    Attributes:
        measure: its name.
        plot: the figure.
        table: rows of environment steps and a value for each model.
        models: names of the columns.
    """

    measure: str
    plot: figure
    table: list[tuple[int, list[str]]]
    models: list[str]


def require_history(name: str, history: object) -> None:
    """Raise ``ValueError`` unless ``history`` holds moments of a training."""
    require_sequence(name, history, "AuditCallback.history")
    for moment in cast(Sequence[object], history):
        require_type(name, moment, Moment, "give AuditCallback.history")
        require_mapping(f"{name}.numbers", cast(Moment, moment).numbers)
        for measure, number in cast(Moment, moment).numbers.items():
            if not isinstance(number, Number):
                raise ValueError(f"{name} has {measure}={shown(number)}: give a number")


def curves_of(histories: Mapping[str, History]) -> list[Curve]:
    """Return the curve of each measure that changes, of all models that have it; interval ends are left out."""
    measures = dict.fromkeys(name for history in histories.values() for moment in history for name in moment.numbers)
    looks = {
        model: (OKABE_ITO[i % len(OKABE_ITO)], DASHES[i % len(DASHES)]) for i, model in enumerate(histories)
    }  # the same in every plot
    curves = []
    for measure in measures:
        values = {
            model: {at.steps: float(at.numbers[measure]) for at in history if isfinite(at.numbers.get(measure, nan))}
            for model, history in histories.items()
        }
        values = {model: points for model, points in values.items() if points}
        changes = len({value for points in values.values() for value in points.values()}) > 1
        if changes and not measure.endswith(("_low", "_high")):
            curves.append(_curve(_words(measure), values, looks))
    return curves


def _curve(
    measure: str, values: Mapping[str, Mapping[int, float]], looks: Mapping[str, tuple[str, DashPatternType]]
) -> Curve:
    """Return the curve of the values by environment step of each model."""
    plot = figure(
        height=220,
        sizing_mode="stretch_width",
        tools="",
        x_axis_label="environment steps",
        y_axis_label=measure,
    )
    plot.toolbar.logo = None
    plot.toolbar_location = None
    named: list[tuple[str, list[GlyphRenderer[Any]]]] = []
    for model, points in values.items():
        colour, dash = looks[model]
        steps, measured = list(points), list(points.values())
        line = plot.line(steps, measured, line_color=colour, line_width=2, line_dash=dash)
        plot.scatter(steps, measured, size=6, color=colour)
        named.append((model, [line]))
    if len(looks) > 1:
        plot.add_layout(Legend(items=named, orientation="horizontal", spacing=20), "above")
    known = [value for points in values.values() for value in points.values()]
    low, high = min(0.0, *known), max(0.0, *known)
    margin = 0.05 * max(high - low, 1e-6)
    plot.y_range = Range1d(start=low - margin * (low < 0), end=high + margin)
    every = sorted({step for points in values.values() for step in points})
    table = [(step, [f"{points[step]:.3f}" if step in points else "" for points in values.values()]) for step in every]
    return Curve(measure, plot, table, list(values))


def _words(measure: str) -> str:
    words = measure.replace("_", " ")
    ahead = words.removeprefix("prediction error ")
    return words if ahead == words else f"prediction error, {ahead} step{'s' * (ahead != '1')} ahead"
