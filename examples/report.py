"""What the training examples share: their arguments, training that survives Ctrl-C, and the output folder."""

import argparse
import json
import platform
import time
from importlib.metadata import version
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from sklearn.model_selection import train_test_split
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, ProgressBarCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

from jepa_extractor.checkpoint import replace_file
from jepa_extractor.diagnostics import effective_rank, latent_std, nearest_centroid_accuracy
from jepa_extractor.plots import plot_latents

EPISODES = 1_000
UNSEEN_SEED = 1_000_000  # evaluation seeds start here, far above those of training
CLASSES = 9  # counts 0 to 8


def parse_arguments(description: str, steps: int, out: str) -> argparse.Namespace:
    """Return the command line of a training example and set torch's number of threads."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--steps", type=int, default=steps, help="environment steps to train for")
    parser.add_argument("--seed", type=int, default=0, help="seed of environments, networks and batches")
    parser.add_argument("--out", type=Path, default=Path(out), help="output folder")
    parser.add_argument("--no-jepa", action="store_true", help="train Stable-Baselines3's own NatureCNN instead")
    parser.add_argument("--device", default="cpu", help="torch device")
    parser.add_argument("--threads", type=int, default=2, help="torch threads")
    arguments = parser.parse_args()
    if arguments.steps < 1 or arguments.threads < 1 or arguments.seed < 0:
        parser.error("--steps and --threads take a positive integer, --seed one of at least 0")
    torch.set_num_threads(arguments.threads)
    try:
        torch.device(arguments.device)
        arguments.out.mkdir(parents=True, exist_ok=True)
    except (RuntimeError, OSError) as error:
        parser.error(f"--device {arguments.device} --out {arguments.out}: {error}")
    return arguments


def train_and_report(model: BaseAlgorithm, callback: BaseCallback | None, arguments: argparse.Namespace) -> None:
    """Train ``model``, save it, evaluate it on unseen episodes, and draw the latents of its encoder."""
    path = arguments.out / "model.zip"
    start = time.perf_counter()
    progress = ProgressBarCallback()
    try:
        model.learn(arguments.steps, callback=[progress] if callback is None else [callback, progress])
    except KeyboardInterrupt:
        progress.on_training_end()  # left open, the bar would print a traceback at exit
        replace_file(path, model.save)
        raise SystemExit(f"\nInterrupted after {model.num_timesteps} steps: the model so far is in {path}") from None
    seconds = time.perf_counter() - start
    replace_file(path, model.save)

    assert model.env is not None
    env_id = model.env.get_attr("spec")[0].id
    success = evaluate(model, env_id)
    latents, counts = encode_scenes(model, env_id)
    plot_latents(latents, counts, arguments.out / "latent.png", "count")
    fit, held_out, fit_counts, held_out_counts = train_test_split(latents, counts, random_state=0, stratify=counts)
    result = {
        "environment": env_id,
        "algorithm": type(model).__name__,
        "encoder": type(features_extractor(model)).__name__,
        "seed": arguments.seed,
        "steps": model.num_timesteps,
        "training_seconds": round(seconds, 1),
        "episodes": EPISODES,
        "success_rate": success,
        "nearest_centroid_accuracy": nearest_centroid_accuracy(fit, fit_counts, held_out, held_out_counts),
        "latent_std": latent_std(latents),
        "effective_rank": effective_rank(latents),
        "threads": torch.get_num_threads(),
        "machine": platform.processor() or platform.machine(),
        "versions": {name: version(name) for name in ("stable-baselines3", "torch", "gymnasium", "numpy")},
    }
    (arguments.out / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    print_table(result, arguments.out)


def evaluate(model: BaseAlgorithm, env_id: str) -> float:
    """Return the share of ``EPISODES`` episodes of unseen seeds in which the deterministic policy succeeds."""
    env = make_vec_env(env_id, n_envs=50)
    env.seed(UNSEEN_SEED)
    successes: list[bool] = []
    wanted = np.full(env.num_envs, EPISODES // env.num_envs)  # as many from each: else more short ones would count
    observations = env.reset()
    while wanted.any():
        actions, _ = model.predict(observations, deterministic=True)  # type: ignore[arg-type]  # no tuple
        observations, _, ended, infos = env.step(actions)
        for i in np.flatnonzero(ended & (wanted > 0)):
            successes.append(infos[i]["is_success"])
            wanted[i] -= 1
    return float(np.mean(successes))


def encode_scenes(model: BaseAlgorithm, env_id: str, each: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """Return the features (N, D) of ``each`` fresh scenes of every count, and their counts (N,)."""
    env = gym.make(env_id)
    env.reset(seed=UNSEEN_SEED)
    counts = np.tile(np.arange(CLASSES), each)
    images = np.stack([env.reset(options={"count": int(count)})[0] for count in counts])
    extractor = features_extractor(model)
    with torch.no_grad():
        pixels = torch.from_numpy(images).to(model.device).permute(0, 3, 1, 2).float() / 255
        features = torch.cat([extractor(chunk) for chunk in pixels.split(100)])
    return features.cpu().numpy(), counts


def features_extractor(model: BaseAlgorithm) -> BaseFeaturesExtractor:
    """Return the first features extractor of the model's policy."""
    return next(module for module in model.policy.modules() if isinstance(module, BaseFeaturesExtractor))


def print_table(result: dict[str, object], out: Path) -> None:
    """Print the main numbers of ``result`` and where everything is."""
    table = Table(title=f"{result['algorithm']} on {result['environment']}, {result['encoder']}")
    table.add_column("measure")
    table.add_column("value", justify="right")
    for name in ("success_rate", "nearest_centroid_accuracy", "latent_std", "effective_rank"):
        table.add_row(name.replace("_", " "), f"{result[name]:.3f}")
    table.add_row("steps", f"{result['steps']:,}")
    table.add_row("training seconds", f"{result['training_seconds']}")
    Console().print(table)
    print(f"In {out}: model.zip, latent.png (what the encoder learned), result.json, TensorBoard logs")
