"""A trained JEPA as plain values and tensors, from which a planner's file builds it again."""

from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from jepa_extractor.checks import shown
from jepa_extractor.jepa import JEPA
from jepa_extractor.objectives.tasks import TASKS, AuxiliaryTask, NumberTask
from jepa_extractor.options import ARCHITECTURE
from jepa_extractor.planning.model import GOAL_TASKS, NearestLabel


def jepa_state(jepa: JEPA) -> dict[str, Any]:
    """Return what planning needs of ``jepa``: spaces, architecture, weights, and the heads that a planner reads.

    Raises:
        ValueError: a network is of a class or function of the caller's own, which plain values cannot name.
    """
    architecture = {name: jepa.options[name] for name in ARCHITECTURE}
    for name, value in architecture.items():
        if not _is_plain(value):
            raise ValueError(f"{name}={shown(value)} cannot be saved: {_MEND}")
    tasks = {task.name: _head_state(task) for task in jepa.tasks if task.name in GOAL_TASKS}
    unread = (*_OF_TRAINING, *(f"heads.{name}." for name in jepa.heads if name not in tasks))
    weights = jepa.state_dict()
    state = {
        "observation_space": _space_state(jepa.observation_space),
        "action_space": _space_state(jepa.action_space),
        "architecture": architecture,
        "tasks": tasks,
        "weights": {name: value for name, value in weights.items() if not name.startswith(unread)},
    }
    try:
        built_jepa(state)
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"the heads of the tasks {list(tasks)} cannot be saved: {_MEND} ({error})") from error
    return state


_OF_TRAINING = ("target.", "projection.", "predictor.", "augmentation.")
_MEND = (
    "a file holds only what this package can build by name; save jepa.state_dict(), and give LatentPlanner a "
    "JEPA that your code builds"
)


def built_jepa(state: dict[str, Any]) -> JEPA:
    """Return the JEPA that ``jepa_state`` describes, in evaluation mode.

    Raises:
        ValueError: a weight is not finite.
    """
    weights = state["weights"]
    broken = [name for name, weight in weights.items() if not bool(weight.isfinite().all())]
    if broken:
        raise ValueError(f"{broken[0]} has entries that are not finite")
    with torch.random.fork_rng(devices=[]):  # the first weights are overwritten: the caller's random numbers stay
        jepa = JEPA(
            _space(state["observation_space"]),
            _space(state["action_space"]),
            auxiliary=tuple(TASKS[name](**options) for name, options in state["tasks"].items()),
            **state["architecture"],
        )
    nearest = [weights.get(f"heads.reward.{name}") for name in ("latents", "labels")]
    if nearest[0] is not None and nearest[1] is not None:  # retargeted
        jepa.heads["reward"] = NearestLabel(nearest[0], nearest[1])
    jepa.load_state_dict(weights)
    return jepa.eval()


def _head_state(task: AuxiliaryTask) -> dict[str, Any]:
    """Return the options of a task that say what its head is."""
    if not isinstance(task, NumberTask):
        return {}
    options = {"head": task.head, "head_kwargs": task.head_kwargs}
    if not _is_plain(options):
        raise ValueError(f"head={task.head!r} of the task {task.name!r} cannot be saved: {_MEND}")
    return options


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_plain(part) for part in value.values())
    if isinstance(value, list | tuple):
        return all(_is_plain(part) for part in value)
    return value is None or isinstance(value, bool | int | float | str)


def _space_state(space: spaces.Space[Any]) -> dict[str, Any]:
    if isinstance(space, spaces.Dict):
        return {"kind": "Dict", "spaces": {key: _space_state(part) for key, part in space.items()}}
    if isinstance(space, spaces.Box):
        return {
            "kind": "Box",
            "low": torch.from_numpy(space.low),
            "high": torch.from_numpy(space.high),
            "dtype": np.dtype(space.dtype).name,
        }
    if isinstance(space, spaces.Discrete):
        return {"kind": "Discrete", "n": int(space.n)}
    if isinstance(space, spaces.MultiDiscrete):
        return {"kind": "MultiDiscrete", "nvec": torch.from_numpy(space.nvec)}
    if isinstance(space, spaces.MultiBinary):
        return {"kind": "MultiBinary", "n": space.n}
    raise ValueError(f"the space {space} cannot be saved: give Box, Discrete, MultiDiscrete, MultiBinary, or Dict")


def _space(state: dict[str, Any]) -> spaces.Space[Any]:
    kind = state["kind"]
    if kind == "Dict":
        return spaces.Dict({key: _space(part) for key, part in state["spaces"].items()})
    if kind == "Box":
        return spaces.Box(state["low"].numpy(), state["high"].numpy(), dtype=np.dtype(state["dtype"]).type)
    if kind == "Discrete":
        return spaces.Discrete(state["n"])
    if kind == "MultiDiscrete":
        return spaces.MultiDiscrete(state["nvec"].numpy())
    return spaces.MultiBinary(state["n"])
