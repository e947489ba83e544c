"""Run the code of docs/audit.md, and write what its audits found: python examples/audits.py && python examples/pages.py

The numbers go to docs/results/audits.json; a picture of the first page to docs/images/report.png, where Selenium and a
Chromium with its driver are installed. It takes about ten minutes.
"""

import argparse
import json
import os
import platform
import re
import shutil
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import interrupts  # noqa: F401  # Ctrl-C ends with a sentence
import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from jepa_extractor.audit import Report
from jepa_extractor.checkpoint import replace_file

DOCS = Path(__file__).resolve().parents[1] / "docs"
TABLES = {
    "collapsed": ("counts_to_6", "counts_to_8"),
    "ppo": ("nature", "jepa"),
    "cartpole": ("only_cart", "all_pixels"),
    "lake": ("lake_pooled", "lake_nature"),
    "breakout": ("no_trail", "whole_board"),
}


def run(code: str) -> dict[str, Any]:
    """Run ``code``, and return what is to be written of its audits."""
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(code, "docs/audit.md", "exec"), names)
    reports = {name: found(value) for name, value in names.items() if isinstance(value, Report)}
    return {
        "command": "python examples/audits.py",
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "versions": {name: version(name) for name in ("torch", "numpy", "stable-baselines3", "gymnasium")},
        "results": {"reports": reports, "wrong": names["wrong"]},
    }


def found(report: Report) -> dict[str, Any]:
    """Return what is to be written of one audit."""
    numbers = {name: value if np.isfinite(value) else None for name, value in report.numbers().items()}
    groups = None if report.classes is None else kept(report)
    reasons = [pair.why for pair in report.worst_pairs[:3]]
    return {"name": report.name, "numbers": numbers, "groups": groups, "reasons": reasons}


def kept(report: Report) -> list[list[float]]:
    """Return the classes in groups: those linked by collapsed pairs are in one."""
    assert report.classes is not None
    names = report.classes.classes.tolist()
    collapsed = np.zeros((len(names), len(names)), np.bool_)
    for left, right in report.classes.collapsed_pairs:
        collapsed[names.index(left), names.index(right)] = True
    _, group = connected_components(coo_array(collapsed), directed=False)
    return [[name for name, own in zip(names, group, strict=True) if own == i] for i in np.unique(group)]


def values(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the tables of docs/audit.md by their key."""
    reports, wrong = facts["results"]["reports"], facts["results"]["wrong"]
    tables = {key: table(reports[name] for name in names) for key, names in TABLES.items()}
    sentences = [partition(reports[name]) for name in TABLES["ppo"]]
    goals = [str(goal) for goal in range(1, 1 + len(next(iter(wrong.values()))))]
    lines = [["wrong way, by goal", *goals], ["---", *("---:" for _ in goals)]]
    lines += [[name, *(f"{share:.1%}" for share in shares)] for name, shares in wrong.items()]
    return {
        **tables,
        "classes": " ".join(sentences),
        "lake_classes": partition(reports["lake_nature"]),
        "cost": markdown(lines),
    }


def partition(report: Mapping[str, Any]) -> str:
    """Return in a sentence which classes a model has merged."""
    merged = [f"{', '.join(map(str, group[:-1]))} and {group[-1]}" for group in report["groups"] if len(group) > 1]
    return f"{report['name']} merges {'; '.join(merged)}." if merged else f"{report['name']} merges none."


def table(reports: Iterable[Mapping[str, Any]]) -> str:
    """Return a row for each report."""
    known = list(reports)
    of_classes = any(report["groups"] for report in known)
    lines = [["encoder", "collapse index", "observations hit", *of_classes * ["classes kept"], "first reason"]]
    lines.append(["---", *(2 + of_classes) * ["---:"], "---"])
    for report in known:
        numbers = report["numbers"]
        index, low, high = (numbers[f"collapse_index{end}"] for end in ("", "_low", "_high"))
        classes = [f"{numbers['classes_kept']} of {numbers['classes_required']}"] if of_classes else []
        shown = "" if low is None else f" [{low:.3f}, {high:.3f}]"
        hit = f"{numbers['observations_hit']:.1%}"
        lines.append([report["name"], f"{index:.3f}{shown}", hit, *classes, (report["reasons"] or [""])[0]])
    return markdown(lines)


def markdown(lines: list[list[str]]) -> str:
    """Return rows of cells as a table."""
    return "\n" + "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def photograph(page: Path, picture: Path) -> None:
    """Write what a browser 1,200 pixels wide shows at the top of ``page``."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for argument in ("--headless=new", "--no-sandbox", "--hide-scrollbars"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        screen = {"width": 1200, "height": 1350, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        driver.get(page.resolve().as_uri())
        driver.set_script_timeout(60)
        driver.execute_async_script(
            "const wait = () => document.documentElement.dataset.ready ? arguments[0]() : setTimeout(wait, 50); wait()"
        )
        driver.save_screenshot(str(picture))
    finally:
        driver.quit()


def main() -> None:
    """Run the page's code, and write its results."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_num_threads(1)
    blocks = re.findall(r"^```python\n(.*?)^```", (DOCS / "audit.md").read_text(), re.MULTILINE | re.DOTALL)
    facts = json.dumps(run("\n".join(blocks)), indent=2) + "\n"
    replace_file(DOCS / "results" / "audits.json", lambda path: path.write_text(facts))
    if find_spec("selenium") and shutil.which("chromium") and shutil.which("chromedriver"):
        replace_file(DOCS / "images" / "report.png", lambda path: photograph(Path("runs/audit/counts.html"), path))


if __name__ == "__main__":
    main()
