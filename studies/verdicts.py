"""Is the verdict of an audit right? Audits whose truth is known, a hundred trials of each.

Design. Five audits: counting to 4 with the target 2, by classes and by episodes; FrozenLake without slipping, by both;
a grid of 5 x 5 places with a goal, by episodes. Each has data of random play in three amounts: ``enough``, ``too few``,
and ``hardly any``, where a constant encoder may pass. Four encoders see each data: ``faithful`` gives each class of the
largest bisimulation a random point; ``merged`` gives two of the classes in the data the same one; both add noise of 2%.
``constant`` gives one point to all. ``untrained`` is a small random network of the pictures.

Truth. What was merged is known of the first three. The network is shown 4,000 other observations, and noise is added to
its latents, since an audit takes up to 1% of their size for no distance. It has merged two classes if with noise of
0.3% more than 5% of one have their nearest neighbour in the other. It has merged none if with noise of 0.5% no nearest
neighbour is of another class. Else it is left out.

Measures. How often each word was given, and how often a set was refused, since nothing in it differs. ``unfounded``
counts encoders that were not INCONCLUSIVE though the constant encoder on the same data was.

Seeds. 3000 to 3099, one for each trial. Amounts of data were chosen on seeds below 1100.

Thresholds. With enough data, the faithful, the merged and the constant encoder get the right word in at least 98 of 100
trials. Elsewhere, and for the untrained network, INCONCLUSIVE is right as well, and at most 2 of 100 words are wrong.
KEPT is never said where classes were merged. ``unfounded`` is 0.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from scipy.spatial import cKDTree

import counting_env
from jepa_extractor import Episode, random_episodes
from jepa_extractor.audit import AuditSet
from jepa_extractor.audit.report import audit_latents
from jepa_extractor.bisimulation import largest_bisimulation
from jepa_extractor.envs import TableImages
from studies.facts import Facts
from studies.markdown import markdown_table

ENCODERS = ("faithful", "merged", "constant", "untrained")
AMOUNTS = ("enough", "too few", "hardly any")
SEEDS = (3_000,)  # of the first trial
WORLDS = (
    "counting, by classes",
    "counting, by episodes",
    "FrozenLake, by classes",
    "FrozenLake, by episodes",
    "grid, by episodes",
)
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    f"{world}, {amount}": {"world": world, "amount": amount, "trials": 100} for world in WORLDS for amount in AMOUNTS
}
WIDTH = 8
NOISE = 0.02
SIDE = 5  # of the grid
OTHERS = 4_000  # observations that show what a network has merged
MERGED = 0.05  # share of a class whose nearest neighbours are of another


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
    """A world: its environments, the label and MDP of its states, and how many steps each of ``AMOUNTS`` has."""

    make: Callable[[], Any]
    label: str
    mdp: tuple[Any, Any]
    by_classes: bool
    steps: tuple[int, int, int]


def _lake() -> Any:
    return gym.make_vec(
        "FrozenLake-v1",
        4,
        "sync",
        wrappers=(lambda env: TableImages(env, image_size=32, random_starts=True),),
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


@lru_cache(1)
def worlds() -> dict[str, World]:
    """Return the worlds by name."""
    lake = TableImages(gym.make("FrozenLake-v1", is_slippery=False, render_mode="rgb_array"), image_size=32)
    counting = counting_env.count_mdp(4, 2)

    def grid() -> Any:
        return gym.vector.SyncVectorEnv([lambda: gym.wrappers.TimeLimit(Grid(), 40)] * 4)

    found = (
        World(_counting, "count", counting, True, (400, 40, 8)),
        World(_counting, "count", counting, False, (800, 40, 8)),
        World(_lake, "state", lake.class_mdp, True, (800, 12, 4)),
        World(_lake, "state", lake.class_mdp, False, (1_200, 60, 12)),
        World(grid, "place", Grid.mdp(), False, (1_500, 60, 20)),
    )
    return dict(zip(WORLDS, found, strict=True))


def run(configuration: dict[str, Any], seed: int, folder: Path) -> dict[str, Any]:  # noqa: ARG001  # a study's signature
    """Count the words of each encoder by truth ("" where it is not known), the sets refused, and ``unfounded``."""
    began = time.process_time()
    words: dict[str, dict[str, Counter[str]]] = {kind: {} for kind in ENCODERS}
    refused = unfounded = 0
    for at in range(seed, seed + configuration["trials"]):
        found = trial(configuration["world"], configuration["amount"], at)
        refused += not found
        for kind, (word, truth) in found.items():
            words[kind].setdefault(truth, Counter())[word] += 1
            unfounded += word != "INCONCLUSIVE" == found["constant"][0]
    return {"words": words, "refused": refused, "unfounded": unfounded, "seconds": time.process_time() - began}


def trial(name: str, amount: str, seed: int) -> dict[str, tuple[str, str]]:
    """Return the verdict and the truth of each encoder on data of one seed, nothing if the data is refused."""
    world = worlds()[name]
    episodes = _episodes(world, world.steps[AMOUNTS.index(amount)], seed)
    actions = int(np.shape(world.mdp[0])[1])
    try:
        data = (
            AuditSet.from_classes(episodes, world.label, world.mdp)
            if world.by_classes
            else AuditSet.from_episodes(episodes, actions)
        )
    except ValueError:  # nothing differs: there is no verdict
        return {}
    rng = np.random.default_rng(seed)
    of_state = largest_bisimulation(*world.mdp)
    classes = of_state[data.labels[world.label].astype(int)]
    found = {}
    for kind in ENCODERS:
        if kind == "untrained":
            latents, truth = _untrained(name, data, seed)
        else:
            latents, truth = _made(kind, classes, len(np.unique(of_state)), rng)
        report = audit_latents(latents, data, kind, seed, beside={})
        found[kind] = (report.verdict.word, truth)
    return found


def _episodes(world: World, steps: int, seed: int) -> list[Episode]:
    envs = world.make()
    episodes = list(random_episodes(envs, steps, seed, (world.label,)))
    envs.close()
    return episodes


def _made(kind: str, classes: NDArray[Any], count: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], str]:
    """Return latents made from the classes, and the truth."""
    if kind == "constant":
        return np.ones((len(classes), WIDTH), np.float32), "COLLAPSED"
    points = rng.normal(size=(count, WIDTH))
    present = np.unique(classes)
    if kind == "merged" and len(present) > 1:
        one, other = rng.choice(present, 2, replace=False)
        points[one] = points[other]
    noise = NOISE * rng.normal(size=(len(classes), WIDTH))
    merges = kind == "merged" and len(present) > 1
    return (points[classes] + noise).astype(np.float32), "COLLAPSED" if merges else "KEPT"


def _untrained(name: str, data: AuditSet, seed: int) -> tuple[NDArray[np.float32], str]:
    """Return the latents of a random network, and the truth."""
    seen = np.asarray(data.observations, np.float32).reshape(len(data), -1)
    torch.manual_seed(seed)
    network = torch.nn.Sequential(torch.nn.Linear(seen.shape[1], 32), torch.nn.ReLU(), torch.nn.Linear(32, WIDTH))
    others, classes = _others(name)
    scale = float(others.max())
    with torch.no_grad():
        latents = network(torch.from_numpy(seen / scale)).numpy()
        places = network(torch.from_numpy(others / scale)).numpy()
    noise = np.random.default_rng(seed).normal(size=places.shape) * np.sqrt(np.mean(places**2))
    if _most_taken(places + 0.003 * noise, classes) > MERGED:
        return latents, "COLLAPSED"
    return latents, "" if _most_taken(places + 0.005 * noise, classes) else "KEPT"


def _most_taken(places: NDArray[np.float64], classes: NDArray[np.int64]) -> float:
    """Return the largest share of a class whose nearest neighbours are of one other."""
    nearest = cKDTree(places).query(places, 2)[1][:, 1]
    taken = np.zeros((classes.max() + 1, classes.max() + 1))
    np.add.at(taken, (classes, classes[nearest]), 1)
    shares = taken / np.maximum(taken.sum(axis=1, keepdims=True), 1)
    np.fill_diagonal(shares, 0)
    return float(shares.max())


@lru_cache(1)
def _others(name: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return other observations of a world as rows of numbers, and their classes."""
    world = worlds()[name]
    episodes = _episodes(world, OTHERS, seed=0)
    seen = np.concatenate([episode.observations for episode in episodes]).astype(np.float32)
    states = np.concatenate([episode.labels[world.label] for episode in episodes]).astype(int)
    return seen.reshape(len(seen), -1), largest_bisimulation(*world.mdp)[states]


def table(facts: Facts) -> str:
    """Return a row for each data: how many sets were refused, and of each encoder the right, the open and the wrong."""
    rows = []
    for name, of_seed in facts["results"].items():
        runs = of_seed.values()
        counts = [_total([_outcomes(run["words"][kind]) for run in runs]) for kind in ENCODERS]
        cells = [" · ".join(str(count[outcome]) for outcome in ("right", "open", "wrong")) for count in counts]
        rows.append([name, str(sum(run["refused"] for run in runs)), *cells])
    return markdown_table(["right · INCONCLUSIVE · wrong", "refused", *ENCODERS], rows)


def summary(facts: Facts) -> str:
    """Return in a sentence how many audits there were, and what must never happen."""
    runs = [run for of_seed in facts["results"].values() for run in of_seed.values()]
    known = [(truth, words) for run in runs for of in run["words"].values() for truth, words in of.items() if truth]
    total = sum(sum(words.values()) for _, words in known)
    unsafe = sum(words.get("KEPT", 0) for truth, words in known if truth == "COLLAPSED")
    unfounded = sum(run["unfounded"] for run in runs)
    kept = f"Of {total:,} audits whose truth is known, {unsafe} called an encoder KEPT that had merged classes."
    return f"{kept} {unfounded} were not INCONCLUSIVE where the constant encoder was."


def _outcomes(by_truth: Mapping[str, Mapping[str, int]]) -> Counter[str]:
    """Return how often the words of one encoder were right, open and wrong, where the truth is known."""
    outcomes: Counter[str] = Counter()
    for truth, words in by_truth.items():
        for word, count in words.items():
            if truth:
                outcomes["open" if word == "INCONCLUSIVE" else "right" if word == truth else "wrong"] += count
    return outcomes


def _total(counts: Iterable[Counter[str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for count in counts:
        total += count
    return total


SHOWN = {"summary": summary}
