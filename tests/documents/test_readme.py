"""Every Python block of the documents runs, and every picture is there."""

import re
from pathlib import Path

import pytest
from stable_baselines3 import PPO

import jepa_extractor

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))  # test_tutorials.py runs their code
DOCUMENTS = [ROOT / "README.md", *PAGES]
PLANS = sorted((ROOT / "docs" / "plans").glob("*.md"))
OTHERS = [*PLANS, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]


def blocks(document):
    return re.findall(r"^```python\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)


# each block of the README stands alone; those of another page go on from one another
CODE = {f"README, block {number}": block for number, block in enumerate(blocks(DOCUMENTS[0]))}
CODE |= {document.name: "\n".join(blocks(document)) for document in DOCUMENTS[1:]}

LONG = {"audit.md", "plug-in.md"}


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG)) for name in CODE])
def test_code_runs(name, tmp_path, monkeypatch):
    """The documents' Python code is executed by the tests; trainings are cut short."""
    monkeypatch.chdir(tmp_path)
    learn, pretrain, random_episodes = PPO.learn, jepa_extractor.pretrain, jepa_extractor.random_episodes

    def short_learn(model, steps, **kwargs):
        model.n_epochs = 1
        return learn(model, min(steps, 1024), **kwargs)

    monkeypatch.setattr(PPO, "learn", short_learn)
    few = {"updates": 5, "transition_updates": 5}
    monkeypatch.setattr(jepa_extractor, "pretrain", lambda *args, **kwargs: pretrain(*args, **{**kwargs, **few}))
    monkeypatch.setattr(
        jepa_extractor,
        "random_episodes",
        lambda envs, transitions, **kwargs: random_episodes(envs, min(transitions, 1_000), **kwargs),
    )
    exec(compile(CODE[name], name, "exec"), {"__name__": "__main__"})


def test_the_first_block_trains_in_twelve_lines():
    """First screen: twelve lines of Python that train."""
    first = blocks(ROOT / "README.md")[0]
    assert len([line for line in first.splitlines() if line.strip()]) <= 12
    assert "model.learn(" in first


@pytest.mark.parametrize("document", [*DOCUMENTS, *TUTORIALS, *OTHERS], ids=lambda path: path.name)
def test_pictures_and_links_exist(document):
    """Every picture and file that a document points to is there."""
    targets = re.findall(r"\]\(([^)#]+)", document.read_text())
    for target in targets:
        assert target.startswith("http") or (document.parent / target).exists(), target


@pytest.mark.parametrize("page", [*DOCUMENTS, *TUTORIALS, *PLANS], ids=lambda path: path.name)
def test_a_page_can_be_read_at_once(page):
    """At most 1,500 words, without code, tables and what they are written from."""
    text = re.sub(r"^```.*?^```|^\|.*?$|<!--.*?-->", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert len(text.split()) <= 1_500
