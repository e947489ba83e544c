"""Does a planner reach every goal of ``CountingEnv-v0`` from a few labelled pictures, trained for one of them?

An encoder and its transition are trained once, with the reward at four; ``retarget`` makes each new goal. Ways to
train, measures, seeds and thresholds: ``docs/plans/new_goal.md``.
"""

import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from matplotlib.figure import Figure
from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecEnv, VecMonitor

import counting_env
from counting_env.sb3 import GymnasiumVecEnv
from jepa_extractor import (
    JEPA,
    LabelTask,
    TransitionRing,
    fit_transition,
    jepa_policy_kwargs,
    pretrain,
    random_episodes,
)
from jepa_extractor.diagnostics import effective_rank, latent_std
from jepa_extractor.networks.encoders import EncoderName
from jepa_extractor.planning import LatentPlanner, retarget
from studies.comparison import Evaluation
from studies.facts import Facts
from studies.markdown import interval_text, markdown_table, spread_text
from studies.measures import losses_and_variance, pairwise
from studies.statistics import rank_correlation

gym.register_envs(counting_env)

SEEDS = range(600, 603)
UNSEEN_SEED, PICTURE_SEED, AUDIT_SEED = 1_000_000, 2_000_000, 3_000_000  # far above those of training
AUDITED = 100  # held-out pictures of each count
HELD_OUT = 2_000  # transitions on which the losses are measured
SCRATCH_GOALS = (0, 2, 4, 6, 8)
SUCCESS = 0.95  # at which the PPO from scratch stops
OPTIONS: dict[str, dict[str, Any]] = {
    "joint": {},
    "reward_only": {"dynamics_weight": 0.0},
    "dynamics_only": {"auxiliary": ()},
    "label": {"auxiliary": (LabelTask("count", weight=0.2),)},
    "untrained": {"auxiliary": ()},
}
# those of ``sample_efficiency``
SETTINGS: dict[str, Any] = {"n_steps": 128, "batch_size": 256, "n_epochs": 4, "ent_coef": 0.1, "gamma": 0.9}


@dataclass(frozen=True)
class Case:
    """One case of the study. Every JEPA is trained at one goal, without a look at the others."""

    title: str
    way: str = "joint"  # see ``train``
    env_id: str = "CountingEnv-v0"
    background: str = "black"
    slip: float = 0.0  # in training and test
    transitions: int = 20_000  # under random actions
    updates: int = 500  # of the encoder
    transition_updates: int = 1_000  # of the transition on the finished encoder
    ppo_steps: int = 30_720  # of the frozen PPO; at most, for each goal, of the PPO from scratch
    each: int = 1  # labelled pictures of each count
    drawn: int = 50  # labelled pictures of counts drawn at random, in a second measurement; 0 for none
    horizon: int = 8  # of the planner, and steps of an episode in the test
    episodes: int = 128  # for each goal


WAYS = {
    "joint": Case("joint, reward"),
    "reward_only": Case("reward only", way="reward_only"),
    "dynamics_only": Case("dynamics only", way="dynamics_only"),
    "label": Case("joint, count as label", way="label"),
    "untrained": Case("untrained", way="untrained"),
    "frozen_ppo": Case("PPO with NatureCNN, frozen", way="frozen_ppo"),
}
NOISE = {
    "joint_noise": Case("joint, reward", background="noise"),
    "reward_only_noise": Case("reward only", way="reward_only", background="noise"),
    "dynamics_only_noise": Case("dynamics only", way="dynamics_only", background="noise"),
    "untrained_noise": Case("untrained", way="untrained", background="noise"),
}
SCRATCH = {"scratch": Case("PPO from scratch", way="scratch", ppo_steps=20_480)}
HARD = {
    "hard": Case("joint, reward", env_id="CountingEnvHard-v0", updates=1_000, each=2, drawn=0, horizon=32, episodes=64)
}
SLIP = {
    "slip_0.1": Case("slip 0.1", slip=0.1, drawn=0),
    "slip_0.2": Case("slip 0.2", slip=0.2, drawn=0),
    "slip_0.3": Case("slip 0.3", slip=0.3, drawn=0),
}
# where no dynamics loss trained the transition before
TRANSITION = {
    "transition_10": Case("transition, 10 updates", way="reward_only", transition_updates=10, drawn=0),
    "transition_100": Case("transition, 100 updates", way="reward_only", transition_updates=100, drawn=0),
}
FEW_UPDATES = {
    "joint_10": Case("encoder, 10 updates", updates=10, drawn=0),
    "joint_30": Case("encoder, 30 updates", updates=30, drawn=0),
    "joint_100": Case("encoder, 100 updates", updates=100, drawn=0),
}
CASES = WAYS | NOISE | SCRATCH | HARD | SLIP | TRANSITION | FEW_UPDATES
CONFIGURATIONS = {name: asdict(case) for name, case in CASES.items()}


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
    jepa = train(configuration, seed)
    goals = gym.make(configuration["env_id"]).get_wrapper_attr("options").max_count + 1
    result: dict[str, Any] = {"success": {}, **measure(jepa, configuration, goals, seed)}
    generator = np.random.default_rng(seed)
    labelled = [np.repeat(np.arange(goals), configuration["each"])]
    if configuration["drawn"]:
        labelled.append(generator.integers(goals, size=configuration["drawn"]))
    for counts in labelled:
        pictures = take_pictures(configuration, counts, PICTURE_SEED + seed)
        successes = [success(jepa, pictures, counts, goal, configuration) for goal in range(goals)]
        result["success"][str(len(counts))] = successes
    return {**result, "seconds": round(time.process_time() - start, 1)}


def success(jepa: JEPA, pictures: np.ndarray, counts: np.ndarray, goal: int, configuration: dict[str, Any]) -> float:
    """Return the share of episodes in which a planner reaches ``goal``; 0 if the labels do not suffice for one."""
    try:
        planner = LatentPlanner(retarget(jepa, pictures, counts == goal), configuration["horizon"])
    except ValueError:  # no picture of the goal, or two labels for one latent
        return 0.0
    env = make_test(configuration, goal, min(configuration["episodes"], 128))
    env.seed(UNSEEN_SEED)
    returns, _ = evaluate_policy(planner, env, configuration["episodes"], return_episode_rewards=True, warn=False)
    return float(np.mean(returns))


def measure(jepa: JEPA, configuration: dict[str, Any], goals: int, seed: int) -> dict[str, float | None]:
    """Return the pairwise audit, the losses on held-out transitions, and the size of the latents."""
    counts = np.repeat(np.arange(goals), AUDITED)
    pictures = take_pictures(configuration, counts, AUDIT_SEED + seed)
    latents = jepa.encode(np.moveaxis(pictures, -1, 1))
    audit = pairwise(latents, counts)
    episodes = random_episodes(make_envs(configuration, 64), HELD_OUT, AUDIT_SEED + seed, labels=("count",))
    batch = TransitionRing.from_episodes(episodes, seed=0).newest(HELD_OUT)
    losses, variance = losses_and_variance(jepa, batch)
    return {
        "worst_required_error": audit["worst_required_error"],
        "kept_share": audit["required_pairs_kept"] / audit["required_pairs"],
        "relative_dynamics_loss": losses["dynamics"] / max(variance, 1e-12),
        "dynamics_loss": losses["dynamics"],
        "reward_loss": losses.get("reward"),
        "latent_std": latent_std(latents),
        "effective_rank": effective_rank(latents),
    }


def make_envs(configuration: dict[str, Any], num_envs: int, **options: Any) -> gym.vector.VectorEnv[Any, Any, Any]:
    """Return environments of a case; without options, those of its training."""
    shared = {"background": configuration["background"], "slip": configuration["slip"]}
    return gym.make_vec(
        configuration["env_id"], num_envs, vectorization_mode="vector_entry_point", **(shared | options)
    )


def make_test(configuration: dict[str, Any], goal: int, num_envs: int) -> VecEnv:
    """Return environments in which ``goal`` must be reached within the horizon."""
    return GymnasiumVecEnv(make_envs(configuration, num_envs, target=goal, max_episode_steps=configuration["horizon"]))


def train(configuration: dict[str, Any], seed: int) -> JEPA:
    """Return a JEPA trained on random steps; in every way its transition is fitted to its latents."""
    envs = make_envs(configuration, 64)
    space, actions = envs.single_observation_space, envs.single_action_space
    episodes = random_episodes(envs, configuration["transitions"], seed, labels=("count",))
    transitions = TransitionRing.from_episodes(episodes, seed)
    way, transition_updates = configuration["way"], configuration["transition_updates"]
    if way == "frozen_ppo":
        network = _trained_network(configuration, seed)
        torch.manual_seed(seed)
        jepa = JEPA(space, actions, latent_dim=network.features_dim, encoder=lambda *_: network, auxiliary=())
    else:
        torch.manual_seed(seed)
        encoder: EncoderName = "gated" if configuration["background"] == "noise" else "pooled"
        jepa = JEPA(space, actions, encoder=encoder, **OPTIONS[way])
    if way in ("frozen_ppo", "untrained"):
        fit_transition(jepa, transitions, transition_updates)
    else:
        pretrain(jepa, transitions, configuration["updates"], transition_updates=transition_updates)
    return jepa.eval()


def _trained_network(configuration: dict[str, Any], seed: int) -> Any:
    """Return the NatureCNN of a PPO that was trained at the goal of the training."""
    env = VecMonitor(GymnasiumVecEnv(make_envs(configuration, 8)))
    model = PPO("CnnPolicy", env, learning_rate=3e-4, policy_kwargs={"net_arch": [64]}, seed=seed, **SETTINGS)
    model.learn(configuration["ppo_steps"])
    return model.policy.features_extractor


def steps_from_scratch(configuration: dict[str, Any], goal: int, seed: int) -> int | None:
    """Return the environment steps after which PPO with the default encoder reaches ``goal`` in 95% of episodes.

    ``None`` where the case's ``ppo_steps`` do not suffice.
    """
    env = VecMonitor(make_test(configuration, goal, 8))
    warnings.filterwarnings("ignore", "the policy trains the encoder")  # the JEPA of a baseline stays as it is
    kwargs = {"net_arch": [64], **jepa_policy_kwargs(env, recipe="paper")}
    model = PPO("CnnPolicy", env, learning_rate=1e-3, policy_kwargs=kwargs, seed=seed, **SETTINGS)
    unseen = make_test(configuration, goal, 64)

    def success(model: BaseAlgorithm) -> float:
        unseen.seed(UNSEEN_SEED)
        returns, _ = evaluate_policy(model, unseen, configuration["episodes"], return_episode_rewards=True, warn=False)
        return float(np.mean(returns))

    each_rollout = Evaluation(success, lambda steps, _: steps + 1, enough=SUCCESS)
    model.learn(configuration["ppo_steps"], callback=each_rollout)
    return each_rollout.curve[-1][0] if each_rollout.solved else None


def take_pictures(configuration: dict[str, Any], counts: np.ndarray, seed: int) -> np.ndarray:
    """Return a picture of each of ``counts`` (N,), uint8 (N, H, W, 3)."""
    env = gym.make(configuration["env_id"], background=configuration["background"])
    env.reset(seed=seed)
    return np.stack([env.reset(options={"count": int(count)})[0] for count in counts])


MEASURES = {
    "worst_required_error": "audit: worst error of a pair of counts",
    "kept_share": "audit: share of the pairs that are kept apart",
    "relative_dynamics_loss": "dynamics loss over the variance of the latents",
    "dynamics_loss": "dynamics loss",
    "reward_loss": "reward loss",
    "latent_std": "standard deviation of the latents",
    "effective_rank": "effective rank of the latents",
}


def ways(facts: Facts) -> str:
    """Return a row for each way of training and background."""
    rows = []
    for name, case in (WAYS | NOISE).items():
        if runs := _runs(facts, name):
            cells = [cell for number in ("9", "50") for cell in _successes(run["success"][number] for run in runs)]
            kept = np.mean([run["kept_share"] for run in runs])
            rows.append([case.title, case.background, str(len(runs)), *cells, f"{kept:.3f}"])
    header = ["training", "background", "seeds", "9 pictures", "worst goal", "50 pictures", "worst goal", "pairs kept"]
    return markdown_table(header, rows, left=(0, 1))


def scratch(facts: Facts) -> str:
    """Return the steps that PPO needs for each goal, one number for each seed."""
    runs = _runs(facts, "scratch")
    goals = list(runs[0]["steps"]) if runs else []
    cells = [", ".join(_steps(run["steps"][goal]) for run in runs) for goal in goals]
    return markdown_table(["goal", *goals], [["environment steps", *cells]])


def hard(facts: Facts) -> str:
    """Return a row for the hard variant."""
    rows = []
    for name in HARD:
        if runs := _runs(facts, name):
            kept = np.mean([run["kept_share"] for run in runs])
            rows.append([str(len(runs)), *_successes(run["success"]["66"] for run in runs), f"{kept:.3f}"])
    return markdown_table(["seeds", "66 pictures", "worst goal", "pairs kept"], rows, left=())


def failures(facts: Facts) -> str:
    """Return a row for each thing that makes planning fail, and for what it is compared with."""
    names = ["joint", *SLIP, "reward_only", *TRANSITION, *FEW_UPDATES, "untrained", "frozen_ppo"]
    rows = []
    for name in names:
        if runs := _runs(facts, name):
            kept, loss = (np.mean([run[key] for run in runs]) for key in ("kept_share", "relative_dynamics_loss"))
            cells = _successes(run["success"]["9"] for run in runs)
            possible = f"{best_success(CASES[name].slip, CASES[name].horizon):.3f}"
            rows.append([CASES[name].title, str(len(runs)), *cells, possible, f"{kept:.3f}", f"{loss:.4f}"])
    header = ["what", "seeds", "success", "worst goal", "best possible", "pairs kept", "dynamics loss / variance"]
    return markdown_table(header, rows)


def best_success(slip: float, horizon: int) -> float:
    """Return the success of the best policy within ``horizon`` steps, over all goals and starts, by value iteration."""
    successes = []
    for goal in range(9):
        env = gym.make("CountingEnv-v0", slip=slip, target=goal)
        matrices, _ = env.get_wrapper_attr("class_transitions")
        arrived = np.eye(len(matrices[0]))[goal]
        value = np.zeros(len(arrived))
        for _ in range(horizon):
            value = np.max([matrix @ np.maximum(arrived, value * (1 - arrived)) for matrix in matrices], axis=0)
        successes.append(value.mean())
    return float(np.mean(successes))


def audit(facts: Facts) -> str:
    """Return the rank correlation of each measure with the mean success, over all encoders without slip."""
    runs = [
        (CASES[name].background + seed, run)
        for name, by_seed in facts["results"].items()
        if name in WAYS | NOISE | TRANSITION | FEW_UPDATES
        for seed, run in by_seed.items()
    ]
    rows = []
    for measure, title in MEASURES.items():
        known = [
            (cluster, run[measure], float(np.mean(run["success"]["9"])))
            for cluster, run in runs
            if run[measure] is not None
        ]
        found = rank_correlation(known)
        rows.append([title, str(len(known)), "none" if np.isnan(found.value) else interval_text(found)])
    return markdown_table(["measure", "extractors", "rank correlation with success"], rows)


def _runs(facts: Facts, name: str) -> list[dict[str, Any]]:
    return list(facts["results"].get(name, {}).values())


def _successes(of_runs: Iterable[list[float]]) -> list[str]:
    """Return the mean over goals and seeds with the range of the seeds, and the worst goal's mean over the seeds."""
    successes = np.array(list(of_runs))  # (seeds, goals)
    means = successes.mean(axis=1)
    return [spread_text(means, means.mean()), f"{successes.mean(axis=0).min():.3f}"]


def _steps(steps: int | None) -> str:
    return "not reached" if steps is None else f"{steps:,}"


SHOWN: dict[str, Callable[[Facts], str]] = {
    "ways": ways,
    "scratch": scratch,
    "hard": hard,
    "failures": failures,
    "audit": audit,
}


def table(facts: Facts) -> str:
    """Return all tables."""
    return "\n\n".join(show(facts) for show in SHOWN.values())


PANELS = {
    "9 pictures, black": (WAYS, "9", 4),
    "9 pictures, noise": (NOISE, "9", 4),
    "66 pictures, 0 to 32 objects": (HARD, "66", 16),
}
COLORS = {case.title: f"C{number}" for number, case in enumerate(WAYS.values())}


def draw(facts: Facts, path: Path) -> None:
    """Write a picture with the mean success at each goal over the seeds, and the range of the seeds."""
    figure = Figure(figsize=(13, 4), layout="constrained")
    for axes, (title, (cases, number, trained)) in zip(figure.subplots(1, 3, sharey=True), PANELS.items(), strict=True):
        shown = [name for name in cases if _runs(facts, name)]
        for line, name in enumerate(shown):
            successes = np.array([run["success"][number] for run in _runs(facts, name)])  # (seeds, goals)
            goals, color = np.arange(successes.shape[1]), COLORS[cases[name].title]
            width = 1.5 + len(shown) - line  # where lines lie on each other, all are seen
            axes.plot(goals, successes.mean(axis=0), color=color, linewidth=width, label=cases[name].title)
            axes.fill_between(goals, successes.min(axis=0), successes.max(axis=0), color=color, alpha=0.15)
        axes.axvline(trained, color="grey", linestyle=":")
        axes.set(title=title, xlabel="goal (dotted: that of the training)", ylim=(-0.03, 1.03))
        if shown:
            axes.legend(fontsize="small")
    figure.axes[0].set_ylabel("success")
    figure.savefig(path, dpi=90)
