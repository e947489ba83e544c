"""Every Python block of the documents runs and prints what stands below it, and every picture is there."""

import contextlib
import io
import re
from pathlib import Path

import pytest
import torch
from stable_baselines3 import PPO

import jepa_extractor

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").glob("*.md"))
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))  # test_tutorials.py runs their code
DOCUMENTS = [README, *PAGES]
PLANS = sorted((ROOT / "docs" / "plans").glob("*.md"))
OTHERS = [*PLANS, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]
FENCE = re.compile(r"^```(\S*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(document):
    """Return each Python block of a document, and what a block of text right below it says that it prints."""
    found: list[tuple[str, str | None]] = []
    end = None  # of the Python block before
    text = document.read_text()
    for match in FENCE.finditer(text):
        if match[1] == "python":
            found.append((match[2], None))
            end = match.end()
        elif match[1] == "text" and end is not None and not text[end : match.start()].strip():
            found[-1] = found[-1][0], match[2]
    return found


CODE = {document.name: blocks(document) for document in DOCUMENTS if blocks(document)}
PRINTING = [name for name, code in CODE.items() if any(printed is not None for _, printed in code)]
LONG = {"audit.md", "machine.md", "plug-in.md"}
UPDATES = {"machine.md": 300}  # of a pretraining, where five tell nothing


def run(name, compared):
    """Run the blocks of a document, which go on from one another; compare what they print, if they are to be."""
    names = {"__name__": "__main__"}
    for code, printed in CODE[name]:
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(compile(code, name, "exec"), names)
        if compared and printed is not None:
            assert words(said.getvalue()) == words(printed)


def words(text):
    """Return words and whole numbers; fractions, which differ from machine to machine, are all the same."""
    return re.sub(r"-?\d+\.\d+(e-?\d+)?|\d+%", "0.0", text).split()


@pytest.mark.filterwarnings("ignore:at every level of the trees of latents")
@pytest.mark.filterwarnings("ignore:no action leads from a labelled")
@pytest.mark.filterwarnings("ignore:what arrives at the highest reward")  # trainings are cut short
@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG)) for name in CODE])
def test_code_runs(name, tmp_path, monkeypatch):
    """The documents' Python code is executed by the tests; trainings are cut short."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)  # networks hardly trained differ much
    learn, pretrain, random_episodes = PPO.learn, jepa_extractor.pretrain, jepa_extractor.random_episodes

    def short_learn(model, steps, **kwargs):
        model.n_epochs = 1
        return learn(model, min(steps, 1024), **{**kwargs, "progress_bar": False})

    monkeypatch.setattr(PPO, "learn", short_learn)
    few = {"updates": UPDATES.get(name, 5), "transition_updates": 5}
    monkeypatch.setattr(jepa_extractor, "pretrain", lambda *args, **kwargs: pretrain(*args, **{**kwargs, **few}))
    monkeypatch.setattr(
        jepa_extractor,
        "random_episodes",
        lambda envs, transitions, **kwargs: random_episodes(envs, min(transitions, 1_000), **kwargs),
    )
    run(name, compared=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", PRINTING)
def test_code_prints_what_stands_below_it(name, tmp_path, monkeypatch):
    """Uncut, each block prints the words and whole numbers of the text below it."""
    monkeypatch.chdir(tmp_path)
    run(name, compared=True)


def test_the_readme_begins_with_what_one_needs():
    """Twelve lines of Python train and audit; picture, installation and links stand on the first screen."""
    ((first, _),) = blocks(README)
    assert len([line for line in first.splitlines() if line.strip()]) <= 12
    assert "model.learn(" in first
    assert "audit(" in first
    lines = README.read_text().splitlines()
    assert lines.index("## Install") <= 60
    assert "playing.gif" in "".join(lines[:10])


@pytest.mark.parametrize("document", [*DOCUMENTS, *TUTORIALS, *OTHERS], ids=lambda path: path.name)
def test_pictures_and_links_exist(document):
    """Every picture and file that a document points to is there."""
    targets = re.findall(r"\]\(([^)#]+)", document.read_text())
    for target in targets:
        assert target.startswith("http") or (document.parent / target).exists(), target


@pytest.mark.parametrize("page", [*DOCUMENTS, *TUTORIALS], ids=lambda path: path.name)
def test_code_fits_the_page(page):
    """No line of code is longer than 88 columns: the site would cut it off."""
    code = re.findall(r"^```(?:python|py|console|sh|text|\{code-cell\})\n(.*?)^```", page.read_text(), re.M | re.S)
    assert [line for block in code for line in block.splitlines() if len(line) > 88] == []


@pytest.mark.parametrize("page", [*DOCUMENTS, *TUTORIALS, *PLANS], ids=lambda path: path.name)
def test_a_page_can_be_read_at_once(page):
    """At most 1,500 words, without code, tables and what they are written from."""
    text = re.sub(r"^```.*?^```|^\|.*?$|<!--.*?-->", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert len(text.split()) <= 1_500
