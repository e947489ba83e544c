"""Each tutorial runs as it stands, on the site, and its outputs are what its text says."""

import json
import re

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("site")]


@pytest.fixture
def outputs(site):
    """A function that returns what a tutorial prints, and how many pictures it draws."""

    def outputs_of(name):
        path = site.parent / "jupyter_execute" / "docs" / "tutorials" / f"{name}.ipynb"
        cells = json.loads(path.read_text())["cells"]
        every = [output for cell in cells for output in cell.get("outputs", [])]
        text = "".join("".join(output["text"]) for output in every if output["output_type"] == "stream")
        return text, sum("image/png" in output.get("data", {}) for output in every)

    return outputs_of


def test_train_and_look(outputs):
    """The policy wins, latents tell all counts apart, and the loaded policy adds below four, removes above."""
    text, pictures = outputs("train-and-look")
    assert pictures == 2
    assert int(re.search(r"success in (\d+)% of the episodes", text)[1]) >= 95
    untrained, trained = (int(pairs) for pairs in re.findall(r"trained: (\d+) of 36 pairs of counts", text))
    assert trained == 36
    assert untrained < trained
    shares = {int(count): int(share) for count, share in re.findall(r"(\d) objects: adds in (\d+)%", text)}
    assert set(shares) == {0, 1, 2, 3, 5, 6, 7, 8}
    assert all(share > 90 if count < 4 else share < 10 for count, share in shares.items())


def test_collapse_and_catch(outputs):
    """Prediction alone has the better loss, next to no deviation, and a high collapse index; with the reward, 0."""
    text, pictures = outputs("collapse-and-catch")
    assert pictures == 3
    losses = [float(loss) for loss in re.findall(r"prediction loss ([\d.]+)", text)]
    deviations = [float(deviation) for deviation in re.findall(r"deviation ([\d.]+)", text)]
    alone, both = (float(index) for index in re.findall(r"collapse index ([\d.]+)", text))
    assert losses[0] < losses[1] / 5
    assert deviations[0] < deviations[1] / 10
    assert alone > 0.5
    assert both < 0.01


def test_a_new_goal(outputs):
    """The planner arrives at seven, and at each of the nine goals."""
    text, pictures = outputs("new-goal")
    assert pictures == 3
    assert "7 objects, reward 1" in text
    success = [int(share) for share in re.findall(r"goal \d: (\d+)%", text)]
    assert len(success) == 9
    assert min(success) >= 95


def test_own_environment(outputs):
    """The untrained encoder overlooks what must stay apart, the trained one does not."""
    text, pictures = outputs("own-environment")
    assert pictures == 2
    untrained, trained = (float(index) for index in re.findall(r"collapse index ([\d.]+)", text))
    assert untrained > 0.5
    assert trained < 0.01
