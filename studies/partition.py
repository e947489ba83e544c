"""Does the reward decide which states an encoder keeps apart?

Design. Three worlds: the counts 1 to 8 of four shapes, where the shape stays; a counter of 12 on a circle; and a room
of 6x6 cells that one walks about in, which always looks the same from the same cell. In each, several functions of the
state are the reward, and the largest bisimulation says, before any training, which states each of them requires to stay
apart: 1 to 36 classes. Two encoders: ``pooled``, which counts before it has learned anything and cannot see where
something is, and ``nature``, which can and has to learn to count. Five ways to train: ``joint``, reward and dynamics;
``reward_only``; ``dynamics_only``; ``label``, the state itself with dynamics; ``untrained``. Joint and reward-only
trainings see the same batches, half of them rewarded; the reward plays no part in the other three, so each of these is
trained once in a world, on uniform batches, and judged by every reward.

Measures, on images never trained on, 60 of each state. The error of the worst required pair of states, and the share of
required pairs that are kept (``compare_classes``: error at most 0.01). The groups of states that are found when pairs
that are not kept count as one. The share of the pairs that may merge which did. Two R² on 2,000 held-out transitions:
of the next latent, by a transition fitted to the finished encoder, and of the reward, by a perceptron fitted to it.

Seeds. 800 to 804. Settings were chosen on seeds 0 and 1.

Thresholds. The claim is falsified by a run whose R² are both at least 0.99 and in which a required pair has an error
above 0.01. Whether joint training keeps more required pairs than reward-only training is answered by the mean
difference over seeds, paired by seed and averaged over rewards, with a 95% t-interval, for each encoder.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from jepa_extractor import LabelTask, TransitionRing, fit_transition, pretrain
from jepa_extractor.bisimulation import largest_bisimulation
from jepa_extractor.objectives.tasks import AuxiliaryTask
from studies.facts import Facts
from studies.markdown import interval_text, markdown_table
from studies.measures import dynamics_r2, pairwise, values_r2
from studies.statistics import paired
from studies.worlds import CYCLE, ROOM, SHAPED, States, Values, World, make_jepa, paid, walks

SEEDS = range(800, 805)
TRANSITIONS, HELD_OUT, EACH = 20_000, 2_000, 60
TRANSITION_UPDATES = 1_000  # of the fit at the end
LEAST_R2, MOST_ERROR = 0.99, 0.01
TEST_SEED = 1_000_000  # of held-out transitions, far above those of training


class Row(NamedTuple):
    """A world and a reward in it."""

    title: str
    classes: int  # that the reward requires; checked before each training
    world: World
    value: Callable[[States], NDArray[Any]]

    def values(self) -> Values:
        """Return the reward for arriving in each state, (states,)."""
        return np.asarray(self.value(self.world.states()), np.float64)


def _targets(states: States, *counts: int) -> NDArray[np.bool_]:
    """Return where the count is that of the state's shape; shapes without one are never rewarded."""
    rewarded: NDArray[np.bool_] = states["count"] == np.append(counts, [-1] * 4)[states["shape"]]
    return rewarded


ROWS = {
    "nothing": Row("nothing", 1, SHAPED, lambda states: 0 * states["count"]),
    "shape": Row("the shape", 4, SHAPED, lambda states: states["shape"] / 3),
    "four": Row("4 objects", 8, SHAPED, lambda states: states["count"] == 4),
    "circles": Row("4 circles", 9, SHAPED, lambda states: _targets(states, 4)),
    "halves": Row("4 of two shapes, 6 of the others", 16, SHAPED, lambda states: _targets(states, 4, 4, 6, 6)),
    "two": Row("4 circles, 2 squares", 17, SHAPED, lambda states: _targets(states, 4, 2)),
    "each": Row("4, 2, 5 and 7, by shape", 32, SHAPED, lambda states: _targets(states, 4, 2, 5, 7)),
    **{
        f"every{k}": Row(f"multiples of {k}", k, CYCLE, lambda states, k=k: states["count"] % k == 0)  # type: ignore[misc]  # k=k is beyond mypy
        for k in (1, 2, 3, 4, 6, 12)
    },
    "nowhere": Row("nowhere", 1, ROOM, lambda states: 0 * states["row"]),
    "row": Row("the first row", 6, ROOM, lambda states: states["row"] == 0),
    "column": Row("the first column", 6, ROOM, lambda states: states["column"] == 0),
    "corner": Row("a corner", 36, ROOM, lambda states: (states["row"] == 0) & (states["column"] == 0)),
}
WORLDS: dict[str, World] = {"shaped": SHAPED, "cycle": CYCLE, "room": ROOM}
WITH_REWARD = ("joint", "reward_only")
WITHOUT_REWARD = ("dynamics_only", "label", "untrained")
ENCODERS = ("pooled", "nature")
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#888888")  # of Okabe and Ito, told apart by the colour-blind
UPDATES = 1_000  # of the encoder

CONFIGURATIONS = {
    f"{encoder}-{arm}-{name}": {"encoder": encoder, "arm": arm, kind: name}
    for encoder in ENCODERS
    for kind, names, arms in (("row", ROWS, WITH_REWARD), ("world", WORLDS, WITHOUT_REWARD))
    for name in names
    for arm in arms
}


def run(configuration: dict[str, Any], seed: int, folder: Path) -> dict[str, Any]:
    """Train one encoder, and judge it by its reward, or by every reward of its world.

    Returns:
        By the name of the reward: ``groups``, ``required``, ``kept``, ``worst_error``, ``mergeable``, ``merged``,
        ``reward_r2``. Also ``dynamics_r2``, and the processor ``seconds`` that it took.
    """
    began = time.process_time()
    arm, encoder = configuration["arm"], configuration["encoder"]
    if "row" in configuration:
        rows = {configuration["row"]: ROWS[configuration["row"]]}
        world = rows[configuration["row"]].world
    else:
        world = WORLDS[configuration["world"]]
        rows = {name: row for name, row in ROWS.items() if row.world is world}
    values = {name: row.values() for name, row in rows.items()}
    classes = {name: largest_bisimulation(world.successors(), of_states) for name, of_states in values.items()}
    assert all(of_states.max() + 1 == rows[name].classes for name, of_states in classes.items())

    paying = values[configuration["row"]] if "row" in configuration else np.zeros(len(world.successors()))
    episodes = paid(walks(world, TRANSITIONS, seed), paying)
    torch.manual_seed(seed)
    tasks: dict[str, tuple[str | AuxiliaryTask, ...]] = {"dynamics_only": (), "label": (LabelTask("state"),)}
    jepa = make_jepa(
        world,
        encoder,
        auxiliary=tasks.get(arm, ("reward",)),
        **({"dynamics_weight": 0.0} if arm == "reward_only" else {}),
    )
    transitions = TransitionRing.from_episodes(episodes, seed)
    if arm != "untrained":
        checkpoint = folder / "training.pt"
        pretrain(jepa, transitions, UPDATES, transition_updates=0, checkpoint=checkpoint)
    fit_transition(jepa, transitions, TRANSITION_UPDATES)

    held_out = paid(walks(world, HELD_OUT, TEST_SEED + seed), paying)
    (latents, states), (test_latents, test_states) = (
        (
            jepa.encode(np.concatenate([episode.observations for episode in some])),
            np.concatenate([episode.labels["state"] for episode in some]).astype(int),
        )
        for some in (episodes, held_out)
    )
    table = np.stack(list(values.values()), axis=1).astype(np.float32)  # (states, rewards)
    reward_r2 = values_r2(latents, table[states], test_latents, table[test_states], seed)
    images, shown = world.pictures(EACH, seed)
    seen = jepa.encode(images)
    result: dict[str, Any] = {"dynamics_r2": dynamics_r2(jepa, held_out)}
    for name, r2 in zip(rows, reward_r2, strict=True):
        report = pairwise(seen, shown, np.not_equal.outer(classes[name], classes[name]))
        result[name] = {
            "reward_r2": float(r2),
            "groups": report["groups"],
            "worst_error": report["worst_required_error"],
            "required": report["required_pairs"],
            "kept": report["required_pairs_kept"],
            "mergeable": report["other_pairs"],
            "merged": report["other_pairs_merged"],
        }
    result["seconds"] = time.process_time() - began
    return result


class Cell(NamedTuple):
    """One encoder judged by one reward."""

    encoder: str
    arm: str
    reward: str
    seed: str
    dynamics_r2: float
    measures: Mapping[str, float]

    @property
    def fits(self) -> bool:
        """Whether dynamics and reward can both be predicted from the latents."""
        return min(self.dynamics_r2, self.measures["reward_r2"]) >= LEAST_R2

    @property
    def kept(self) -> float:
        """The share of required pairs that are kept; 1 if none is required."""
        return self.measures["kept"] / self.measures["required"] if self.measures["required"] else 1.0


def cells(facts: Facts) -> list[Cell]:
    """Return every cell of the finished runs."""
    return [
        Cell(configuration["encoder"], configuration["arm"], reward, seed, result["dynamics_r2"], measures)
        for name, by_seed in facts["results"].items()
        for configuration in [CONFIGURATIONS[name]]
        for seed, result in by_seed.items()
        for reward, measures in result.items()
        if reward in ROWS
    ]


def table(facts: Facts) -> str:
    """Return four tables: what was found, the counterexamples, joint against reward only, and each reward."""
    found = cells(facts)
    return "\n\n".join([_arms(found), _counterexamples(found), _joint_against_reward_only(found), _rewards(found)])


def _arms(found: list[Cell]) -> str:
    rows = []
    for encoder in ENCODERS:
        for arm in (*WITH_REWARD, *WITHOUT_REWARD):
            if of_arm := [cell for cell in found if (cell.encoder, cell.arm) == (encoder, arm)]:
                fitting = [cell for cell in of_arm if cell.fits]
                merged = sum(cell.measures["worst_error"] > MOST_ERROR for cell in fitting)
                kept = np.mean([cell.kept for cell in of_arm if cell.measures["required"]])
                title = arm.replace("_", " ")
                rows.append([encoder, title, str(len(of_arm)), f"{kept:.3f}", str(len(fitting)), str(merged)])
    header = ["encoder", "training", "judgements", "required pairs kept", "both R² ≥ 0.99"]
    return markdown_table([*header, "... and a required pair merged"], rows, left=(0, 1))


def _counterexamples(found: list[Cell]) -> str:
    rows = []
    for cell in found:
        measures = cell.measures
        if cell.arm == "joint" and cell.fits and measures["worst_error"] > MOST_ERROR:
            r2 = f"{cell.dynamics_r2:.4f}, {measures['reward_r2']:.4f}"
            merged = f"{measures['required'] - measures['kept']} of {measures['required']}"
            title = f"{cell.encoder}, {ROWS[cell.reward].title}"
            rows.append([title, cell.seed, r2, f"{measures['worst_error']:.3f}", merged])
    header = ["joint training in which both R² are at least 0.99 and a required pair is merged", "seed"]
    header += ["R² of dynamics, of the reward", "error of the worst pair", "required pairs merged"]
    return markdown_table(header, rows)


def _joint_against_reward_only(found: list[Cell]) -> str:
    rows = []
    for encoder in ENCODERS:
        by_arm: dict[str, dict[str, list[float]]] = {arm: {} for arm in WITH_REWARD}
        for cell in found:
            if cell.encoder == encoder and cell.arm in WITH_REWARD and cell.measures["required"]:
                by_arm[cell.arm].setdefault(cell.seed, []).append(cell.kept)
        means = [{seed: float(np.mean(of)) for seed, of in by_arm[arm].items()} for arm in WITH_REWARD]
        if difference := paired(*means):
            rows.append([encoder, interval_text(difference, "+.3f")])
    header = ["encoder", "required pairs kept: joint minus reward only, 95% t-interval, paired by seed"]
    return markdown_table(header, rows)


def _rewards(found: list[Cell]) -> str:
    columns = [(encoder, arm) for encoder in ENCODERS for arm in (*WITH_REWARD, "untrained")]
    rows = []
    for name, row in ROWS.items():
        entries = []
        for column in columns:
            groups = [
                cell.measures["groups"] for cell in found if (cell.encoder, cell.arm, cell.reward) == (*column, name)
            ]
            entries.append(f"{np.mean(groups):.1f}" if groups else "")
        rows.append([row.title, str(row.classes), *entries])
    titles = [f"{encoder}, {arm.replace('_', ' ')}" for encoder, arm in columns]
    return markdown_table(["reward", "classes required", *titles], rows)


def draw(facts: Facts, path: Path) -> None:
    """Write the figure: classes that the reward requires, and groups of states that are found in the latents."""
    figure = Figure(figsize=(11, 5), layout="constrained")
    found = cells(facts)
    generator = np.random.default_rng(0)
    for axes, encoder in zip(figure.subplots(1, 2, sharey=True), ENCODERS, strict=True):
        for arm, color in zip((*WITH_REWARD, *WITHOUT_REWARD), COLORS, strict=True):
            of_arm = [cell for cell in found if (cell.encoder, cell.arm) == (encoder, arm)]
            spread = np.exp(generator.normal(0, 0.04, (len(of_arm), 2)))  # where points lie on each other, all are seen
            points = np.array([(ROWS[cell.reward].classes, cell.measures["groups"]) for cell in of_arm]).reshape(-1, 2)
            faces = [color if cell.fits else "none" for cell in of_arm]
            axes.scatter(*(points * spread).T, s=22, edgecolors=color, facecolors=faces, linewidths=0.9)
            axes.scatter([], [], s=22, color=color, label=arm.replace("_", " "))
        axes.plot([1, 32], [1, 32], color="grey", linewidth=0.8, zorder=0)
        axes.set(xscale="log", yscale="log", xlabel="classes that the reward requires", title=encoder)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_ticks([1, 2, 4, 8, 16, 32], ["1", "2", "4", "8", "16", "32"])
            axis.set_minor_locator(NullLocator())
        axes.legend()
    figure.axes[0].set_ylabel("groups of states found in the latents")
    figure.suptitle("Filled: dynamics and reward can both be predicted (R² at least 0.99)")
    figure.savefig(path, dpi=100)
