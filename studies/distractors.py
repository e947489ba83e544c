"""What is forgotten that does not matter, and is it kept where it does?

Design. Counts 0 to 8, with three distractors painted into every image: a *bar* below, at one of five places, which
moves on by one with each step, whatever the action; *lights* above, five of which each is on or off at random at each
step; and the *look*, the brightest channel of the objects' colour, which stays for an episode. The bar can be
predicted, the lights cannot, the look never changes. Four rewards: of the ``count`` alone, 1 at four; and 1 at four if
also the ``bar`` is at the first or second place, the first ``light`` is on, or the ``look`` is red. Half of each batch
is rewarded. The encoder ``places``, which can see all of these, is trained with reward and dynamics (``joint``), with
the reward alone (``reward_only``), or not at all (``untrained``), by ``pretrain``'s defaults on 20,000 random steps.

Measures. The accuracy of a logistic regression that reads the bar (5 classes), the first light (2), the look (3; not in
empty images) and the count (9) off held-out latents; it is fitted to 2,000 latents, and tested on 2,000.

Seeds. 800 to 804. Settings were chosen on seeds 0 and 1.

Thresholds. A distractor is forgotten if, with the reward of the count, joint training lowers its accuracy below the
untrained encoder's, and kept where it matters if its own reward raises it above that with the reward of the count: both
by the mean difference paired by seed, with a 95% t-interval that leaves out 0.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from jepa_extractor import Episode, TransitionRing, pretrain
from studies.facts import Facts
from studies.markdown import interval_text, markdown_table
from studies.measures import probe
from studies.statistics import paired
from studies.worlds import Counting, make_jepa, walks

Labels = NDArray[np.int64]

SEEDS = range(800, 805)
WORLD = Counting({"target": 4, "max_count": 8, "image_size": 48})
TRANSITIONS, READ = 20_000, 2_000
TEST_SEED = 1_000_000  # far above those of training
PLACES, CELL, HEIGHT = 5, 9, 3  # of the bar and the lights: how many, and pixels of each
REWARDS = ("count", "bar", "light", "look")
ARMS = ("joint", "reward_only")
CONFIGURATIONS = {
    **{f"{arm}-{reward}": {"arm": arm, "reward": reward} for arm in ARMS for reward in REWARDS},
    "untrained": {"arm": "untrained", "reward": "count"},
}


class Painted(NamedTuple):
    """Episodes with distractors, and what each of their observations shows, (N,) in all."""

    episodes: list[Episode]
    labels: dict[str, Labels]  # "count", "bar", "light", and "look", -1 in an empty image


def run(configuration: dict[str, Any], seed: int, folder: Path) -> dict[str, float]:
    """Train one encoder, and read everything off its latents."""
    painted = paint(walks(WORLD, TRANSITIONS, seed), configuration["reward"], seed)
    torch.manual_seed(seed)
    weights = {"dynamics_weight": 0.0} if configuration["arm"] == "reward_only" else {}
    jepa = make_jepa(WORLD, "places", **weights)
    if configuration["arm"] != "untrained":
        transitions = TransitionRing.from_episodes(painted.episodes, seed)
        pretrain(jepa, transitions, transition_updates=0, checkpoint=folder / "training.pt")
    (fit, fit_labels), (test, test_labels) = (
        (jepa.encode(np.concatenate([episode.observations for episode in some.episodes])), some.labels)
        for offset in (TEST_SEED, 2 * TEST_SEED)
        for some in [paint(walks(WORLD, READ, offset + seed), "count", offset + seed)]
    )
    return {name: probe(fit, fit_labels[name], test, test_labels[name]) for name in REWARDS}


def paint(episodes: list[Episode], reward: str, seed: int) -> Painted:
    """Return episodes whose images hold bar and lights, and whose steps earn ``reward``, one of ``REWARDS``."""
    generator = np.random.default_rng(seed)
    painted: list[Episode] = []
    labels: dict[str, list[Labels]] = {name: [] for name in REWARDS}
    for episode in episodes:
        images = episode.observations.copy()
        assert isinstance(images, np.ndarray)
        counts = episode.labels["state"].astype(int)
        look = _brightest_channel(images, counts)
        bar = (generator.integers(PLACES) + np.arange(len(images))) % PLACES
        lights = generator.integers(2, size=(len(images), PLACES))
        for place in range(PLACES):
            columns = slice(place * CELL, (place + 1) * CELL)
            images[bar == place, :, -HEIGHT:, columns] = 255
            images[lights[:, place] == 1, :, :HEIGHT, columns] = 255
        seen = {"count": counts, "bar": bar, "light": lights[:, 0], "look": look}
        matters = {"count": counts >= 0, "bar": bar < 2, "light": seen["light"] == 1, "look": look == 0}[reward]
        rewards = ((counts == 4) & matters)[1:].astype(np.float32)
        painted.append(episode._replace(observations=images, rewards=rewards))
        for name, of_episode in seen.items():
            labels[name].append(of_episode)
    return Painted(painted, {name: np.concatenate(parts) for name, parts in labels.items()})


def _brightest_channel(images: NDArray[np.uint8], counts: Labels) -> Labels:
    """Return the brightest channel of the objects' colour in each image, (N,), -1 where there is none."""
    return np.where(counts > 0, images.max(axis=(2, 3)).argmax(axis=1), -1)


def table(facts: Facts) -> str:
    """Return the accuracies by training and reward, and the answers to the thresholds."""
    results = facts["results"]
    accuracies = []
    for name, configuration in CONFIGURATIONS.items():
        if runs := list(results.get(name, {}).values()):
            reward = "" if configuration["arm"] == "untrained" else configuration["reward"]
            cells = [f"{np.mean([run[read] for run in runs]):.3f}" for read in REWARDS]
            accuracies.append([configuration["arm"].replace("_", " "), reward, *cells])

    def difference(one: str, other: str, read: str) -> str:
        of_both = ({seed: run[read] for seed, run in results.get(name, {}).items()} for name in (one, other))
        found = paired(*of_both)
        return interval_text(found, "+.3f") if found else ""

    answers = [
        [name, difference("joint-count", "untrained", name), difference(f"joint-{name}", "joint-count", name)]
        for name in REWARDS[1:]
    ]
    header = ["distractor", "forgotten: joint minus untrained", "kept: its own reward minus that of the count"]
    of_rewards = markdown_table(["training", "reward of", *REWARDS], accuracies, left=(0, 1))
    return f"{of_rewards}\n\n{markdown_table(header, answers)}"


def draw(facts: Facts, path: Path) -> None:
    """Write the figure: for each distractor, the accuracy in every run."""
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    for axes, read in zip(figure.subplots(1, len(REWARDS), sharey=True), REWARDS, strict=True):
        for place, name in enumerate(CONFIGURATIONS):
            scores = [run[read] for run in facts["results"].get(name, {}).values()]
            color = "#d55e00" if name.endswith(read) and read != "count" else "#0072b2"
            axes.scatter(np.full(len(scores), place), scores, color=color, alpha=0.6, s=16)
        axes.set_xticks(range(len(CONFIGURATIONS)), [name.replace("_", " ") for name in CONFIGURATIONS], rotation=90)
        axes.set_title(f"{read} (orange: rewarded)" if read != "count" else read)
    figure.axes[0].set_ylabel("accuracy of a linear reading")
    figure.savefig(path, dpi=100)
