"""Does squared error keep apart what differs only in what may follow?

The theorem is for deterministic transitions. Where the next state is random, squared error learns the mean of the next
latents, and two states whose futures have the same mean may merge, although they are not bisimilar.

Design. Five states. From A one arrives in X or in Z, with even odds; from B in Y; X, Y and Z are not left. Arriving in
X earns 0, in Y 0.5, in Z 1. A and B are not bisimilar, since different rewards may follow; their mean is the same. Each
state has a latent of its own, two numbers, all equal at first; a head reads the reward of X, Y and Z off it, linearly,
so that the latent of Y can lie in the middle. Two latent transitions: one prediction trained by squared error, and
eight predictions trained by the energy score (Gneiting and Raftery, 2007), which is lowest where they are distributed
as what follows. The expected losses are computed exactly: there is no sample. And sticky actions, which must change
nothing: ``pooled`` with reward and dynamics by ``pretrain``'s defaults on ``CountingEnv-v0``, where with probability
``slip`` the other action happens.

Measures. The distance between the latents of A and B over that of X and Z. Of the sticky actions, the error of the
worst pair of counts (``compare_classes``, 60 held-out images of each).

Seeds. 800 to 809. Settings were chosen on seeds 0 and 1.

Thresholds. Squared error fails if the distance is below 0.2 in at least half of the runs. The energy score mends it if
the distance is above 0.2 in all of them. Sticky actions change nothing if the worst error stays at most 0.01 with
every slip and seed.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from jepa_extractor import TransitionRing, pretrain
from studies.facts import Facts
from studies.markdown import markdown_table, spread_text
from studies.measures import pairwise
from studies.worlds import Counting, make_jepa, walks

SEEDS = range(800, 810)
SLIPS = (0.0, 0.25)
TRANSITIONS, EACH = 20_000, 60
UPDATES, LEARNING_RATE, WIDTH = 4_000, 3e-3, 2  # of the five states
PREDICTIONS = {"squared": 1, "energy": 8}
A, B, X, Y, Z = range(5)
MERGED = 0.2
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    **{score: {"score": score} for score in PREDICTIONS},
    **{f"slip{slip}": {"slip": slip} for slip in SLIPS},
}


def run(configuration: dict[str, Any], seed: int, folder: Path) -> dict[str, float]:
    """Train one table of five latents, or one encoder under sticky actions, and measure what merged."""
    if "score" in configuration:
        latents = train_table(configuration["score"], seed)
        return {"distance": float((latents[A] - latents[B]).norm() / (latents[X] - latents[Z]).norm())}
    world = Counting({"target": 4, "max_count": 8, "image_size": 48, "slip": configuration["slip"]})
    torch.manual_seed(seed)
    jepa = make_jepa(world, "pooled")
    transitions = TransitionRing.from_episodes(walks(world, TRANSITIONS, seed), seed)
    pretrain(jepa, transitions, transition_updates=0, checkpoint=folder / "training.pt")
    images, counts = world.pictures(EACH, seed)
    return {"worst_error": pairwise(jepa.encode(images), counts)["worst_required_error"]}


def train_table(score: str, seed: int) -> torch.Tensor:
    """Return the latents of A, B, X, Y and Z, (5, WIDTH)."""
    torch.manual_seed(seed)
    number = PREDICTIONS[score]
    latents = nn.Parameter(torch.zeros(5, WIDTH))
    transition = nn.Sequential(nn.Linear(WIDTH, 64), nn.LayerNorm(64), nn.Mish(), nn.Linear(64, number * WIDTH))
    read = nn.Linear(WIDTH, 1)
    parameters = [latents, *transition.parameters(), *read.parameters()]
    optimizer = torch.optim.Adam(parameters, LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=UPDATES + 1)
    rewards = torch.tensor([0.0, 0.5, 1.0])
    for _ in range(UPDATES):
        predicted = transition(latents[[A, B]]).reshape(2, number, WIDTH)
        dynamics = sum(
            weight * energy_score(predicted[start], latents[end])
            for start, end, weight in ((0, X, 0.5), (0, Z, 0.5), (1, Y, 1.0))
        )
        reward = (read(latents[[X, Y, Z]]).squeeze(-1) - rewards).square().mean()
        optimizer.zero_grad()
        (2 * dynamics + 10 * reward).backward()
        optimizer.step()
        schedule.step()
    return latents.detach()


def energy_score(predicted: torch.Tensor, arrived: torch.Tensor) -> torch.Tensor:
    """Return the energy score of predictions (n, D) for a latent (D,); of a single one the squared error."""
    if len(predicted) == 1:
        return (predicted[0] - arrived).square().mean()
    apart = (predicted[:, None] - predicted[None]).square().sum(-1).add(1e-12).sqrt()
    pairs = len(predicted) * (len(predicted) - 1)
    return (predicted - arrived).square().sum(-1).add(1e-12).sqrt().mean() - apart.sum() / (2 * pairs)


def table(facts: Facts) -> str:
    """Return both tables: the five states, and sticky actions."""
    titles = {"squared": "squared error", "energy": "energy score, eight predictions"}
    scores, slips = [], []
    for score, title in titles.items():
        if distances := _measured(facts, score, "distance"):
            merged = np.sum(np.array(distances) < MERGED)
            spread = spread_text(distances, float(np.median(distances)))
            scores.append([title, str(len(distances)), spread, str(merged)])
    for slip in SLIPS:
        if errors := _measured(facts, f"slip{slip}", "worst_error"):
            slips.append([str(slip), str(len(errors)), f"{max(errors):.4f}"])
    header = ["latent transition", "runs", "distance of A and B over X and Z: median (range)", "below 0.2"]
    of_slips = markdown_table(["slip", "runs", "error of the worst pair of counts: highest"], slips, left=())
    return f"{markdown_table(header, scores)}\n\n{of_slips}"


def _measured(facts: Facts, name: str, measure: str) -> list[float]:
    return [run[measure] for run in facts["results"].get(name, {}).values()]


def draw(facts: Facts, path: Path) -> None:
    """Write the figure: the distance in each run."""
    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    for place, score in enumerate(PREDICTIONS):
        distances = _measured(facts, score, "distance")
        axes.scatter(np.full(len(distances), place), distances, alpha=0.6)
    axes.axhline(MERGED, color="grey", linestyle=":")
    axes.set_xticks(range(len(PREDICTIONS)), ["squared error", "energy score"])
    axes.set(ylabel="distance of A and B over that of X and Z", xlim=(-0.5, len(PREDICTIONS) - 0.5))
    figure.savefig(path, dpi=100)
