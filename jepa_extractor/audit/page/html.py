"""The page of an audit: one HTML file that fetches nothing."""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from bokeh.embed import json_item
from bokeh.resources import Resources
from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from numpy.typing import NDArray

from jepa_extractor.audit.audit_set import AuditSet
from jepa_extractor.audit.latents import Encoder
from jepa_extractor.audit.page.curves import History, curves_of, require_history
from jepa_extractor.audit.page.maps import clusters, colourings, map_of, others_near, planes
from jepa_extractor.audit.page.matrix import matrix_of
from jepa_extractor.audit.page.rows import Rows, class_members, groups, shown_rows
from jepa_extractor.audit.page.slider import shown_moments
from jepa_extractor.audit.pictures import Pictures, shown_numbers
from jepa_extractor.audit.prediction import rollouts_of
from jepa_extractor.audit.report import Fact, Pair, Report, require_reports
from jepa_extractor.audit.words import described, plain
from jepa_extractor.checkpoint import replace_file
from jepa_extractor.checks import require_mapping

PICTURE_BYTES = 10_000_000  # of all their pictures; the whole page stays below 15 MB
PAIRS = 12
MOMENTS = 60  # of all trainings, of 27 KB each where 5,000 observations are shown

_TEMPLATES = Environment(loader=PackageLoader("jepa_extractor.audit.page", ""), autoescape=True, trim_blocks=True)
_TEMPLATES.filters["as_json"] = lambda value: Markup(
    json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
)


def write_page(
    reports: Sequence[Report],
    path: str | Path,
    encoders: Mapping[str, Encoder] | None = None,
    histories: Mapping[str, History] | None = None,
    facts: Mapping[str, str] | None = None,
) -> None:
    """Write the page of one or more audits of the same ``AuditSet``, models side by side.

    It is one HTML file of at most 15 MB, written whole or not at all, that fetches nothing. Up to 5,000 observations
    are in its map, drawn at random if there are more; all other numbers are of all observations. Where ``umap`` is
    installed, there is a second map. It needs ``bokeh`` and ``pillow``, of the extra ``report``.

    Args:
        reports: at least one, each with a name of its own.
        path: of the file.
        encoders: audited encoders; each key is the name of the encoder's report. If an encoder is or holds a ``JEPA``,
            the page shows what its latent transition predicts.
        histories: the ``AuditCallback.history`` of trainings; each key is a name for the training. The page then shows
            each measure over the training. Where the name is that of a report, and both are of the same observations, a
            slider shows the map and the numbers of each moment, of up to 60 in all.
        facts: what stands at its head by name, such as the steps of the training or the command; the date and the
            versions of the packages are there without.

    Raises:
        ValueError: there is no report, one is no ``Report``, two have the same name or are of different sets, or an
            encoder belongs to no report or has latents of another width.
        OSError: ``path`` cannot be written.
    """
    encoders = {} if encoders is None else encoders
    histories = {} if histories is None else histories
    facts = {} if facts is None else facts
    for name, mapping in (("encoders", encoders), ("histories", histories), ("facts", facts)):
        require_mapping(name, mapping)
    for name, history in histories.items():
        require_history(f"histories[{name!r}]", history)
    page = _page(_checked(reports, encoders), encoders, histories, facts)
    replace_file(path, lambda unfinished: unfinished.write_text(page, encoding="utf-8"))


def _checked(reports: Sequence[Report], encoders: Mapping[str, Encoder]) -> list[Report]:
    require_reports(reports)
    given = list(reports)
    names = [report.name for report in given]
    if len(set(names)) < len(names):
        raise ValueError(f"reports has the names {names}: give each a name of its own, audit(..., name=...)")
    if unknown := sorted(encoders.keys() - set(names)):
        raise ValueError(f"encoders has the names {unknown}, and the reports {names}: give the name of a report")
    for report in given[1:]:
        if not _alike(given[0].audit_set, report.audit_set):
            raise ValueError(f"reports {names[0]!r} and {report.name!r} are of different audit sets: use one for both")
    return given


def _alike(one: AuditSet, other: AuditSet) -> bool:
    """Return whether two sets, perhaps loaded twice, are the same."""
    if one is other:
        return True
    arrays: list[tuple[NDArray[Any], NDArray[Any]]] = [
        (one.episodes, other.episodes),
        (one.steps, other.steps),
        (np.nan_to_num(one.rewards), np.nan_to_num(other.rewards)),
    ]
    same = all(np.array_equal(left, right) for left, right in arrays)
    return same and (one.env, one.coverage()) == (other.env, other.coverage())


def _head(reports: list[Report], histories: Mapping[str, History], facts: Mapping[str, str]) -> dict[str, str]:
    """Return what stands at the head of the page by name."""
    used = ("counting-jepa", "torch", "numpy", "gymnasium")
    steps = {name: history[-1].steps for name, history in histories.items() if history}
    trained = ", ".join(f"{name} {count:,}" for name, count in steps.items())
    return {
        "Models": ", ".join(report.name for report in reports),
        **({"Steps of the training": trained} if trained else {}),
        "Date": date.today().isoformat(),
        **facts,
        "Versions": ", ".join(f"{name} {version(name)}" for name in used),
    }


def _page(
    reports: list[Report], encoders: Mapping[str, Encoder], histories: Mapping[str, History], facts: Mapping[str, str]
) -> str:
    first = reports[0]
    data = first.audit_set
    count = len(first.latents)
    rows = shown_rows(count)
    pictures = Pictures(data.observations)
    texts = [described(data, int(row)) for row in rows]
    found = [clusters(report.latents) for report in reports]
    ways = colourings(reports, found, rows)
    most = MOMENTS // len(reports)
    models = [
        _model(report, i, rows, pictures, texts, found[i], ways, encoders, histories.get(report.name, ()), most)
        for i, report in enumerate(reports)
    ]
    curves = curves_of(histories)
    shown = [model.pop("data") for model in models]
    content = {
        "models": shown,
        "curves": [json_item(curve.plot) for curve in curves],
        "texts": texts,
        "episodes": data.episodes[rows].tolist(),
        "steps": data.steps[rows].tolist(),
        "images": pictures.thumbnails(rows, PICTURE_BYTES) if pictures.can_draw else None,
        "numbers": None if pictures.can_draw else [pictures.numbers(int(row)) for row in rows],
    }
    page: str = _TEMPLATES.get_template("page.html").render(
        env=data.env or "an environment",
        observations=count,
        episodes=len(np.unique(data.episodes)),
        shown=len(rows),
        coverage=data.coverage(),
        models=models,
        facts=fact_rows(reports),
        head=_head(reports, histories, facts),
        planes=list(shown[0]["maps"]),
        classes=shown[0]["classes"] or [],
        ways=ways,
        curves=curves,
        content=content,
        bokeh=Markup(Resources(mode="inline", components=["bokeh"]).render_js()),
        style=Markup((Path(__file__).parent / "style.css").read_text()),
        script=Markup((Path(__file__).parent / "script.js").read_text()),
    )
    return page


def fact_rows(reports: Sequence[Report]) -> list[list[Fact | None]]:
    """Return a row for each fact, of each report the one of that name, or ``None``."""
    found = [{fact.name: fact for fact in report.facts()} for report in reports]
    names = dict.fromkeys(name for facts in sorted(found, key=len, reverse=True) for name in facts)
    return [[facts.get(name) for facts in found] for name in names]


def _model(
    report: Report,
    number: int,
    rows: Rows,
    pictures: Pictures,
    texts: list[str],
    found: Rows,
    ways: list[Any],
    encoders: Mapping[str, Encoder],
    history: History,
    most: int,
) -> dict[str, Any]:
    """Return what the page says of one model, with at most ``most`` moments of its training."""
    data = report.audit_set
    near = others_near(report, rows)
    left = np.repeat(np.arange(len(rows)), near.shape[1])
    apart = report.audit_set.apart(rows[left], rows[near.ravel()]).reshape(near.shape)
    if report.classes is None:
        members = found
        names = [f"cluster {i}" for i in range(int(members.max()) + 1)]
    else:
        members, names = class_members(report), [plain(name) for name in report.classes.classes.tolist()]
    colours = [way.colours[number] for way in ways]
    drawn = planes(report.latents)
    maps = {
        name: json_item(map_of((places[rows], axes), colours, texts, pictures.can_draw))
        for name, (places, axes) in drawn.items()
    }
    moments = shown_moments(history, drawn["PCA"][0], rows, most)
    imagined = rollouts_of(encoders[report.name], report.latents, data) if report.name in encoders else []
    return {
        "report": report,
        "moments": moments,
        "pairs": [_pair(report, pictures, pair) for pair in report.worst_pairs[:PAIRS]],
        "groups": list(groups(report, members, names)),
        "matrix": None if report.classes is None else matrix_of(report.classes),
        "rollouts": [
            {
                "start": described(data, rollout.frames[0]),
                "first": _seen(report, pictures, rollout.frames[0]),
                "steps": [
                    (action, _seen(report, pictures, frame), _seen(report, pictures, nearest), error)
                    for action, frame, nearest, error in zip(
                        _actions(data, rollout.frames),
                        rollout.frames[1:],
                        rollout.imagined,
                        rollout.errors,
                        strict=True,
                    )
                ],
            }
            for rollout in imagined
        ],
        "data": {
            "name": report.name,
            "maps": maps,
            "neighbours": near.tolist(),
            "apart": apart.astype(int).tolist(),
            "classes": None if report.classes is None else names,
            "members": None if report.classes is None else members[rows].tolist(),
            "moments": [moment.data for moment in moments],
        },
    }


def _pair(report: Report, pictures: Pictures, pair: Pair) -> dict[str, Any]:
    return {
        "left": _seen(report, pictures, pair.left),
        "right": _seen(report, pictures, pair.right),
        "distance": f"{pair.distance:.3f}",
        "why": pair.why,
    }


def _seen(report: Report, pictures: Pictures, row: int) -> dict[str, str | None]:
    """Return how observation ``row`` is shown: a picture or numbers, and where it comes from."""
    drawn = pictures.large(row) if pictures.can_draw else None
    numbers = None if drawn else pictures.numbers(row)
    return {"image": drawn, "numbers": numbers, "text": described(report.audit_set, row)}


def _actions(data: AuditSet, frames: Sequence[int]) -> list[str]:
    """Return the names of the actions by which each of ``frames`` but the first was reached."""
    taken = data.actions[np.asarray(frames[:-1])]
    return [data.action_names[action] if data.action_names else shown_numbers(action) for action in taken]
