"""Draw the pictures of the documents: python docs/make_pictures.py"""

import os
from pathlib import Path
from typing import Any

import gymnasium as gym
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pygame

from counting_env import SHAPES, CountingEnv
from counting_env.kernels import capacity
from counting_env.options import Reward
from counting_env.viewer.agents import DEMO
from counting_env.viewer.watch import AgentViewer
from counting_env.viewer.window import Viewer
from jepa_extractor.planning import Imagination

FOLDER = Path(__file__).parent / "images"
ADD, REMOVE = 1, 0
PAPER: dict[Any, Any] = {  # none, and a grey that can be read on a bright page as on a dark one
    "savefig.transparent": True,
    "legend.framealpha": 0,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), "#7d7d7d"),
}

# name of the picture, options, start, actions
EPISODES: list[tuple[str, dict[str, Any], dict[str, Any], list[Any]]] = [
    ("default", {}, {"count": 2, "shape": "circle"}, [ADD, REMOVE, ADD, ADD]),
    ("continuous", {"continuous": True}, {"count": 6, "shape": "triangle"}, [-0.3, 0.8, -0.1, -1.0]),
    ("dense", {"reward": "dense"}, {"count": 1, "shape": "square"}, [ADD, ADD, REMOVE, ADD]),
    ("persist", {"placement": "persist"}, {"count": 2, "shape": "circle"}, [ADD, REMOVE, ADD, ADD]),
    ("object", {"appearance": "object"}, {"count": 2}, [ADD, REMOVE, ADD, ADD]),
    ("hard", gym.spec("CountingEnvHard-v0").kwargs, {"count": 14, "shape": "circle"}, [ADD, REMOVE, ADD, ADD]),
    ("noise", {"background": "noise"}, {"count": 2, "shape": "square"}, [ADD, REMOVE, ADD, ADD]),
    ("clutter", {"background": "clutter"}, {"count": 2, "shape": "circle"}, [ADD, REMOVE, ADD, ADD]),
    ("drift", {"background": "drift"}, {"count": 2, "shape": "triangle"}, [ADD, REMOVE, ADD, ADD]),
    ("target", {"target": 0}, {"count": 2, "shape": "stroke"}, [REMOVE, ADD, REMOVE, REMOVE]),
    ("targets", {"target": (1, 3), "terminate_on_target": False}, {"count": 2, "shape": "circle"}, [ADD, REMOVE] * 2),
    (
        "shapes",
        {"target": {"circle": 4, "square": 2}, "least_count": 1, "terminate_on_target": False},
        {"count": 4, "shape": "square"},
        [REMOVE, REMOVE, ADD, ADD],
    ),
    ("wrap", {"max_count": 3, "target": 0, "wrap": True}, {"count": 1, "shape": "triangle"}, [ADD, ADD, ADD]),
    ("least", {"least_count": 1, "target": 3}, {"count": 2, "shape": "stroke"}, [REMOVE, REMOVE, ADD, ADD]),
    ("slip", {"slip": 0.5, "target": 8}, {"count": 2, "shape": "circle"}, [ADD, ADD, ADD, ADD]),
    ("no_end", {"terminate_on_target": False}, {"count": 3, "shape": "circle"}, [ADD, REMOVE, ADD, ADD]),
]


def draw_episode(name: str, options: dict[str, Any], start: dict[str, Any], actions: list[Any]) -> None:
    """Save a strip of the frames of one episode, with what was done and what it gave above each."""
    env = CountingEnv(**options)
    look = {} if env.options.appearance == "object" else {"color": (240, 170, 60)}
    image, _ = env.reset(seed=3, options={**look, **start})
    frames = [("start", image)]
    for action in actions:
        given = np.array([action], np.float32) if env.options.continuous else action
        image, reward, terminated, _, _ = env.step(given)
        done = f"{action:+}" if env.options.continuous else ("remove", "add")[action]
        frames.append((f"{done}\nreward {reward:g}{', end' if terminated else ''}", image))
        if terminated:
            break
    figure, axes = plt.subplots(1, len(frames), figsize=(1.5 * len(frames), 2.0))
    for axis, (title, frame) in zip(axes, frames, strict=True):
        show(axis, frame, title)
    save(figure, name)


def draw_counts() -> None:
    """Save one scene of every count, in the shapes' turn."""
    env = CountingEnv()
    env.reset(seed=6)
    figure, axes = plt.subplots(1, 9, figsize=(12, 1.6))
    for count, axis in enumerate(axes):
        image, _ = env.reset(options={"count": count, "shape": SHAPES[count % len(SHAPES)]})
        show(axis, image, f"{count}")
    save(figure, "counts")


def draw_capacities() -> None:
    """Save the fullest scene of several image sizes, all at the same scale."""
    sizes = (32, 64, 128, 256)
    figure, axes = plt.subplots(1, len(sizes), figsize=(9, 4.4), width_ratios=sizes)
    for axis, size in zip(axes, sizes, strict=True):
        most = capacity(size)
        env = CountingEnv(image_size=size, max_count=most, appearance="object")
        image, _ = env.reset(seed=1, options={"count": most})
        show(axis, image, f"{size} pixels\n{most} objects")
    save(figure, "sizes")


def draw_rewards() -> None:
    """Save both rewards over the count."""
    counts = np.arange(9)
    figure, axis = plt.subplots(figsize=(4, 2.2))
    styles: dict[Reward, str] = {"sparse": "o-", "dense": "s--"}
    for reward, style in styles.items():
        axis.plot(counts, CountingEnv(reward=reward).class_mdp[1], style, label=reward)
    axis.set(xlabel="count arrived at", ylabel="reward", xticks=counts)
    axis.legend()
    save(figure, "rewards")


def draw_favicon() -> None:
    """Save a small scene of four objects, the mark of the site."""
    image, _ = CountingEnv(image_size=32).reset(
        seed=3, options={"count": 4, "shape": "circle", "color": (240, 170, 60)}
    )
    plt.imsave(FOLDER / "favicon.png", image, metadata={"Software": None})


def draw_viewer() -> None:
    """Save the viewer's first screen, a success, and what the demonstration's agent imagines."""
    os.environ["SDL_VIDEODRIVER"] = "dummy"
    viewer = Viewer(gym.make("CountingEnv-v0"), max_episode_steps=4, seed=5)
    save_window(viewer, "play_first")
    viewer.welcoming = False
    while not viewer.game.ended:
        viewer.game.step(ADD if viewer.game.info["count"] < 4 else REMOVE)
    save_window(viewer, "play_success")
    viewer.close()
    watched = AgentViewer(gym.make("CountingEnv-v0"), 4, Imagination.load(DEMO), seed=7)
    save_window(watched, "agent", scale=1)
    watched.close()


def save_window(viewer: Viewer, name: str, scale: float = 0.5) -> None:
    """Write what the viewer shows, by default at half its size, to the folder of pictures."""
    viewer.draw()
    pygame.image.save(pygame.transform.smoothscale_by(viewer.canvas.surface, scale), FOLDER / f"{name}.png")


def show(axis: Any, image: np.ndarray, title: str) -> None:
    """Put ``image`` into ``axis`` without blur."""
    axis.imshow(image, interpolation="nearest")
    axis.set_title(title, fontsize=9)
    axis.axis("off")


def save(figure: Any, name: str) -> None:
    """Write ``figure`` to the folder of pictures."""
    figure.tight_layout(pad=0.4)
    figure.savefig(FOLDER / f"{name}.png", dpi=80, metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    mpl.use("Agg")
    mpl.rcParams.update(PAPER)
    FOLDER.mkdir(exist_ok=True)
    for episode in EPISODES:
        draw_episode(*episode)
    draw_counts()
    draw_capacities()
    draw_rewards()
    draw_viewer()
    draw_favicon()
