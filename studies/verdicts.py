"""Is the verdict of an audit right? Audits whose truth is known, many seeded trials of each.

Worlds: counting to 4 (target 2), by classes and by episodes; FrozenLake without slipping, by classes and by episodes; a
grid of 5 x 5 places with a goal, by episodes. Each with data that suffices, and with data that does not.

Encoders: "faithful" gives each class of the largest bisimulation a random point, "merged" gives two of them the same,
"constant" gives all the same, all with a little noise but the last; "untrained" is a small random network. The truth of
the latter is taken from its latents of all observations that there are: it has merged two classes if some of their
latents are closer than 1% of the root mean square norm, it has not if none are closer than 3%, and else is left out.

Right is COLLAPSED where something was merged that the world tells apart, and KEPT where nothing was. Where data does
not suffice, INCONCLUSIVE is right as well.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

import counting_env
from jepa_extractor import random_episodes
from jepa_extractor.audit import AuditSet
from jepa_extractor.audit.report import audit_latents
from jepa_extractor.bisimulation import largest_bisimulation
from jepa_extractor.envs import TableImages
from studies.facts import Facts
from studies.markdown import markdown_table

SEEDS = range(100)
ENCODERS = ("faithful", "merged", "constant", "untrained")
WIDTH = 8
NOISE = 0.02
SIDE = 5  # of the grid


class Grid(gym.Env[Any, Any]):
    """A walk on 5 x 5 places, seen as a picture of one pixel each; the reward is 1 at the goal, where episodes end."""

    observation_space = spaces.Box(0, 1, (SIDE, SIDE), np.float32)
    action_space = spaces.Discrete(4)
    steps = ((0, -1), (0, 1), (-1, 0), (1, 0))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:  # noqa: ARG002
        """Begin anywhere but at the goal."""
        super().reset(seed=seed)
        self._place = int(self.np_random.integers(SIDE**2 - 1))
        return self._seen(), {"place": self._place}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Move, unless a wall is in the way."""
        self._place = self.after(self._place, int(action))
        at_goal = self._place == SIDE**2 - 1
        return self._seen(), float(at_goal), at_goal, False, {"place": self._place}

    @classmethod
    def after(cls, place: int, action: int) -> int:
        """Return where ``action`` leads; nothing leads away from the goal."""
        if place == SIDE**2 - 1:
            return place
        row, column = (
            int(np.clip(at + by, 0, SIDE - 1)) for at, by in zip(divmod(place, SIDE), cls.steps[action], strict=True)
        )
        return row * SIDE + column

    @classmethod
    def mdp(cls) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return successors and rewards of arriving."""
        successors = np.array([[cls.after(place, action) for action in range(4)] for place in range(SIDE**2)])
        return successors, np.arange(SIDE**2) == SIDE**2 - 1

    def _seen(self) -> NDArray[np.float32]:
        picture = np.zeros((SIDE, SIDE), np.float32)
        picture[divmod(self._place, SIDE)] = 1
        return picture


class World(NamedTuple):
    """A world: its environments, the label and MDP of its states, and how many steps suffice and do not."""

    make: Callable[[], Any]
    label: str
    mdp: Callable[[], tuple[NDArray[Any], NDArray[Any]]]
    by_classes: bool
    enough: int
    too_few: int


def _counting() -> Any:
    options: dict[str, Any] = {
        "image_size": 32,
        "max_count": 4,
        "target": 2,
        "max_episode_steps": 20,
        "terminate_on_target": False,
    }
    return gym.make_vec("CountingEnv-v0", 8, vectorization_mode="vector_entry_point", **options)


LAKE: dict[str, Any] = {"render_mode": "rgb_array", "is_slippery": False}


def _lake() -> Any:
    see = partial(TableImages, image_size=32, random_starts=True)
    return gym.make_vec("FrozenLake-v1", 4, "sync", wrappers=(see,), **LAKE)


def _lake_mdp() -> tuple[NDArray[Any], NDArray[Any]]:
    return TableImages(gym.make("FrozenLake-v1", **LAKE), image_size=32).class_mdp


def _grid() -> Any:
    return gym.vector.SyncVectorEnv([lambda: gym.wrappers.TimeLimit(Grid(), 40)] * 4)


COUNTS = partial(counting_env.count_mdp, 4, 2)
WORLDS = {
    "counting, by classes": World(_counting, "count", COUNTS, True, 400, 8),
    "counting, by episodes": World(_counting, "count", COUNTS, False, 800, 40),
    "FrozenLake, by classes": World(_lake, "state", _lake_mdp, True, 800, 12),
    "FrozenLake, by episodes": World(_lake, "state", _lake_mdp, False, 1_200, 60),
    "grid, by episodes": World(_grid, "place", Grid.mdp, False, 1_500, 60),
}
CONFIGURATIONS = {
    f"{name}, {amount}": {"world": name, "data": amount} for name in WORLDS for amount in ("enough", "too_few")
}


def run(configuration: dict[str, Any], seed: int, folder: Path) -> dict[str, Any]:  # noqa: ARG001  # a study's signature
    """Return for each encoder its verdict on data of one seed, and the truth ("" where it is not clear)."""
    world = WORLDS[configuration["world"]]
    steps, mdp = getattr(world, configuration["data"]), world.mdp()
    envs = world.make()
    episodes = list(random_episodes(envs, steps, seed, (world.label,)))
    envs.close()
    actions = int(np.shape(mdp[0])[1])
    try:
        data = (
            AuditSet.from_classes(episodes, world.label, mdp)
            if world.by_classes
            else AuditSet.from_episodes(episodes, actions)
        )
    except ValueError:  # nothing is told apart: there is no verdict
        return {}
    rng = np.random.default_rng(seed)
    of_state = largest_bisimulation(*mdp)
    classes = of_state[data.labels[world.label].astype(int)]
    found = {}
    for kind in ENCODERS:
        if kind == "untrained":
            latents, truth = _untrained(data, classes, seed)
        else:
            latents, truth = _made(kind, classes, len(np.unique(of_state)), rng)
        report = audit_latents(latents, data, kind, seed, beside={})
        found[kind] = (report.verdict.word, truth)
    return found


def _made(kind: str, classes: NDArray[Any], count: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], str]:
    """Return latents made from the classes, and the truth."""
    if kind == "constant":
        return np.ones((len(classes), WIDTH), np.float32), "COLLAPSED"
    points = rng.normal(size=(count, WIDTH))
    if kind == "merged":
        one, other = rng.choice(np.unique(classes), 2, replace=False)
        points[one] = points[other]
    noise = NOISE * rng.normal(size=(len(classes), WIDTH))
    return (points[classes] + noise).astype(np.float32), "COLLAPSED" if kind == "merged" else "KEPT"


def _untrained(data: AuditSet, classes: NDArray[Any], seed: int) -> tuple[NDArray[np.float32], str]:
    """Return the latents of a random network of the observations, and the truth."""
    seen = np.asarray(data.observations, np.float32).reshape(len(data), -1)
    torch.manual_seed(seed)
    network = torch.nn.Sequential(torch.nn.Linear(seen.shape[1], 32), torch.nn.ReLU(), torch.nn.Linear(32, WIDTH))
    with torch.no_grad():
        latents = network(torch.from_numpy(seen / max(1.0, seen.max()))).numpy()
    scale = float(np.sqrt(np.mean(np.sum(latents**2, axis=1))))
    _, first = np.unique(data.contents, return_index=True)
    points, kinds = latents[first], classes[first]
    between = np.linalg.norm(points[:, None] - points[None], axis=-1)
    closest = float(between[kinds[:, None] != kinds[None]].min(initial=np.inf)) / scale
    if len(first) > len(data) / 2:  # most were seen once: how it generalises is not known
        return latents, ""
    return latents, "COLLAPSED" if closest <= 0.01 else "KEPT" if closest > 0.03 else ""


def table(facts: Facts) -> str:
    """Return how often each verdict was given: a row for each world, data, and encoder with its truth."""
    rows = []
    for name, by_seed in facts["results"].items():
        words: dict[tuple[str, str], Counter[str]] = {}
        for trial in by_seed.values():
            for encoder, (word, truth) in trial.items():
                words.setdefault((encoder, truth), Counter())[word] += 1
        shown = ("COLLAPSED", "KEPT", "INCONCLUSIVE")
        rows += [[name, *of, *(str(counts[word]) for word in shown)] for of, counts in words.items()]
    return markdown_table(["world, data", "encoder", "truth", *shown], rows, left=(0, 1, 2))
