"""How many environment steps, and how long, until a policy succeeds in 95% of unseen episodes?

Everything takes hours, with five seeds. ``pip install --no-deps minigrid``: of its dependencies, pygame-ce would
replace pygame. What is compared is below; measures, seeds and thresholds: ``docs/plans/sample_efficiency.md``.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from rliable.metrics import probability_of_improvement
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.evaluation import evaluate_policy

from jepa_extractor import Alternating, RewardTask, Shared
from jepa_extractor.checkpoint import replace_file
from studies import comparison
from studies.comparison import Algorithm, Arm, Environment, Evaluation, Runs, Task, scores, seconds
from studies.facts import Facts, Results
from studies.markdown import interval_text, markdown_table
from studies.statistics import Interval, interquartile, interquartile_mean, stratified

SEEDS = range(40, 45)
SUCCESS, EPISODES = 0.95, 200
EVALUATE_EVERY = 256  # environment steps, at first
POINTS = 60  # of a curve in the figure
OFF_POLICY = {
    "learning_rate": 1e-3,
    "buffer_size": 20_000,
    "learning_starts": 1_000,
    "batch_size": 64,
    "train_freq": 1,
    "gradient_steps": 1,
}
SHARED: dict[str, Any] = {"num_envs": 8, "policy": {"net_arch": [64]}, "policy_class": "CnnPolicy"}
# Chosen by training without images, on counts of 0 to 60 and on the latents of a trained encoder. Without the entropy
# bonus, PPO settled there on one action before any features were learned.
ALGORITHMS = {
    "PPO": Algorithm(
        PPO, {"learning_rate": 1e-3, "n_steps": 128, "batch_size": 256, "n_epochs": 4, "ent_coef": 0.1}, **SHARED
    ),
    "DQN": Algorithm(DQN, {**OFF_POLICY, "target_update_interval": 80, "exploration_fraction": 0.1}, **SHARED),
    "SAC": Algorithm(SAC, {**OFF_POLICY, "ent_coef": 0.01, "tau": 0.1}, **SHARED),
}
# Thirteen times as many steps of the algorithm's own optimizer: what do these buy without any auxiliary?
THIRTEENFOLD = {"PPO": {"batch_size": 64, "n_epochs": 13}, "DQN": {"gradient_steps": 13}, "SAC": {"gradient_steps": 13}}
# NatureCNN's best learning rate of 3e-4, 1e-3 and 3e-3 on two other seeds: see docs/plans/sample_efficiency.md.
TUNED = {"PPO": {"learning_rate": 1e-3}, "DQN": {"learning_rate": 3e-4}}
POOLED = {"encoder": "pooled"}
DETACH_Q = {"encoder": "pooled", "target": "detach", "auxiliary": ("reward", "q")}
ARMS = {
    "nature": Arm("NatureCNN", None),
    "nature_tuned": Arm("NatureCNN, tuned rate", None, settings=TUNED),
    "nature_updates": Arm("NatureCNN, 13 times the updates", None, settings=THIRTEENFOLD),
    "places": Arm("places, no auxiliary", {"encoder": "places"}),
    "plain": Arm("pooled, no auxiliary", POOLED),
    "more_updates": Arm("pooled, 13 times the updates", POOLED, settings=THIRTEENFOLD),
    "joint": Arm("joint, reward", POOLED, {}),
    "detach_q": Arm("joint, detached target, reward and Q", DETACH_Q, {}),
    "shared": Arm(
        "the algorithm's batch, reward",
        {"encoder": "pooled", "target": "detach", "auxiliary": (RewardTask(latents="predicted"),)},
        {"schedule": Shared()},
    ),
    "replay": Arm("alternating, replay ratio 4", POOLED, {"schedule": Alternating(replay_ratio=4)}),
    "more_joint": Arm("joint, detached, Q, and 13 times the updates", DETACH_Q, {}, THIRTEENFOLD),
}
BOLD = ("nature", "plain", "more_updates", "joint", "detach_q")  # arms that stand out in the figure


def _tasks(name: str, environment: Environment, budgets: Mapping[str, int], gamma: float) -> dict[str, Task]:
    """Return a task for each algorithm. An episode succeeds if its return is positive."""
    continuous = replace(environment, options={"continuous": True})
    # Seven steps suffice in Minigrid; a policy that has not arrived after 25 goes in circles for its 100.
    judged = None if environment.vectorized else replace(environment, options={"max_steps": 25})
    return {
        f"{name}-{algorithm}": Task(
            f"{algorithm} on {environment.env_id}",
            continuous if algorithm == "SAC" else environment,
            algorithm,
            steps,
            tuple(ARMS),
            arguments={"gamma": gamma},
            judged=judged,
        )
        for algorithm, steps in budgets.items()
    }


def _as_image(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """Minigrid's whole grid as an image, eight pixels a cell, without its text."""
    from minigrid.wrappers import ImgObsWrapper, RGBImgObsWrapper

    wrapped: gym.Env[Any, Any] = ImgObsWrapper(RGBImgObsWrapper(env))
    return wrapped


COUNTING, HARD = (
    Environment(env_id, "counting_env", "pip install .", vectorized=True)
    for env_id in ("CountingEnv-v0", "CountingEnvHard-v0")
)
MINIGRID = Environment("MiniGrid-Empty-Random-5x5-v0", "minigrid", "pip install --no-deps minigrid", wrapper=_as_image)
TASKS = {
    **_tasks("default", COUNTING, {"PPO": 100_000, "DQN": 50_000, "SAC": 30_000}, 0.9),
    **_tasks("hard", HARD, {"PPO": 40_000, "DQN": 20_000, "SAC": 10_000}, 0.9),
    **_tasks("minigrid", MINIGRID, {"PPO": 100_000, "DQN": 50_000}, 0.95),  # SAC cannot act there
}
CONFIGURATIONS = comparison.configurations(TASKS)


check = partial(comparison.check_installed, TASKS)


def run(configuration: dict[str, Any], seed: int, folder: Path) -> dict[str, Any]:
    """Train one arm until it succeeds in 95% of unseen episodes, or its budget is spent, and save the model.

    Returns:
        ``"curve"``: rows of environment steps, seconds of training and success rate, one for each evaluation;
        ``"steps"`` until the first with enough success, ``None`` where there was none; and the ``"budget"`` in steps.
        The seconds are those of the processor, without the evaluations.
    """
    task = TASKS[configuration["task"]]
    unseen = (task.judged or task.environment).make(50)

    def success(model: BaseAlgorithm) -> float:
        unseen.seed(comparison.UNSEEN_SEED + seed)
        returns, _ = evaluate_policy(model, unseen, EPISODES, deterministic=True, return_episode_rewards=True)
        return float(np.mean(np.array(returns) > 0))

    def following(steps: int, count: int) -> float:  # noqa: ARG001
        return steps + max(EVALUATE_EVERY, steps // 8)  # logarithmic

    evaluation = Evaluation(success, following, enough=SUCCESS)
    arm, algorithm = ARMS[configuration["arm"]], ALGORITHMS[task.algorithm]
    model = comparison.train(task, algorithm, arm, configuration["steps"], seed, evaluation)
    replace_file(folder / "model.zip", model.save)
    last_steps, *_ = evaluation.curve[-1]
    return {
        "budget": configuration["steps"],
        "curve": evaluation.curve,
        "steps": last_steps if evaluation.solved else None,
    }


def gathered(results: Results) -> Facts:
    """Return the results by environment, algorithm, arm and seed."""
    found: dict[str, dict[str, Any]] = {}
    for name, arms in comparison.by_task(results).items():
        environment, _, algorithm = name.partition("-")
        found.setdefault(environment, {})[algorithm] = arms
    return {"results": found}


def panels(facts: Facts) -> dict[str, dict[str, Runs]]:
    """Return the results by task and arm."""
    return {
        f"{environment}-{algorithm}": arms
        for environment, algorithms in facts["results"].items()
        for algorithm, arms in algorithms.items()
    }


def until_success(runs: Runs) -> tuple[Interval, Interval, int]:
    """Return steps and seconds until success, and how many of the runs succeeded.

    A run that did not succeed counts with its whole budget, so that the means are then lower bounds.
    """
    steps = np.array([run["budget"] if run["steps"] is None else run["steps"] for run in runs.values()], float)
    seconds = np.array([run["curve"][-1][1] for run in runs.values()])
    return interquartile(steps), interquartile(seconds), sum(run["steps"] is not None for run in runs.values())


def table(facts: Facts) -> str:
    """Return a Markdown table for each task."""
    return "\n\n".join(f"{TASKS[name].title}:\n\n{_table(arms)}" for name, arms in panels(facts).items())


def of_advice(facts: Facts) -> str:
    """Return for each task the auxiliary that did best, of the arms with the encoder ``pooled`` alone."""
    rows = []
    for task, of_task in panels(facts).items():
        arms = {
            name: {seed: _as_return(run) for seed, run in runs.items()}
            for name, runs in of_task.items()
            if (ARMS[name].options or {}).get("encoder") == "pooled"
        }
        baselines = [name for name in arms if ARMS[name].callback is None]
        pairs = [(name, comparison.equal_cost(arms, name, baselines)) for name in arms if name not in baselines]
        improvements = {
            (name, baseline): probability_of_improvement(scores(arms[name]), scores(arms[baseline]))
            for name, baseline in pairs
            if name != baseline
        }
        if improvements:
            name, baseline = max(improvements, key=lambda pair: improvements[pair])
            probability = stratified(probability_of_improvement, scores(arms[name]), scores(arms[baseline]))
            steps = [until_success(of_task[one])[0].value for one in (baseline, name)]
            cost = seconds(arms[name]) / seconds(arms[baseline])
            algorithm, _, env_id = TASKS[task].title.partition(" on ")
            titles = [ARMS[one].title for one in (name, baseline)]
            rows.append(comparison.advice(f"{env_id}, {algorithm}", titles, steps[0] / steps[1], probability, cost))
    return markdown_table(comparison.ADVICE, rows)


SHOWN = {"advice": of_advice}


def _as_return(run: Mapping[str, Any]) -> dict[str, Any]:
    steps = run["budget"] if run["steps"] is None else run["steps"]
    return {"returns": [-steps], "seconds": run["curve"][-1][1]}


def _table(arms: Mapping[str, Runs]) -> str:
    measured = {name: until_success(runs) for name, runs in arms.items()}
    all_solved = {name: solved == len(arms[name]) for name, (_, _, solved) in measured.items()}
    references = [name for name in ("nature", "plain") if name in measured]
    rows = []
    for name, (steps, taken, solved) in measured.items():
        ratios = [
            "1.00"
            if reference == name
            else _ratio_text(measured[reference][0].value / steps.value, all_solved[reference], all_solved[name])
            for reference in references
        ]
        both = [_interval_text(interval, all_solved[name]) for interval in (steps, taken)]
        rows.append([ARMS[name].title, f"{solved} of {len(arms[name])}", *both, *ratios])
    header = ["", "succeed", "steps", "processor seconds", *(f"{ARMS[name].title} ÷ this" for name in references)]
    return markdown_table(header, rows)


def _ratio_text(ratio: float, reference_known: bool, this_known: bool) -> str:
    """Return a ratio whose terms may be lower bounds, as text."""
    if reference_known:
        return f"{ratio:.2f}" if this_known else f"at most {ratio:.2f}"
    return f"at least {ratio:.2f}" if this_known else "unknown"


def _interval_text(interval: Interval, known: bool) -> str:
    """Return an interval as text; unless ``known``, it is a lower bound."""
    return ("" if known else "at least ") + interval_text(interval, ",.0f")


def draw(facts: Facts, path: Path) -> None:
    """Write a picture with one panel for each task (row) and algorithm (column).

    A line is the interquartile mean over seeds. Some arms have bolder lines, and bands: their 95% bootstrap
    intervals. A run ends at 95% success, or with its budget; its last value goes on.
    """
    results = facts["results"]
    algorithms = list(dict.fromkeys(name for of_task in results.values() for name in of_task))
    figure = Figure(figsize=(5.5 * len(algorithms), 4 * len(results)), layout="constrained")
    axes = figure.subplots(len(results), len(algorithms), squeeze=False)
    shades = matplotlib.colormaps["tab20"].colors  # type: ignore[attr-defined]  # ten strong ones, each with a pale one
    names = [*BOLD, *(name for name in ARMS if name not in BOLD)]
    colors = dict(zip(names, [*shades[::2], *shades[1::2]], strict=False))
    lines: dict[str, Line2D] = {}
    for row, (task, of_task) in zip(axes, results.items(), strict=True):
        for axis, algorithm in zip(row, algorithms, strict=True):
            if algorithm not in of_task:
                axis.set_axis_off()
                continue
            last = max(run["curve"][-1][0] for runs in of_task[algorithm].values() for run in runs.values())
            points = np.geomspace(EVALUATE_EVERY, last, POINTS)
            for name, runs in of_task[algorithm].items():
                grid = points[points >= max(run["curve"][0][0] for run in runs.values())]
                curves = np.array([_at(grid, run["curve"]) for run in runs.values()])
                width = 2.0 if name in BOLD else 0.8
                style = {"color": colors[name], "linewidth": width, "label": ARMS[name].title}
                (lines[name],) = axis.plot(grid, interquartile_mean(curves, axis=0), **style)
                if name in BOLD:
                    _, lows, highs = zip(*map(interquartile, curves.T), strict=True)
                    axis.fill_between(grid, lows, highs, color=colors[name], alpha=0.15, linewidth=0)
            axis.axhline(0.95, color="grey", linestyle=":", linewidth=1)
            axis.set(
                title=TASKS[f"{task}-{algorithm}"].title,
                xlabel="environment steps",
                ylabel="success rate",
                xscale="log",
                ylim=(0, 1.02),
            )
    figure.legend(handles=list(lines.values()), fontsize="small", loc="outside lower center", ncols=4)
    figure.savefig(path, dpi=100)


def _at(grid: np.ndarray, curve: list[Any]) -> np.ndarray:
    """Return the success rate of one run at each of the steps of ``grid``, none before its first evaluation."""
    steps, _, successes = np.array(curve).T
    return np.asarray(successes[np.searchsorted(steps, grid, side="right") - 1])
