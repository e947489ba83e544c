"""The command line writes the page."""

import sys
import webbrowser

import pytest
from stable_baselines3 import PPO

import counting_env  # noqa: F401  # registers CountingEnv-v0
from jepa_extractor import jepa_policy_kwargs
from jepa_extractor.audit.__main__ import main


@pytest.fixture(scope="module")
def models(envs, tmp_path_factory):
    """Two saved models: one with a latent transition, and one without."""
    folder = tmp_path_factory.mktemp("models")
    options = {"jepa": jepa_policy_kwargs(envs.single_action_space), "nature": {}}
    for name, kwargs in options.items():
        PPO("CnnPolicy", "CountingEnv-v0", policy_kwargs=kwargs, seed=0, device="cpu").save(folder / name)
    return [str(folder / f"{name}.zip") for name in options]


@pytest.mark.slow
def test_the_command_writes_and_opens_the_page(models, monkeypatch, tmp_path):
    """Models stand side by side; the one that has a transition has rollouts; --open shows the file."""
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    command = [*models, "--env", "CountingEnv-v0", "--trust", "--episodes", "150", "--out", str(tmp_path), "--open"]
    monkeypatch.setattr(sys, "argv", ["audit", *command])
    main()
    page = (tmp_path / "report.html").read_text()
    assert opened == [(tmp_path / "report.html").resolve().as_uri()]
    assert '<th scope="col">jepa</th><th scope="col">nature</th>' in page
    assert page.count('class="matrix"') == 2
    assert page.count('class="film"') == 3
