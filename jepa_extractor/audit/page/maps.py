"""The map of latents: a plane in which each point is an observation."""

import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool, Scatter
from bokeh.palettes import Viridis256
from bokeh.plotting import figure
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from jepa_extractor.audit.moments import WIDE, Plane, pca_plane
from jepa_extractor.audit.neighbours import nearest
from jepa_extractor.audit.page.rows import Rows, class_members, returns
from jepa_extractor.audit.pictures import OKABE_ITO
from jepa_extractor.audit.report import Report
from jepa_extractor.audit.words import plain

NAMED = 12  # most values whose colours a legend names one by one
NEIGHBOURS = 5
UNKNOWN = OKABE_ITO[-1]

Places = NDArray[np.float64]
HOVER = """<div class="hover">{picture}<div>@text</div></div>"""
HOVER_STYLE = """<style>.hover {width: 200px; font: 14px/1.4 system-ui, sans-serif}
.hover img {width: 128px; height: 128px; object-fit: contain; image-rendering: pixelated; background: #0002}
.bk-tooltip-row-label {display: none}</style>"""


class Colouring(NamedTuple):
    """One way to colour the points.

    Attributes:
        name: as the page calls it.
        colours: of each model's points, n colours #rrggbb each.
        legend: colours and what they stand for; where ``is_scale``, first the two ends of the scale.
        is_scale: whether colours between those of the legend stand for values between.
    """

    name: str
    colours: list[list[str]]
    legend: list[tuple[str, str]]
    is_scale: bool


def planes(latents: NDArray[np.floating[Any]]) -> dict[str, tuple[Places, tuple[str, str]]]:
    """Return planes by name: places (N, 2) of latents (N, D), and the names of both axes."""
    plane = pca_plane(latents)
    found = {"PCA": (plane.places, axes_of(plane))}
    if find_spec("umap") is not None:
        import umap  # where the user has installed it

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            placed = np.asarray(umap.UMAP(random_state=0).fit_transform(latents), np.float64)
        found["UMAP"] = (placed, ("first UMAP coordinate", "second UMAP coordinate"))
    return found


def axes_of(plane: Plane) -> tuple[str, str]:
    """Return the names of both axes of a plane."""
    first, second = (f"{share:.0%} of variance" for share in plane.shares)
    return f"first component, {first}", f"second component, {second}"


def clusters(latents: NDArray[np.floating[Any]], seed: int = 0) -> Rows:
    """Return the cluster of each latent (N, D), (N,): by k-means, up to eight."""
    if min(latents.shape) > WIDE or latents.shape[1] > 10 * WIDE:
        latents = PCA(32, svd_solver="randomized", random_state=seed).fit_transform(latents)
    count = min(len(OKABE_ITO), len(np.unique(latents, axis=0)))
    found: Rows = KMeans(count, n_init=2, random_state=seed).fit_predict(latents).astype(np.int64)
    return found


def others_near(report: Report, rows: Rows, count: int = NEIGHBOURS) -> Rows:
    """Return the nearest others of each of ``rows`` (n,), the nearest first, places in ``rows``, (n, count) or fewer.

    An observation that is the same in every number is not another, and of several that are the same one is given.
    """
    _, first, group = np.unique(report.audit_set.contents[rows], return_index=True, return_inverse=True)
    near, _ = nearest(report.latents[rows[first]], count, np.random.default_rng(0))
    found: Rows = first[near][group.reshape(-1)]
    return found


def colourings(reports: Sequence[Report], found: Sequence[Rows], rows: Rows) -> list[Colouring]:
    """Return the ways to colour the observations ``rows`` of each report, the usual one first.

    ``found`` are the ``clusters`` of each report's latents, (N,).
    """
    first = reports[0]
    data = first.audit_set
    alike = {}
    if first.classes is not None:
        members = class_members(first)
        alike["class"] = np.where(members < 0, np.nan, first.classes.classes[members])
    alike |= {name: values for name, values in data.labels.items() if name not in alike}
    alike |= {"return": returns(first), "time (step of the episode)": data.steps}
    ways = [_by_value(name, values[rows], len(reports)) for name, values in alike.items()]
    most = max(0.01, *(float(np.nan_to_num(report.hits[rows]).max()) for report in reports))
    hits = Colouring(
        "neighbours that must be apart",
        [_scaled(report.hits[rows], 0.0, most) for report in reports],
        [
            (Viridis256[0], "none"),
            (Viridis256[-1], f"{most:.0%} of them"),
            (UNKNOWN, "no neighbours near, or not looked at"),
        ],
        is_scale=True,
    )
    ways.insert(1 if first.classes is not None else 0, hits)
    return [
        *ways,
        Colouring(
            "cluster (k-means)",
            [[OKABE_ITO[i] for i in members[rows]] for members in found],
            [(OKABE_ITO[i], str(i)) for i in range(1 + max(int(members.max()) for members in found))],
            is_scale=False,
        ),
    ]


def map_of(
    plane: tuple[Places, tuple[str, str]], colours: Sequence[list[str]], texts: list[str], has_pictures: bool
) -> figure:
    """Return the map of one model: n points in ``plane``, with a column of colours for each colouring.

    The page adds the column ``image`` to the data source named "points".
    """
    places, axes = plane
    columns = {f"colour{i}": column for i, column in enumerate(colours)}
    source = ColumnDataSource({"x": places[:, 0], "y": places[:, 1], "text": texts, **columns}, name="points")
    plot = figure(
        height=380,
        sizing_mode="stretch_width",
        tools="pan,box_select,lasso_select,wheel_zoom,box_zoom,reset,tap",
        active_drag=None,
        toolbar_location="above",
        x_axis_label=axes[0],
        y_axis_label=axes[1],
    )
    plot.toolbar.logo = None
    points = plot.scatter(
        "x",
        "y",
        source=source,
        size=7,
        fill_color="colour0",
        line_color="#80808080",
        line_width=0.5,
        nonselection_alpha=0.25,
        nonselection_fill_color="colour0",
        selection_fill_color="colour0",
    )
    assert isinstance(points.selection_glyph, Scatter)
    points.selection_glyph.update(line_color="#d55e00", line_width=2, line_alpha=1, size=9)
    picture = '<img src="@image" alt="">' if has_pictures else ""
    plot.add_tools(HoverTool(renderers=[points], tooltips=HOVER_STYLE + HOVER.format(picture=picture), limit=1))
    return plot


def _by_value(name: str, values: NDArray[Any], models: int) -> Colouring:
    """Return a colouring by values (n,), numbers or names, the same for all models."""
    known = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    unique = np.unique(known)
    if len(unique) <= NAMED or values.dtype.kind not in "fiub":
        palette = [Viridis256[i] for i in np.linspace(0, 255, max(len(unique), 2)).round().astype(int)]
        colour_of = dict(zip(unique.tolist(), palette, strict=False))
        colours = [colour_of.get(value, UNKNOWN) for value in values.tolist()]
        legend = [(colour, plain(value)) for value, colour in colour_of.items()][: 4 * NAMED]
        return Colouring(name, [colours] * models, legend, is_scale=False)
    low, high = float(unique[0]), float(unique[-1])
    legend = [(Viridis256[0], plain(low)), (Viridis256[-1], plain(high))]
    return Colouring(name, [_scaled(values, low, high)] * models, legend, is_scale=True)


def _scaled(values: NDArray[Any], low: float, high: float) -> list[str]:
    """Return viridis from ``low`` to ``high``, and grey where the value is not known."""
    places = np.nan_to_num((np.asarray(values, np.float64) - low) / max(high - low, 1e-12), nan=-1)
    return [Viridis256[int(255 * min(place, 1.0))] if place >= 0 else UNKNOWN for place in places]
