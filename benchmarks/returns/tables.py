"""From numbers to tables: what ``summary.summarise`` returned, as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from results import markdown_table

from returns.cases import ARMS, REFERENCES, TASKS

OVERALL = ("tasks", "better", "not apart", "worse", "gains")


def tables(summary: Mapping[str, Any]) -> str:
    """Return a table over all tasks, one of published scores, and one for each task."""
    parts = [brief_table(summary)]
    if summary["published"]:
        parts.append(f"The best baselines beside published scores:\n\n{_published_table(summary['published'])}")
    parts += [f"{TASKS[task].title}:\n\n{_table(rows)}" for task, rows in summary["tasks"].items()]
    return "\n\n".join(parts)


def brief_table(summary: Mapping[str, Any]) -> str:
    """Return one table: for each algorithm and arm, on how many tasks it is better than the baseline of equal cost."""
    rows = [
        [f"{algorithm}, {ARMS[name].title}", *(str(of[key]) for key in OVERALL), interval(of["probability"])]
        for algorithm, arms in summary["algorithms"].items()
        for name, of in arms.items()
    ]
    return markdown_table(["", *OVERALL, "probability of improvement"], rows)


def _published_table(published: Mapping[str, Any]) -> str:
    rows = []
    for task, of in published.items():
        known = REFERENCES[task]
        title, end = ARMS[of["baseline"]].title, of["end"]
        reached = "yes" if end[2] >= known.score else "no"
        score = f"{known.score:.3g}"
        rows.append([TASKS[task].title, title, interval(end, 3), score, known.what, known.source, reached])
    header = ["", "best baseline", "at the end", "published", "of", "source", "reached"]
    return markdown_table(header, rows)


def _table(arms: Mapping[str, Any]) -> str:
    shifted = any("shifted" in of for of in arms.values())
    rows = []
    for name, of in arms.items():
        row = [ARMS[name].title, str(of["runs"]), interval(of["return"]), f"{of['end']:.2f}"]
        row += [f"{of['shifted']:.2f}"] if shifted else []
        row.append(f"{of['seconds']:.0f}")
        if "verdict" not in of:  # a baseline, or an arm that ran without one
            row += [""] * 4
        else:
            ratio = "" if of["ratio"] is None else f"{of['ratio']:.2f}"
            row += [ARMS[of["baseline"]].title, ratio, interval(of["probability"]), of["verdict"]]
        rows.append(row)
    header = ["", "runs", "return", "at the end", *(["with the distractor shifted"] if shifted else []), "seconds"]
    against = ["best baseline of equal cost", "ratio", "probability of improvement", "verdict"]
    return markdown_table([*header, *against], rows)


def interval(of: Sequence[float], decimals: int = 2) -> str:
    """Return an estimate and its interval as text: with ``decimals``, from a hundred on with none."""
    decimals = decimals if abs(of[0]) < 100 else 0
    value, low, high = (f"{number:.{decimals}f}" for number in of)
    return f"{value} [{low}, {high}]"
