"""How an agent is found and named, and what is said of one that cannot play."""

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from counting_env import play
from counting_env.viewer import agents

pytest.importorskip("pygame")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("agents_for_tests:Agent", "Agent"),
        ("agents_for_tests:Of.agent", "Agent"),
        ("agents_for_tests.py:lost", "Agent"),
        ("agents_for_tests.py:Seer", "Seer"),
    ],
)
def test_how_an_agent_is_named(folder, name, kind):
    """A module or a file, and in it an agent, or a class or function that makes one."""
    assert type(agents.find_agent(name)).__name__ == kind


def test_a_file_is_loaded_by_the_entry_point_of_its_ending(folder, monkeypatch):
    """A package declares which function loads which files."""
    (folder / "some.agent").write_text("x")
    entry = EntryPoint("agent", "agents_for_tests:Agent", agents.GROUP)
    monkeypatch.setattr(agents, "entry_points", lambda group: [entry] if group == agents.GROUP else [])
    agent: Any = agents.find_agent("some.agent")
    assert agent.action == "some.agent"


def test_the_demo_is_a_file_of_the_package(folder, monkeypatch):
    """``demo`` is loaded as any file of a planner; where a package is missing, the message says what to install."""
    monkeypatch.setattr(agents, "DEMO", folder / "demo.pt")
    monkeypatch.setattr(agents, "entry_points", lambda group: [EntryPoint("pt", "agents_for_tests:Agent", group)])
    with pytest.raises(agents.AgentError, match="agent 'demo' cannot be had: there is no file"):
        agents.find_agent("demo")
    (folder / "demo.pt").touch()
    agent: Any = agents.find_agent("demo")
    assert agent.action == str(folder / "demo.pt")
    monkeypatch.setattr(agents, "entry_points", lambda group: [EntryPoint("pt", "broken_for_tests:Agent", group)])
    with pytest.raises(agents.AgentError, match=r'named .nothing_of_that_name.: pip install "counting-jepa\[jepa\]"$'):
        agents.find_agent("demo")


def test_the_project_declares_the_loader_of_planners():
    """The entry point of this project for ``.pt`` is Imagination.load."""
    from jepa_extractor.planning import Imagination

    text = (Path(__file__).parents[3] / "pyproject.toml").read_text()
    line = next(line for line in text.split('"counting_env.agents"]')[1].splitlines() if line.startswith("pt"))
    assert EntryPoint("pt", line.split('"')[1], agents.GROUP).load() == Imagination.load


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "--agent no_such_module:agent",
            "agent 'no_such_module:agent' cannot be had: No module named 'no_such_module'",
        ),
        ("--agent agents_for_tests:nobody", "has no attribute 'nobody'"),
        ("--agent nowhere.py:agent", "there is no file nowhere.py"),
        ("--agent broken_for_tests.py:agent", "No module named 'nothing_of_that_name'"),
        ("--agent agents_for_tests:Mute", "is a Mute, which has no predict(observation)"),
        ("--agent planner.unknown", "a file with an ending that is known"),
        ("--agent agents_for_tests", "give package.module:attribute"),
        ("--agent agents_for_tests:Small", "this environment shows Box(0, 255, (64, 64, 3), uint8): give the options"),
        ("--agent agents_for_tests:Three", "the agent acts in Discrete(3), and this environment takes Discrete(2)"),
    ],
)
def test_an_agent_that_cannot_play(folder, capsys, line, message):
    """The program ends with status 2 and a message that says what is wrong."""
    with pytest.raises(SystemExit) as leaving:
        play.main(line.split())
    assert leaving.value.code == 2
    assert message in capsys.readouterr().err


def test_a_missing_file(folder, monkeypatch, capsys):
    """A file that is not there is named."""
    monkeypatch.setattr(agents, "entry_points", lambda group: [EntryPoint("pt", "agents_for_tests:Agent", group)])
    with pytest.raises(SystemExit):
        play.main(["--agent", "nowhere.pt"])
    assert "there is no file nowhere.pt" in capsys.readouterr().err


def test_an_action_that_the_environment_does_not_know(screen, folder, monkeypatch, capsys):
    """The window closes, the program prints a sentence, and ends with status 2."""
    monkeypatch.setattr("counting_env.viewer.watch.PACE", 0.1)
    assert play.main(["--agent", "agents_for_tests:lost"]) == 2
    assert "(7), which is not in Discrete(2)" in capsys.readouterr().err
    assert not screen.display.get_init()


def test_finding_an_agent_loads_nothing_heavy():
    """The viewer imports nothing of jepa_extractor, torch or Stable-Baselines3."""
    code = """
import sys
import counting_env.play
print(*sorted({"torch", "stable_baselines3", "jepa_extractor"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip().splitlines()[-1:] in ([], [""])
