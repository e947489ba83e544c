"""Draw the moving picture of the README: a policy plays, beside the map of its latents: python docs/make_gif.py

PPO is trained longer than in README's block, which takes about two minutes.
"""

import io
from pathlib import Path
from typing import Any

import gymnasium as gym
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

import counting_env
from jepa_extractor import JEPA, JEPACallback, jepa_policy_kwargs

gym.register_envs(counting_env)

OUT = Path(__file__).parent / "images" / "playing.gif"
COUNTS, PER_COUNT = 9, 30
STARTS = (2, 8, 1, 6)  # counts at which the episodes begin
GOAL = 4
FRAME, LAST = 700, 1_400  # milliseconds
COLORS = mpl.colormaps["turbo"].resampled(COUNTS)
DARK: dict[Any, Any] = {  # so that it stands on a bright page as on a dark one
    **dict.fromkeys(("figure.facecolor", "axes.facecolor"), "#131416"),
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color"), "#e8e8e8"),
    "axes.edgecolor": "#555555",
}

Images = NDArray[np.uint8]
Floats = NDArray[np.float32]


def trained() -> PPO:
    """Return a model that has learned to count."""
    env = make_vec_env("CountingEnv-v0", n_envs=8, seed=0)
    policy_kwargs = jepa_policy_kwargs(env)
    model = PPO("CnnPolicy", env, learning_rate=1e-3, n_steps=128, batch_size=256, policy_kwargs=policy_kwargs, seed=0)
    return model.learn(16_384, callback=JEPACallback())


def background(env: gym.Env[Images, int]) -> tuple[Images, NDArray[np.int64]]:
    """Return images of every count, and their counts."""
    env.reset(seed=1_000)
    counts = np.repeat(np.arange(COUNTS), PER_COUNT)
    return np.stack([env.reset(options={"count": int(count)})[0] for count in counts]), counts


def episodes(model: PPO, env: gym.Env[Images, int]) -> list[list[tuple[Images, str]]]:
    """Return what the policy sees in each episode, and what is to be said of it."""
    played = []
    for start in STARTS:
        image, info = env.reset(options={"count": start})
        frames, ended = [], False
        while not ended:
            action = int(model.predict(image, deterministic=True)[0])
            frames.append((image, f"{objects(info['count'])}: {('remove', 'add')[action]} one"))
            image, reward, terminated, truncated, info = env.step(action)
            ended = terminated or truncated
        frames.append((image, f"{objects(info['count'])}: reward {reward:g}"))
        played.append(frames)
    return played


def objects(count: int) -> str:
    """Return a count in words."""
    return "1 object" if count == 1 else f"{count} objects"


def drawn(image: Images, said: str, dots: Floats, counts: NDArray[np.int64], way: list[Floats]) -> Figure:
    """Draw one frame: the image, and the way of its episode over the map."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 3.6), layout="constrained")
    left.imshow(image, interpolation="nearest")
    left.set_title(said)
    left.axis("off")
    figure.suptitle(f"goal: {GOAL}", x=0.02, ha="left", weight="bold")
    shown = right.scatter(*dots.T, c=counts, cmap=COLORS, vmin=-0.5, vmax=COUNTS - 0.5, s=10)
    right.plot(*np.stack(way).T, color="white", linewidth=1)
    right.plot(*way[-1], "o", color="white", markeredgecolor="black", markeredgewidth=2, markersize=10)
    right.set(title="its latent, among those of other images", xticks=[], yticks=[])
    figure.colorbar(shown, ax=right, ticks=range(COUNTS), label="objects")
    return figure


def pixels(figure: Figure) -> Image.Image:
    """Return a drawing as an image of few colours."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=80)
    plt.close(figure)
    return Image.open(file).convert("RGB").quantize(64)


if __name__ == "__main__":
    mpl.use("Agg")
    mpl.rcParams.update(DARK)
    model = trained()
    jepa = model.policy.features_extractor.jepa
    assert isinstance(jepa, JEPA)
    env = gym.make("CountingEnv-v0")
    images, counts = background(env)
    latents = jepa.encode(images)
    mean = latents.mean(0)
    axes = np.linalg.svd(latents - mean, full_matrices=False)[2][:2]
    film, times = [], []
    for frames in episodes(model, env):
        way: list[Floats] = []
        for image, said in frames:
            way.append((jepa.encode(image[None])[0] - mean) @ axes.T)
            film.append(pixels(drawn(image, said, (latents - mean) @ axes.T, counts, way)))
            times.append(LAST if image is frames[-1][0] else FRAME)
    film[0].save(OUT, save_all=True, append_images=film[1:], duration=times, loop=0, optimize=True)
    print(OUT, OUT.stat().st_size // 1024, "KiB")
