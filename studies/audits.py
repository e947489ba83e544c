"""What do audits find on five examples? The code of docs/audit.md, as it stands there, and what its audits found.

The picture is one of the first page, where Selenium and a Chromium with its driver are installed. It takes about ten
minutes.
"""

import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from jepa_extractor.audit import Report
from studies.facts import DOCS, Facts, Results
from studies.markdown import interval_text, markdown_table

CONFIGURATIONS: dict[str, dict[str, Any]] = {"page": {}}
SEEDS = (0,)
TABLES = {
    "collapsed": ("counts_to_6", "counts_to_8"),
    "ppo": ("nature", "jepa"),
    "cartpole": ("only_cart", "all_pixels"),
    "lake": ("lake_pooled", "lake_nature"),
    "breakout": ("no_trail", "whole_board"),
}


def run(configuration: dict[str, Any], seed: int, folder: Path) -> dict[str, Any]:  # noqa: ARG001  # a study's signature
    """Run the page's code, and return its reports and what it found ``wrong``."""
    blocks = re.findall(r"^```python\n(.*?)^```", (DOCS / "audit.md").read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile("\n".join(blocks), "docs/audit.md", "exec"), names)
    reports = {name: found(value) for name, value in names.items() if isinstance(value, Report)}
    return {"reports": reports, "wrong": names["wrong"]}


def gathered(results: Results) -> Facts:
    """Return what the page found."""
    return {"results": results["page"]["0"]}


def found(report: Report) -> dict[str, Any]:
    """Return what is to be written of one audit."""
    numbers = {name: value if np.isfinite(value) else None for name, value in report.numbers().items()}
    groups = None if report.classes is None else report.classes.groups(~report.classes.kept)
    if groups is not None:
        numbers |= {"classes_kept": len(groups), "classes_required": sum(map(len, groups))}
    reasons = [pair.why for pair in report.worst_pairs[:3]]
    return {"name": report.name, "numbers": numbers, "groups": groups, "reasons": reasons}


def table(facts: Facts) -> str:
    """Return all tables."""
    return "\n\n".join(show(facts) for show in SHOWN.values())


def of_encoders(facts: Facts, key: str) -> str:
    """Return a row for each report of one of ``TABLES``."""
    known = [facts["results"]["reports"][name] for name in TABLES[key]]
    of_classes = any(report["groups"] for report in known)
    rows = []
    for report in known:
        numbers = report["numbers"]
        index = [numbers[f"collapse_index{end}"] for end in ("", "_low", "_high")]
        classes = [f"{numbers['classes_kept']} of {numbers['classes_required']}"] if of_classes else []
        shown = f"{index[0]:.3f}" if index[1] is None else interval_text(index, ".3f")
        hit = f"{numbers['observations_hit']:.1%}"
        rows.append([report["name"], shown, hit, *classes, (report["reasons"] or [""])[0]])
    header = ["encoder", "collapse index", "observations hit", *of_classes * ["classes kept"], "first reason"]
    return markdown_table(header, rows, left=(0, len(header) - 1))


def of_goals(facts: Facts) -> str:
    """Return the share of plans that go the wrong way, by goal."""
    wrong = facts["results"]["wrong"]
    goals = [str(goal) for goal in range(1, 1 + len(next(iter(wrong.values()))))]
    rows = [[name, *(f"{share:.1%}" for share in shares)] for name, shares in wrong.items()]
    return markdown_table(["wrong way, by goal", *goals], rows)


def partitions(facts: Facts, names: Iterable[str]) -> str:
    """Return in a sentence for each report which classes a model has merged."""
    return " ".join(partition(facts["results"]["reports"][name]) for name in names)


def partition(report: Mapping[str, Any]) -> str:
    """Return in a sentence which classes a model has merged."""
    merged = [f"{', '.join(map(str, group[:-1]))} and {group[-1]}" for group in report["groups"] if len(group) > 1]
    return f"{report['name']} merges {'; '.join(merged)}." if merged else f"{report['name']} merges none."


def photograph(facts: Facts, path: Path) -> None:  # noqa: ARG001  # a study's signature
    """Write what a browser 1,200 pixels wide shows at the top of the page of an audit."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for argument in ("--headless=new", "--no-sandbox", "--hide-scrollbars"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        screen = {"width": 1200, "height": 1350, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        driver.get(Path("runs/audit/counts.html").resolve().as_uri())
        driver.set_script_timeout(60)
        driver.execute_async_script(
            "const wait = () => document.documentElement.dataset.ready ? arguments[0]() : setTimeout(wait, 50); wait()"
        )
        driver.save_screenshot(str(path))
    finally:
        driver.quit()


SHOWN: dict[str, Callable[[Facts], str]] = {
    **{key: partial(of_encoders, key=key) for key in TABLES},
    "classes": partial(partitions, names=TABLES["ppo"]),
    "lake_classes": partial(partitions, names=["lake_nature"]),
    "cost": of_goals,
}
if find_spec("selenium") and shutil.which("chromium") and shutil.which("chromedriver"):
    draw = photograph
