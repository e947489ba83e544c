"""docs/paper.md says what the committed results say."""

import copy

import paper_page
import pytest
from paper.conditions import PAPER

STUDIES = paper_page.read_studies()
PAGE = (paper_page.DOCS / "paper.md").read_text()


def test_the_numbers_are_those_of_the_results():
    """Every number between markers is made again from the results beside the page."""
    assert {match[2] for match in paper_page.BLOCK.finditer(PAGE)} == set(STUDIES)
    assert paper_page.filled(PAGE, STUDIES) == PAGE


@pytest.mark.parametrize("name", STUDIES)
def test_every_condition_has_the_same_seeds(name):
    """Differences are paired: each condition of the paper was run with every seed of the study."""
    results = STUDIES[name]["results"]
    assert set(PAPER) <= set(results)
    assert {tuple(by_seed) for by_seed in results.values()} == {tuple(results["joint"])}


@pytest.mark.parametrize("name", STUDIES)
def test_a_changed_result_is_seen(name):
    """The first comparison fails when a result is not the one in the page."""
    changed = copy.deepcopy(STUDIES)
    next(iter(changed[name]["results"]["joint"].values()))["rollout"] += 0.5
    assert paper_page.filled(PAGE, changed) != PAGE


def test_a_key_that_names_nothing_is_an_error():
    """A marker that is misspelt is named."""
    with pytest.raises(ValueError, match="<!-- paper: men joint rollout --> is no number"):
        paper_page.filled("<!-- paper: men joint rollout --><!-- end -->", STUDIES)
