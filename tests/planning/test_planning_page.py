"""docs/planning.md says what the committed results say."""

import json
import re

import numpy as np
from goals import page, summary

TEXT = (page.DOCS / "planning.md").read_text()


def test_tables_equal_the_json():
    """Every table of the study is in the page, made again from the results beside it."""
    assert {name for _, name, _ in page.BLOCK.findall(TEXT)} == set(summary.TABLES)
    assert page.filled(TEXT) == TEXT


def test_a_changed_number_is_seen():
    """The comparison above fails when a number in the page is not the measured one."""
    changed = re.sub(r"(\| joint, reward \| black \| \d+ \| )\d", r"\g<1>9", TEXT)
    assert changed != TEXT
    assert page.filled(changed) == TEXT


def test_a_new_goal_needs_nine_pictures():
    """On ten fresh seeds on black, the mean is at least 0.97 and the worst goal 0.9; on noise within 0.02."""
    results = json.loads((page.DOCS / "new_goal.json").read_text())["results"]
    black = {number: [run["success"][number] for run in results["joint"].values()] for number in ("9", "50")}
    assert len(black["9"]) >= 10
    assert np.mean(black["9"]) >= 0.97
    assert np.mean(black["50"]) >= 0.97
    assert np.mean(black["9"], axis=0).min() >= 0.9
    noise = [run["success"]["9"] for run in results["joint_noise"].values()]
    assert np.mean(noise) >= np.mean(black["9"]) - 0.02
