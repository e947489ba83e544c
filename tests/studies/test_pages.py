"""The documents say what the committed results say."""

import copy
import re
from importlib import import_module

import numpy as np
import pytest

from studies import NAMES, pages
from studies import facts as files
from studies.paper import PAPER

TEXTS = {page.name: page.read_text() for page in pages.PAGES}
LONG = {"new-goal.md", "when-to-use.md"}  # intervals of rank correlations, and by rliable
PAPERS = ("paper", "paper_places")
# whose pages show the command that made their results
COMMANDS = {*PAPERS, "audit_trials", "bisimulation", "encoder", "environment", "other_tasks", "overhead"}
COMMANDS |= {"sample_efficiency", "verdicts"}


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG)) for name in TEXTS])
def test_the_numbers_are_those_of_the_results(name):
    """Every number and table between markers is made again from the results."""
    assert pages.BLOCK.search(TEXTS[name])
    assert pages.filled(TEXTS[name]) == TEXTS[name]


def test_every_study_is_in_a_page():
    """No result is committed that no page shows."""
    shown = {match[2] for text in TEXTS.values() for match in pages.BLOCK.finditer(text)}
    assert {path.stem for path in (files.DOCS / "results").iterdir()} == shown


@pytest.mark.parametrize("name", PAPERS)
def test_every_condition_has_the_same_seeds(name):
    """Differences are paired: each condition of the paper was run with every seed of the study."""
    results = files.read(name)["results"]
    assert set(PAPER) <= set(results)
    assert {tuple(by_seed) for by_seed in results.values()} == {tuple(results["joint"])}


@pytest.mark.parametrize("name", PAPERS)
def test_a_changed_result_is_seen(name):
    """The first comparison fails when a result is not the one in the page."""

    def changed(study):
        facts = copy.deepcopy(files.read(study))
        if study == name:
            next(iter(facts["results"]["joint"].values()))["rollout"] += 0.5
        return facts

    assert pages.filled(TEXTS["paper.md"], changed) != TEXTS["paper.md"]


def test_a_changed_number_is_seen():
    """The first comparison fails when a number in the page is not the measured one."""
    text = TEXTS["experiments.md"]
    changed = re.sub(r"(\| joint \| count \| )\d", r"\g<1>9", text)
    assert changed != text
    assert pages.filled(changed) == text


def test_a_changed_number_of_the_comparison_is_seen():
    """So it does in a table of intervals."""
    text = TEXTS["learning.md"]
    changed = re.sub(r"(\| joint, reward \| [^|]+\| )\d", r"\g<1>99", text)
    assert changed != text
    assert pages.filled(changed) == text


@pytest.mark.parametrize("name", sorted(path.stem for path in (files.DOCS / "results").iterdir()))
def test_results_say_how_to_make_them_again(name):
    """Each JSON file names its machine, versions and command, and a page shows the command."""
    facts = files.read(name)
    assert facts["machine"]["cores"] >= 1
    assert facts["versions"]["torch"]
    if name != "new_goal":  # it was made by several commands, which its page gives
        assert facts["command"].startswith(f"python -m studies {name}")
    if name in COMMANDS:
        assert any(facts["command"] in text for text in TEXTS.values())


@pytest.mark.parametrize("name", NAMES)
def test_every_study_has_one_form(name):
    """A question first, what to run, and how to show it."""
    study = import_module(f"studies.{name}")
    assert study.__doc__.split("\n")[0]
    assert study.CONFIGURATIONS
    assert all(seed >= 0 for seed in study.SEEDS)
    assert callable(study.run)
    assert callable(pages.shown(name)["table"])


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("<!-- paper: men joint rollout --><!-- end -->", "<!-- paper: men joint rollout --> is no number"),
        ("<!-- papr: mean joint rollout --><!-- end -->", "<!-- papr: mean joint rollout --> names no study"),
    ],
)
def test_a_marker_that_names_nothing_is_an_error(marker, message):
    """A marker that is misspelt is named."""
    with pytest.raises(ValueError, match=message):
        pages.filled(marker)


def test_a_new_goal_needs_nine_pictures():
    """On ten fresh seeds on black, the mean is at least 0.97 and the worst goal 0.9; on noise within 0.02."""
    results = files.read("new_goal")["results"]
    black = {number: [run["success"][number] for run in results["joint"].values()] for number in ("9", "50")}
    assert len(black["9"]) >= 10
    assert np.mean(black["9"]) >= 0.97
    assert np.mean(black["50"]) >= 0.97
    assert np.mean(black["9"], axis=0).min() >= 0.9
    noise = [run["success"]["9"] for run in results["joint_noise"].values()]
    assert np.mean(noise) >= np.mean(black["9"]) - 0.02
