"""Agents that play CountingEnv: what the viewer asks of one, and where it finds one.

An agent has Stable-Baselines3's ``predict(observation) -> (action, state)``, as its models and planners have. If it has
``imagine(observation) -> [(action, text), ...]`` too, the viewer shows that: what the agent expects to see after each
of its next actions, in its own words; the first entry, whose action is ``None``, tells what it sees now. Attributes
``observation_space`` and ``action_space`` are compared with those of the environment.

It is named on the command line as one of

- ``package.module:attribute`` or ``file.py:attribute``: the agent, or a function without arguments that returns it;
- ``demo``: the planner that comes with this package, made by ``python scripts/make_demo_agent.py``, for
  ``CountingEnv-v0``;
- a file, such as ``planner.pt``: an installed package has an entry point in the group ``counting_env.agents``, whose
  name is the ending of such files and whose object is a function from the path to the agent.
"""

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import gymnasium as gym
from gymnasium import spaces

GROUP = "counting_env.agents"
DEMO = Path(__file__).with_name("demo.pt")
Foresight = Sequence[tuple[Any, str]]


class AgentError(ValueError):
    """An agent cannot be found, or does not fit; the message says what would be right."""


@runtime_checkable
class Agent(Protocol):
    """What plays."""

    def predict(self, observation: Any) -> tuple[Any, Any]:
        """Return the action for one observation, and a state that is not used."""


def find_agent(name: str) -> Agent:
    """Return the agent that ``name`` names on the command line.

    Raises:
        AgentError: there is none, or it has no ``predict``.
    """
    path = DEMO if name == "demo" else Path(name)
    place, _, attribute = name.rpartition(":")
    try:
        if place and attribute.replace(".", "_").isidentifier():
            found = _module(place)
            for part in attribute.split("."):
                found = getattr(found, part)
            if callable(found) and (isinstance(found, type) or not isinstance(found, Agent)):
                found = found()
        else:
            found = _loader(path)(str(path))
    except ModuleNotFoundError as error:
        mend = ': pip install "counting-jepa[jepa]"' if name == "demo" else ""
        raise AgentError(f"agent {name!r} cannot be had: {error}{mend}") from error
    except (ImportError, SyntaxError, AttributeError, OSError, ValueError) as error:
        raise AgentError(f"agent {name!r} cannot be had: {error}") from error
    if not isinstance(found, Agent):
        raise AgentError(
            f"agent {name!r} is a {type(found).__name__}, which has no predict(observation): give an agent, or a "
            "function that returns one"
        )
    return found


def has_numbers(agent: Agent) -> bool:
    """Return whether the agent's actions are numbers, as those of ``CountingEnvContinuous-v0``."""
    return isinstance(getattr(agent, "action_space", None), spaces.Box)


def require_fit(agent: Agent, env: gym.Env[Any, Any]) -> None:
    """Raise ``AgentError`` if the agent was made for other spaces than those of ``env``.

    Images may have their channels first or last.
    """
    sees, shown = getattr(agent, "observation_space", None), env.observation_space
    height, width, channels = shown.shape or ()
    if sees is not None and (
        sees.shape not in ((height, width, channels), (channels, height, width)) or sees.dtype != shown.dtype
    ):
        raise AgentError(f"the agent sees {sees}, and this environment shows {shown}: give the options of its training")
    acts = getattr(agent, "action_space", None)
    if acts is not None and acts != env.action_space:
        raise AgentError(f"the agent acts in {acts}, and this environment takes {env.action_space}: give another agent")


def chosen_action(agent: Agent, observation: Any, space: spaces.Space[Any]) -> Any:
    """Return the agent's action for ``observation``; raise ``AgentError`` if it is not in ``space``."""
    action, _ = agent.predict(observation)
    if not space.contains(action):
        raise AgentError(f"the agent's predict chose {action!r}, which is not in {space}: give another agent")
    return action


def _module(place: str) -> Any:
    if not place.endswith(".py"):
        return importlib.import_module(place)
    if not Path(place).is_file():
        raise FileNotFoundError(f"there is no file {place}")
    spec = importlib.util.spec_from_file_location(Path(place).stem, place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _loader(path: Path) -> Callable[[str], Any]:
    """Return the function that loads files with the ending of ``path``."""
    entries = entry_points(group=GROUP)
    loaders = [entry for entry in entries if f".{entry.name}" == path.suffix]
    if not loaders:
        endings = ", ".join(sorted(f".{entry.name}" for entry in entries)) or "none"
        raise ValueError(
            f"give package.module:attribute, file.py:attribute, or a file with an ending that is known (here {endings})"
        )
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    load: Callable[[str], Any] = loaders[0].load()
    return load
