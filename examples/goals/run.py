"""One run of the study: train once, then plan for every goal from a few labelled pictures, and audit the encoder."""

import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.evaluation import evaluate_policy

from goals.train import UNSEEN_SEED, make_envs, make_test, steps_from_scratch, take_pictures, train
from jepa_extractor import JEPAExtractor, LatentPlanner, TransitionRing, pairwise_audit, random_episodes, retarget
from jepa_extractor.diagnostics import effective_rank, latent_std

PICTURE_SEED, AUDIT_SEED = 2_000_000, 3_000_000  # far above those of training
AUDITED = 100  # held-out pictures of each count
HELD_OUT = 2_000  # transitions on which the losses are measured
SCRATCH_GOALS = (0, 2, 4, 6, 8)


def run(configuration: dict[str, Any], seed: int, folder: Path) -> dict[str, Any]:  # noqa: ARG001  # a run needs no files
    """Train and measure; a pure function of ``configuration``, the fields of a ``Case``, and ``seed``.

    Returns:
        ``"success"``: by the number of labelled pictures, the success at each goal; ``"seconds"`` of the processor,
        training included; and the measures of the encoder. Of PPO from scratch, ``"steps"`` by goal alone.
    """
    start = time.process_time()
    if configuration["way"] == "scratch":
        steps = {str(goal): steps_from_scratch(configuration, goal, seed) for goal in SCRATCH_GOALS}
        return {"steps": steps, "seconds": round(time.process_time() - start, 1)}
    extractor = train(configuration, seed)
    goals = gym.make(configuration["env_id"]).get_wrapper_attr("options").max_count + 1
    result: dict[str, Any] = {"success": {}, **measure(extractor, configuration, goals, seed)}
    generator = np.random.default_rng(seed)
    labelled = [np.repeat(np.arange(goals), configuration["each"])]
    if configuration["drawn"]:
        labelled.append(generator.integers(goals, size=configuration["drawn"]))
    for counts in labelled:
        pictures = take_pictures(configuration, counts, PICTURE_SEED + seed)
        successes = [success(extractor, pictures, counts, goal, configuration) for goal in range(goals)]
        result["success"][str(len(counts))] = successes
    return {**result, "seconds": round(time.process_time() - start, 1)}


def success(
    extractor: JEPAExtractor, pictures: np.ndarray, counts: np.ndarray, goal: int, configuration: dict[str, Any]
) -> float:
    """Return the share of episodes in which a planner reaches ``goal``; 0 if the labels do not suffice for one."""
    try:
        planner = LatentPlanner(retarget(extractor, pictures, counts == goal), configuration["horizon"])
    except ValueError:  # no picture of the goal, or two labels for one latent
        return 0.0
    env = make_test(configuration, goal, min(configuration["episodes"], 128))
    env.seed(UNSEEN_SEED)
    returns, _ = evaluate_policy(planner, env, configuration["episodes"], return_episode_rewards=True, warn=False)
    return float(np.mean(returns))


def measure(extractor: JEPAExtractor, configuration: dict[str, Any], goals: int, seed: int) -> dict[str, float | None]:
    """Return the pairwise audit, the losses on held-out transitions, and the size of the latents."""
    counts = np.repeat(np.arange(goals), AUDITED)
    pictures = take_pictures(configuration, counts, AUDIT_SEED + seed)
    latents = extractor.encode(np.moveaxis(pictures, -1, 1))
    audit = pairwise_audit(latents, counts).numbers()
    episodes = random_episodes(make_envs(configuration, 64), HELD_OUT, AUDIT_SEED + seed, labels=("count",))
    batch = TransitionRing.from_episodes(episodes, seed=0).newest(HELD_OUT)
    with torch.no_grad():
        losses, encoded = extractor.losses(batch)
    variance = encoded.encoded.flatten(0, 1).var(dim=0).mean().item()
    return {
        "worst_required_error": audit["worst_required_error"],
        "kept_share": audit["required_pairs_kept"] / audit["required_pairs"],
        "relative_dynamics_loss": losses["dynamics"].item() / max(variance, 1e-12),
        "dynamics_loss": losses["dynamics"].item(),
        "reward_loss": losses["reward"].item() if "reward" in losses else None,
        "latent_std": latent_std(latents),
        "effective_rank": effective_rank(latents),
    }
