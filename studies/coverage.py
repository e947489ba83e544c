"""Which observations collapse when little is seen of each?

The theorem for finite data says: where both losses are zero, observations that the data tells apart have different
latents. It says nothing of the others.

Design. 2,000 random steps of the counts 0 to 8, with 1 rewarded at four, in episodes of 1, 2, 4 or 8 steps: the longer
an episode, the more pairs of its observations are told apart by rewards that follow the same actions. Two encoders
learn from them, with reward and dynamics: a ``table``, which has a latent of its own for every observation, all equal
at first, and cannot generalise; and a ``network``, the default encoder, which sees images. The table takes 3,000 steps
of Adam on all data at once, the network ``pretrain``'s defaults.

Measures. 20,000 random pairs of observations of the data fall into three kinds: *told apart* by the data
(``EmpiricalBisimulation``), *other count* but not told apart, and *same count*. Of each kind, the share that collapsed,
whose distance is below 0.05 of the root mean square distance of all pairs. And the two R² on the data, of rewards
and of next latents.

Seeds. 800 to 804. Settings were chosen on seeds 0 and 1.

Thresholds. The theorem is falsified by a run whose R² are both at least 0.99 and in which more than 1% of the pairs
that are told apart collapsed. The table shows what the theorem leaves open if it collapses pairs of other counts that
are not told apart as often as pairs of the same count, within 0.1; the network generalises if it collapses at most 5%
of them.
"""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import nn

from jepa_extractor import JEPA, Episode, TransitionRing, pretrain, random_episodes
from jepa_extractor.bisimulation import EmpiricalBisimulation
from jepa_extractor.bisimulation.episodes import episode_successors
from studies.facts import Facts
from studies.markdown import markdown_table
from studies.measures import losses_and_variance
from studies.worlds import Counting, make_jepa

SEEDS = range(800, 805)
TRANSITIONS, PAIRS = 2_000, 20_000
LENGTHS = (1, 2, 4, 8)
UPDATES, LEARNING_RATE, WIDTH = 3_000, 1e-2, 16  # of the table
COLLAPSED = 0.05  # of the root mean square distance
KINDS = ("told_apart", "other_count", "same_count")
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    f"{encoder}-{length}": {"encoder": encoder, "length": length}
    for encoder in ("table", "network")
    for length in LENGTHS
}
WORLD = Counting({"target": 4, "max_count": 8, "image_size": 48})


class Table(nn.Module):
    """A latent for every observation, which is its number (1,). All begin equal."""

    def __init__(self, observation_space: spaces.Box, latent_dim: int) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.zeros(int(observation_space.high[0]) + 1, latent_dim))

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        """Map numbers (B, 1) to latents (B, D)."""
        return self.rows[numbers[:, 0].long()]


def run(configuration: dict[str, Any], seed: int, folder: Path) -> dict[str, Any]:
    """Train on episodes of one length, and measure which pairs of their observations collapsed."""
    envs = WORLD.make(max_episode_steps=configuration["length"])
    episodes = list(random_episodes(envs, TRANSITIONS, seed, labels=("count",)))
    torch.manual_seed(seed)
    if configuration["encoder"] == "table":
        jepa, episodes = _trained_table(episodes, envs.single_action_space)
    else:
        jepa = make_jepa(WORLD, "pooled")
        pretrain(jepa, TransitionRing.from_episodes(episodes, seed), checkpoint=folder / "training.pt")
    latents = jepa.encode(np.concatenate([episode.observations for episode in episodes]))
    counts = np.concatenate([episode.labels["count"] for episode in episodes])
    told = _tells_apart(episodes)
    pairs = np.random.default_rng(seed).integers(len(counts), size=(PAIRS, 2))
    distances = np.linalg.norm(latents[pairs[:, 0]] - latents[pairs[:, 1]], axis=1)
    collapsed = distances < COLLAPSED * np.sqrt(np.mean(distances**2))
    apart = np.array([told.distinguishable(i, j) for i, j in pairs])
    same = counts[pairs[:, 0]] == counts[pairs[:, 1]]
    result: dict[str, Any] = {}
    for kind, of_kind in zip(KINDS, (apart, ~apart & ~same, ~apart & same & (pairs[:, 0] != pairs[:, 1])), strict=True):
        result[kind] = float(of_kind.mean())
        result[f"{kind}_collapsed"] = float(collapsed[of_kind].mean())
    return result | _r2(jepa, episodes)


def _trained_table(episodes: list[Episode], actions: gym.Space[Any]) -> tuple[JEPA, list[Episode]]:
    """Return a trained table, and the episodes with numbers for observations."""
    ends = np.cumsum([len(episode.observations) for episode in episodes])
    numbers = np.split(np.arange(ends[-1], dtype=np.float32)[:, None], ends[:-1])
    numbered = [episode._replace(observations=rows) for episode, rows in zip(episodes, numbers, strict=True)]
    space = spaces.Box(0, float(ends[-1] - 1), (1,))
    jepa = JEPA(space, actions, latent_dim=WIDTH, encoder=Table)
    batch = TransitionRing.from_episodes(numbered, seed=0).newest(TRANSITIONS)
    optimizer = torch.optim.Adam(jepa.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=UPDATES + 1)
    for _ in range(UPDATES):
        optimizer.zero_grad()
        jepa.loss(batch)[0].backward()
        optimizer.step()
        schedule.step()
    return jepa, numbered


def _tells_apart(episodes: list[Episode]) -> EmpiricalBisimulation:
    """Return what the data tells apart; the first observation of an episode was not arrived at, so it has no reward."""
    values = np.concatenate([np.append(np.nan, episode.rewards) for episode in episodes])
    return EmpiricalBisimulation(episode_successors([episode.actions for episode in episodes], 2), values)


def _r2(jepa: JEPA, episodes: list[Episode]) -> dict[str, float]:
    batch = TransitionRing.from_episodes(episodes, seed=0).newest(TRANSITIONS)
    losses, variance = losses_and_variance(jepa, batch)
    return {
        "dynamics_r2": 1 - losses["dynamics"] / max(variance, 1e-12),
        "reward_r2": 1 - losses["reward"] / float(batch.rewards.var()),
    }


def table(facts: Facts) -> str:
    """Return a row for each encoder and length: means over seeds, and the lowest R²."""
    rows = []
    for name, configuration in CONFIGURATIONS.items():
        if runs := list(facts["results"].get(name, {}).values()):
            means = {key: np.mean([run[key] for run in runs]) for key in runs[0]}
            lowest = [min(run[key] for run in runs) for key in ("reward_r2", "dynamics_r2")]
            shares = [means["told_apart"], *(means[f"{kind}_collapsed"] for kind in KINDS)]
            cells = [configuration["encoder"], str(configuration["length"]), *(f"{share:.3f}" for share in shares)]
            rows.append([*cells, f"{lowest[0]:.3f}, {lowest[1]:.3f}"])
    header = ["encoder", "steps of an episode", "pairs told apart", "of these collapsed"]
    header += ["other count, not told apart: collapsed", "same count: collapsed", "lowest R²: reward, dynamics"]
    return markdown_table(header, rows)


def draw(facts: Facts, path: Path) -> None:
    """Write the figure: the share of each kind of pairs that collapsed, over the length of an episode."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    for axes, encoder in zip(figure.subplots(1, 2, sharey=True), ("table", "network"), strict=True):
        for kind in KINDS:
            shares: list[tuple[int, NDArray[np.float64]]] = [
                (
                    length,
                    np.array([run[f"{kind}_collapsed"] for run in facts["results"][f"{encoder}-{length}"].values()]),
                )
                for length in LENGTHS
                if facts["results"].get(f"{encoder}-{length}")
            ]
            lengths = [length for length, _ in shares]
            (line,) = axes.plot(
                lengths, [share.mean() for _, share in shares], marker="o", label=kind.replace("_", " ")
            )
            low, high = ([reduce(share) for _, share in shares] for reduce in (np.min, np.max))
            axes.fill_between(lengths, low, high, color=line.get_color(), alpha=0.2)
        axes.set(xscale="log", xlabel="steps of an episode", title=encoder, ylim=(-0.03, 1.03))
        axes.set_xticks(LENGTHS, [str(length) for length in LENGTHS], minor=False)
        axes.minorticks_off()
    figure.axes[0].set_ylabel("share of the pairs that collapsed")
    figure.axes[0].legend()
    figure.savefig(path, dpi=100)
