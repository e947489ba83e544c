"""Draw the pictures of "Why an encoder collapses": python docs/make_collapse.py

Two encoders are trained on the same transitions, with the same seed: one by prediction alone, one by prediction and the
reward. That takes about a minute.
"""

from pathlib import Path
from typing import Any

import gymnasium as gym
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

import counting_env
from jepa_extractor import JEPA, TransitionRing, pretrain, random_episodes
from jepa_extractor.diagnostics import latent_std

gym.register_envs(counting_env)

FOLDER = Path(__file__).parent / "images"
COUNTS, PER_COUNT, UPDATES, SEED = 9, 40, 400, 0
COLORS = mpl.colormaps["rainbow"].resampled(COUNTS)
PAPER: dict[Any, Any] = {  # none, and a grey that can be read on a bright page as on a dark one
    "savefig.transparent": True,
    "legend.framealpha": 0,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), "#7d7d7d"),
}
STYLES = {"prediction alone": ("tab:red", "--"), "prediction and reward": ("tab:blue", "-")}

Records = list[dict[str, float]]


def untrained(auxiliary: tuple[str, ...]) -> JEPA:
    """Return a JEPA with the weights that belong to the seed."""
    torch.manual_seed(SEED)
    env = gym.make("CountingEnv-v0")
    return JEPA(env.observation_space, env.action_space, auxiliary=auxiliary)


def trained(auxiliary: tuple[str, ...]) -> tuple[JEPA, Records]:
    """Train a JEPA on random play; return it and what it measured at every tenth update."""
    envs = gym.make_vec("CountingEnv-v0", num_envs=64, vectorization_mode="vector_entry_point")
    transitions = TransitionRing.from_episodes(random_episodes(envs, 10_000, SEED), seed=SEED)
    jepa = untrained(auxiliary)
    return jepa, pretrain(jepa, transitions, UPDATES, transition_updates=0, check_every=10)


def unseen() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return images of every count, channels first, and their counts."""
    env = gym.make("CountingEnv-v0")
    env.reset(seed=1_000)
    counts = np.repeat(np.arange(COUNTS), PER_COUNT)
    images = np.stack([env.reset(options={"count": int(count)})[0] for count in counts])
    return np.moveaxis(images, -1, 1), counts


def plane(latents: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the first two principal components of latents (N, D), (N, 2), unscaled."""
    centred = latents - latents.mean(0)
    points: NDArray[np.float32] = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
    return points


def draw_maps(jepas: dict[str, JEPA]) -> None:
    """Save a map of the latents of each JEPA, all on one scale."""
    images, counts = unseen()
    latents = {name: jepa.encode(images) for name, jepa in jepas.items()}
    points = {name: plane(values) for name, values in latents.items()}
    reach = 1.1 * max(np.abs(both).max() for both in points.values())
    figure, axes = plt.subplots(1, len(points), figsize=(9, 3.2), layout="constrained")
    for axis, (name, both) in zip(axes, points.items(), strict=True):
        dots = axis.scatter(*both.T, c=counts, cmap=COLORS, vmin=-0.5, vmax=COUNTS - 0.5, s=12)
        axis.set(title=f"{name}\nstandard deviation {latent_std(latents[name]):.2f}", xticks=[], yticks=[])
        axis.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    figure.colorbar(dots, ax=axes, ticks=range(COUNTS), label="objects in the image")
    save(figure, "collapse_maps")


def draw_losses(records: dict[str, Records]) -> None:
    """Save the loss of the prediction and the size of the latents over the training."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3), layout="tight")
    for axis, key, title in zip(
        axes,
        ("dynamics_loss", "latent_std"),
        ("loss of the prediction", "standard deviation of the latents"),
        strict=True,
    ):
        for name, measured in records.items():
            color, style = STYLES[name]
            updates, values = [record["update"] for record in measured], [record[key] for record in measured]
            axis.semilogy(updates, values, style, color=color, label=name)
        axis.set(title=title, xlabel="updates")
    axes[1].legend()
    save(figure, "collapse_losses")


def draw_reason() -> None:
    """Save which counts the reward tells apart, looking 0, 1, 2, ... actions ahead."""
    successors, values = counting_env.count_mdp()
    classes = np.unique(values, return_inverse=True)[1]
    rows = [classes]
    while classes.max() + 1 < COUNTS:
        signatures = np.column_stack([classes, classes[successors]])
        classes = np.unique(signatures, axis=0, return_inverse=True)[1]
        rows.append(classes)
    figure, axis = plt.subplots(figsize=(9, 3.2), layout="tight")
    for ahead, classes in enumerate(rows):
        for count, label in enumerate(classes):
            alone = np.sum(classes == label) == 1
            color = COLORS(count) if alone else "#7d7d7d"
            axis.add_patch(Rectangle((count - 0.47, ahead - 0.44), 0.94, 0.88, color=color))
            axis.text(count, ahead, str(count), ha="center", va="center", color="white" if not alone else "black")
    labels = [f"{number} actions ahead" for number in range(len(rows))]
    labels[0], labels[1] = "the reward itself", "1 action ahead"
    axis.set(xlim=(-0.6, COUNTS - 0.4), ylim=(len(rows) - 0.4, -0.6), xticks=[], yticks=range(len(rows)))
    axis.set_yticklabels(labels)
    axis.tick_params(length=0)
    axis.set_frame_on(False)
    save(figure, "collapse_reason")


def save(figure: Any, name: str) -> None:
    """Write ``figure`` to the folder of pictures."""
    figure.savefig(FOLDER / f"{name}.png", dpi=80, metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    mpl.use("Agg")
    mpl.rcParams.update(PAPER)
    alone, of_alone = trained(())
    both, of_both = trained(("reward",))
    draw_maps({"untrained": untrained(()), "prediction alone": alone, "prediction and reward": both})
    draw_losses({"prediction alone": of_alone, "prediction and reward": of_both})
    draw_reason()
