"""Is the verdict of an audit right? Audits whose truth is known, many seeded trials of each.

    python -m studies.verdicts --trials 100 --out verdicts.json

Worlds: counting to 4 (target 2), by classes and by episodes; FrozenLake without slipping, by classes and by episodes; a
grid of 5 x 5 places with a goal, by episodes. Each with data that suffices, and with data that does not.

Encoders: "faithful" gives each class of the largest bisimulation a random point, "merged" gives two of them the same,
"constant" gives all the same, all with a little noise but the last; "untrained" is a small random network. The truth of
the latter is taken from its latents of all observations that there are: it has merged two classes if some of their
latents are closer than 1% of the root mean square norm, it has not if none are closer than 3%, and else is left out.

Right is COLLAPSED where something was merged that the world tells apart, and KEPT where nothing was. Where data does
not suffice, INCONCLUSIVE is right as well.
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable
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
    mdp: tuple[Any, Any]
    by_classes: bool
    enough: int
    too_few: int


def _lake(**options: Any) -> Any:
    return gym.make_vec(
        "FrozenLake-v1",
        4,
        "sync",
        wrappers=(lambda env: TableImages(env, image_size=32, **options),),
        render_mode="rgb_array",
        is_slippery=False,
    )


def _counting() -> Any:
    options: dict[str, Any] = {
        "image_size": 32,
        "max_count": 4,
        "target": 2,
        "max_episode_steps": 20,
        "terminate_on_target": False,
    }
    return gym.make_vec("CountingEnv-v0", 8, vectorization_mode="vector_entry_point", **options)


def worlds() -> dict[str, World]:
    """Return the worlds by name."""
    lake = TableImages(gym.make("FrozenLake-v1", is_slippery=False, render_mode="rgb_array"), image_size=32)
    counting = counting_env.count_mdp(4, 2)

    def grid() -> Any:
        return gym.vector.SyncVectorEnv([lambda: gym.wrappers.TimeLimit(Grid(), 40)] * 4)

    def starts() -> Any:
        return _lake(random_starts=True)

    return {
        "counting, by classes": World(_counting, "count", counting, True, 400, 8),
        "counting, by episodes": World(_counting, "count", counting, False, 800, 40),
        "FrozenLake, by classes": World(starts, "state", lake.class_mdp, True, 800, 12),
        "FrozenLake, by episodes": World(starts, "state", lake.class_mdp, False, 1_200, 60),
        "grid, by episodes": World(grid, "place", Grid.mdp(), False, 1_500, 60),
    }


def trial(world: World, steps: int, seed: int) -> dict[str, tuple[str, str]]:
    """Return for each encoder its verdict on data of one seed, and the truth ("" where it is not clear)."""
    envs = world.make()
    episodes = list(random_episodes(envs, steps, seed, (world.label,)))
    envs.close()
    actions = int(np.shape(world.mdp[0])[1])
    try:
        data = (
            AuditSet.from_classes(episodes, world.label, world.mdp)
            if world.by_classes
            else AuditSet.from_episodes(episodes, actions)
        )
    except ValueError:  # nothing is told apart: there is no verdict
        return {}
    rng = np.random.default_rng(seed)
    of_state = largest_bisimulation(*world.mdp)
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


def run(trials: int, only: str = "") -> dict[str, dict[str, dict[str, dict[str, int]]]]:
    """Return how often each verdict was given: by world, data, and encoder with its truth."""
    counts: dict[str, dict[str, dict[str, dict[str, int]]]] = {}
    for name, world in worlds().items():
        if only not in name:
            continue
        for amount, steps in {"enough": world.enough, "too few": world.too_few}.items():
            of_kind: dict[str, Counter[str]] = {}
            for seed in range(trials):
                for kind, (word, truth) in trial(world, steps, seed).items():
                    of_kind.setdefault(f"{kind}, {truth or 'unclear'}", Counter())[word] += 1
            counts.setdefault(name, {})[amount] = {kind: dict(words) for kind, words in of_kind.items()}
            print(f"{name}, {amount} ({steps} steps)", json.dumps(counts[name][amount]), flush=True)
    return counts


def main() -> None:
    """Run the trials, and write the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--only", default="", help="part of the name of a world")
    parser.add_argument("--out", help="JSON file of the counts")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    counts = run(arguments.trials, arguments.only)
    if arguments.out:
        with open(arguments.out, "w") as file:
            json.dump(counts, file, indent=2)


if __name__ == "__main__":
    main()
