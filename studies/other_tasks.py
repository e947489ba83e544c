"""Does any recipe beat the best baseline of equal cost on tasks that others wrote, and where something distracts?

Everything takes many hours; one row with one seed, ``--only breakout-spr --seeds 900``, minutes. ``pip install minatar
"shimmy[dm-control]"`` and ``pip install --no-deps minigrid``. The configuration of every row is below; measures, seeds
and thresholds: ``docs/plans/other_tasks.md``. All arms of a task share its network, learning rate and batch.
"""

import contextlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from matplotlib.figure import Figure
from rliable.metrics import aggregate_iqm, probability_of_improvement
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.evaluation import evaluate_policy

from jepa_extractor import RewardTask, Shared
from studies import comparison
from studies.comparison import Algorithm, Arm, Environment, Evaluation, Runs, Task, scores, seconds
from studies.facts import Facts, Results
from studies.markdown import interval_text, markdown_table
from studies.statistics import Values, stratified

SEEDS = range(900, 905)
EVALUATIONS = 4
EPISODES, EVALUATED = 16, 8  # of an evaluation; environments at a time
VERDICTS = ("better", "not apart", "worse")
GAIN = 1.15  # times the return of the baseline
ByTask = Mapping[str, Mapping[str, Runs]]  # and by arm
OVERALL = ("tasks", *VERDICTS, "gains")
OFF_POLICY = {"learning_rate": 5e-4, "learning_starts": 1_000, "buffer_size": 50_000}
EXPLORATION = {"target_update_interval": 1_000, "exploration_fraction": 0.1, "exploration_final_eps": 0.01}
ON_POLICY = {"learning_rate": 1e-3, "n_steps": 128, "batch_size": 256, "n_epochs": 4, "ent_coef": 0.01}
# Two updates for eight steps; the rest is MinAtar's, but for a shorter exploration, as there are fewer steps.
MINATAR = {**OFF_POLICY, **EXPLORATION, "batch_size": 32, "train_freq": 1, "gradient_steps": 2}
ALGORITHMS = {
    "DQN": Algorithm(DQN, MINATAR, num_envs=8, policy={"net_arch": [64]}),
    "PPO": Algorithm(PPO, ON_POLICY, num_envs=8, policy={"net_arch": [64]}),
    "SAC": Algorithm(SAC, {**OFF_POLICY, "gradient_steps": 1}, num_envs=1, policy={"net_arch": [256]}),
}


def _updates(times: int) -> dict[str, dict[str, int]]:
    """Return settings with so many times the algorithms' own updates."""
    counts = {"DQN": "gradient_steps", "PPO": "n_epochs", "SAC": "gradient_steps"}
    return {name: {key: times * ALGORITHMS[name].arguments[key]} for name, key in counts.items()}


# Stretches a batch as in DQN; the clip is the one that DQN has for its own gradient.
LONG = {"batch_size": 32, "rewarded_fraction": 0.0, "max_grad_norm": 10.0}
# Grids and states are not shifted, as images are; and the latent is as wide as without an auxiliary.
PUBLISHED = {"augmentation": ()}
LAYER = {"normalization": "layer"}
BESIDE = {**LAYER, "target": "detach", "auxiliary": (RewardTask(latents="predicted"),)}
ARMS = {
    "plain": Arm("no auxiliary"),
    "layer": Arm("LayerNorm, no auxiliary", LAYER),
    "layer_2": Arm("LayerNorm, 2 times the updates", LAYER, settings=_updates(2)),
    "layer_4": Arm("LayerNorm, 4 times the updates", LAYER, settings=_updates(4)),
    "paper": Arm("recipe paper", {"recipe": "paper"}, {"batch_size": 32}),
    "spr": Arm("recipe spr", {"recipe": "spr", **PUBLISHED}, LONG),
    "mrq": Arm("recipe mrq", {"recipe": "mrq", **PUBLISHED}, LONG),
    "tdmpc2": Arm("recipe tdmpc2", {"recipe": "tdmpc2", **PUBLISHED}, LONG),
    "shared": Arm("LayerNorm, reward, the algorithm's batch", BESIDE, {"schedule": Shared()}),
}
BASELINES = ("plain", "layer", "layer_2", "layer_4")


def _minatar(game: str, wrapper: comparison.Wrapper | None = None) -> Environment:
    limited = {"max_episode_steps": 2_500}  # as in Freeway; Breakout can go on for ever
    return Environment(f"MinAtar/{game}-v1", "minatar.gym", "pip install minatar", limited, wrapper)


def _minigrid(name: str) -> Environment:
    install = "pip install --no-deps minigrid, since its pygame-ce would replace pygame"
    return Environment(f"MiniGrid-{name}-v0", "minigrid", install, wrapper=_as_symbols)


def _as_symbols(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """Minigrid's view of 7x7 cells as symbols, without its text."""
    from minigrid.wrappers import ImgObsWrapper

    seen: gym.Env[Any, Any] = ImgObsWrapper(env)
    return seen


def _control(name: str) -> Environment:
    return Environment(f"dm_control/{name}-v0", "shimmy", 'pip install "shimmy[dm-control]"', wrapper=_as_vector)


def _as_vector(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    return comparison.RepeatAction(gym.wrappers.FlattenObservation(env))


def _counting(background: str) -> Environment:
    return Environment("CountingEnv-v0", "counting_env", "pip install .", {"background": background})


OFF_ARMS = ("plain", "layer", "layer_4", "spr", "mrq", "tdmpc2", "shared")
FEW = ("layer", "layer_2", "layer_4", "spr", "mrq", "shared")  # where a distractor is
ON_ARMS = ("plain", "layer", "layer_2", "layer_4", "paper", "spr", "mrq", "tdmpc2")
GAMES = {
    "breakout": "Breakout",
    "asterix": "Asterix",
    "freeway": "Freeway",
    "seaquest": "Seaquest",
    "space_invaders": "SpaceInvaders",
}
SYMBOLS = {"encoder": "grid", "normalize_images": False}  # Minigrid's are no brightness
SMALL = {"encoder": comparison.MinAtarNetwork, "latent_dim": 128}
TASKS = {
    **{name: Task(f"{game}, DQN", _minatar(game), "DQN", 20_000, OFF_ARMS, SMALL) for name, game in GAMES.items()},
    **{
        f"breakout_{kind}": Task(
            f"Breakout with {kind}, DQN",
            _minatar("Breakout", partial(comparison.ExtraChannels, kind=kind)),
            "DQN",
            20_000,
            FEW,
            SMALL,
            shifted=_minatar("Breakout", partial(comparison.ExtraChannels, kind=kind, density=0.3)),
        )
        for kind in ("noise", "drift")
    },
    **{
        f"counting_{background}": Task(
            f"CountingEnv with {background}, DQN",
            _counting(background),
            "DQN",
            2_000,  # without a background, it needs 1,280
            ("plain", "layer", "layer_2", "paper", "shared"),
            {"encoder": "gated"},
            shifted=_counting(other),
        )
        for background, other in (("noise", "drift"), ("drift", "clutter"), ("clutter", "noise"))
    },
    **{
        f"{name}_ppo": Task(f"{GAMES[name]}, PPO", _minatar(GAMES[name]), "PPO", 100_000, ON_ARMS, SMALL)
        for name in ("breakout", "space_invaders")
    },
    **{
        name: Task(f"{env}, PPO", _minigrid(env), "PPO", 100_000, ON_ARMS, SYMBOLS)
        for name, env in (("empty", "Empty-8x8"), ("door_key", "DoorKey-5x5"))
    },
    **{
        name: Task(
            f"{name}, SAC",
            _control(name),
            "SAC",
            12_500,
            ("plain", "layer", "layer_2", "spr", "mrq", "tdmpc2", "shared"),
            {"encoder": "mlp"},
        )
        for name in ("cartpole-swingup", "walker-walk")
    },
}
CONFIGURATIONS = {
    name: {**of, "learning_rate": ALGORITHMS[TASKS[of["task"]].algorithm].arguments["learning_rate"]}
    for name, of in comparison.configurations(TASKS).items()
}


class Reference(NamedTuple):
    """A return that others published for a task, or the best possible one."""

    score: float
    what: str  # it is the return of
    source: str  # in Markdown


REFERENCES = {
    "door_key": Reference(
        0.964,
        "PPO after as many steps, one run",
        "[RL Baselines3 Zoo](https://github.com/DLR-RM/rl-baselines3-zoo/blob/master/benchmark.md)",
    ),
    "empty": Reference(0.961, "the best that any policy can reach", "1 - 0.9 * 11 / 256, with 11 steps to the goal"),
    "cartpole-swingup": Reference(
        279.0,
        "SAC after as many frames, one run, on a line from 206 at 20,000 to 497 at 40,000",
        "[pytorch_sac](https://github.com/denisyarats/pytorch_sac/blob/master/data/sac.csv)",
    ),
}


check = partial(comparison.check_installed, TASKS)


def run(configuration: dict[str, Any], seed: int, folder: Path) -> dict[str, Any]:  # noqa: ARG001  # a study's signature
    """Train one arm on one task.

    Returns:
        ``"returns"``: the mean return at each evaluation; ``"seconds"`` of the processor, without the evaluations; and,
        where the task has a distractor, ``"shifted"``: the mean return at the end with another distractor.
    """
    task, steps = TASKS[configuration["task"]], configuration["steps"]

    def mean_return(model: BaseAlgorithm, environment: Environment = task.environment) -> float:
        with contextlib.closing(environment.make(EVALUATED, comparison.UNSEEN_SEED + seed)) as env:
            mean, _ = evaluate_policy(model, env, EPISODES)
        return float(np.mean(mean))

    def following(_: int, count: int) -> float:
        return float(steps * (count + 1) / EVALUATIONS)  # evenly spread, the last at the end

    evaluation = Evaluation(mean_return, following, least=EVALUATIONS)
    arm, algorithm = ARMS[configuration["arm"]], ALGORITHMS[task.algorithm]
    rate = {"learning_rate": configuration["learning_rate"]}
    model = comparison.train(task, algorithm, arm, steps, seed, evaluation, **rate)
    result = {"seconds": evaluation.seconds, "returns": [value for *_, value in evaluation.curve]}
    if task.shifted is not None:
        result["shifted"] = mean_return(model, task.shifted)
    return result


def ends(runs: Runs) -> Values:
    """Return the mean return of each run at the end of its training, (runs, 1)."""
    return np.array([[run["returns"][-1]] for run in runs.values()])


def gathered(results: Results) -> Facts:
    """Return the results by task, arm and seed, and their summary, which takes minutes."""
    found = comparison.by_task(results)
    return {"summary": summarise(found), "results": found}


def summarise(results: ByTask) -> dict[str, Any]:
    """Return all that the tables show, as JSON can hold it.

    Returns:
        ``"tasks"``: by task and arm a row; ``"algorithms"``: by algorithm and arm the same over all its tasks;
        ``"published"``: by task, where there is a published score, the baseline of the highest interquartile mean and
        its return at the end. Three numbers are an estimate and its interval. ``ratio`` is that of two interquartile
        means, ``None`` where the baseline's is 0.
    """
    tasks = {task: {name: _row(arms, name) for name in arms} for task, arms in results.items()}
    algorithms: dict[str, dict[str, Any]] = {}
    for name in ARMS:
        for algorithm in dict.fromkeys(TASKS[task].algorithm for task in results):
            of = [
                task
                for task in results
                if TASKS[task].algorithm == algorithm and "verdict" in tasks[task].get(name, {})
            ]
            if of:
                algorithms.setdefault(algorithm, {})[name] = _over(results, tasks, name, of)
    published = {}
    for task in REFERENCES:
        returns = {name: tasks[task][name]["return"][0] for name in BASELINES if name in results.get(task, {})}
        if returns:
            best = max(returns, key=lambda name: returns[name])
            published[task] = {"baseline": best, "end": stratified(aggregate_iqm, ends(results[task][best]))}
    return {"tasks": tasks, "algorithms": algorithms, "published": published}


def _row(arms: Mapping[str, Runs], name: str) -> dict[str, Any]:
    runs = arms[name]
    row: dict[str, Any] = {
        "runs": len(runs),
        "return": stratified(aggregate_iqm, scores(runs)),
        "end": float(aggregate_iqm(ends(runs))),
        "seconds": seconds(runs),
    }
    if all("shifted" in run for run in runs.values()):
        row["shifted"] = float(aggregate_iqm(np.array([run["shifted"] for run in runs.values()])))
    baseline = comparison.equal_cost(arms, name, BASELINES)
    if name in BASELINES or baseline == name:
        return row
    mean = float(aggregate_iqm(scores(arms[baseline])))
    probability = stratified(probability_of_improvement, scores(runs), scores(arms[baseline]))
    return {
        **row,
        "baseline": baseline,
        "ratio": row["return"][0] / mean if mean > 0 else None,
        "probability": probability,
        "verdict": comparison.verdict(probability),
    }


def _over(results: ByTask, tasks: Mapping[str, Any], name: str, of: Sequence[str]) -> dict[str, Any]:
    rows = [tasks[task][name] for task in of]
    arm = _matrix(results, [(task, name) for task in of])
    baselines = _matrix(results, [(task, row["baseline"]) for task, row in zip(of, rows, strict=True)])
    return {
        "tasks": len(of),
        **{of_all: sum(row["verdict"] == of_all for row in rows) for of_all in VERDICTS},
        "gains": sum(row["ratio"] is not None and row["ratio"] >= GAIN for row in rows),
        "probability": stratified(probability_of_improvement, arm, baselines),
    }


def _matrix(results: ByTask, columns: Sequence[tuple[str, str]]) -> Values:
    """Return the scores of each (task, arm), (runs, tasks): of each, as many runs as the one with the fewest has."""
    count = min(len(results[task][arm]) for task, arm in columns)
    return np.concatenate([scores(results[task][arm])[:count] for task, arm in columns], axis=1)


def table(facts: Facts) -> str:
    """Return a table over all tasks, one of published scores, and one for each task."""
    summary = facts["summary"]
    parts = [_overall(summary)]
    if summary["published"]:
        parts.append(f"The best baselines beside published scores:\n\n{_published_table(summary['published'])}")
    parts += [f"{TASKS[task].title}:\n\n{_table(rows)}" for task, rows in summary["tasks"].items()]
    return "\n\n".join(parts)


def _overall(summary: Mapping[str, Any]) -> str:
    """Return for each algorithm and arm, on how many tasks it is better than the baseline of equal cost."""
    rows = [
        [f"{algorithm}, {ARMS[name].title}", *(str(of[key]) for key in OVERALL), _interval(of["probability"])]
        for algorithm, arms in summary["algorithms"].items()
        for name, of in arms.items()
    ]
    return markdown_table(["", *OVERALL, "probability of improvement"], rows)


def _published_table(published: Mapping[str, Any]) -> str:
    rows = []
    for task, of in published.items():
        known = REFERENCES[task]
        title, end = ARMS[of["baseline"]].title, of["end"]
        reached = "yes" if end[2] >= known.score else "no"
        score = f"{known.score:.3g}"
        rows.append([TASKS[task].title, title, _interval(end, 3), score, known.what, known.source, reached])
    header = ["", "best baseline", "at the end", "published", "of", "source", "reached"]
    return markdown_table(header, rows)


def _table(arms: Mapping[str, Any]) -> str:
    shifted = any("shifted" in of for of in arms.values())
    rows = []
    for name, of in arms.items():
        row = [ARMS[name].title, str(of["runs"]), _interval(of["return"]), f"{of['end']:.2f}"]
        row += [f"{of['shifted']:.2f}"] if shifted else []
        row.append(f"{of['seconds']:.0f}")
        if "verdict" not in of:  # a baseline, or an arm that ran without one
            row += [""] * 4
        else:
            ratio = "" if of["ratio"] is None else f"{of['ratio']:.2f}"
            row += [ARMS[of["baseline"]].title, ratio, _interval(of["probability"]), of["verdict"]]
        rows.append(row)
    header = ["", "runs", "return", "at the end", *(["with the distractor shifted"] if shifted else []), "seconds"]
    against = ["best baseline of equal cost", "ratio", "probability of improvement", "verdict"]
    return markdown_table([*header, *against], rows)


def _interval(of: Sequence[float], decimals: int = 2) -> str:
    """Return an estimate and its interval as text: with ``decimals``, from a hundred on with none."""
    return interval_text(of, f".{decimals if abs(of[0]) < 100 else 0}f")


def of_advice(facts: Facts) -> str:
    """Return for each task the auxiliary that did best."""
    rows = []
    for task, arms in facts["summary"]["tasks"].items():
        compared = {name: row for name, row in arms.items() if "verdict" in row}
        if compared:
            name, row = max(compared.items(), key=lambda one: one[1]["probability"][0])
            titles = [ARMS[one].title for one in (name, row["baseline"])]
            cost = row["seconds"] / arms[row["baseline"]]["seconds"]
            rows.append(comparison.advice(TASKS[task].title, titles, row["ratio"], row["probability"], cost))
    return markdown_table(comparison.ADVICE, rows)


SHOWN = {"advice": of_advice}
COLUMNS = 4
COLORS = ("#999999", "#555555", "#bbbbbb", "#000000", "#e69f00", "#0072b2", "#d55e00", "#cc79a7", "#009e73")


def draw(facts: Facts, path: Path) -> None:
    """Write the picture. Crosses are baselines, dots arms with an auxiliary; a line through a mark spans its runs."""
    results = facts["results"]
    columns = min(COLUMNS, len(results))
    rows = -(-len(results) // columns)
    figure = Figure(figsize=(4 * columns, 3.2 * rows + 0.8), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    colors = dict(zip(ARMS, COLORS, strict=True))
    handles = {}
    for axis, (task, arms) in zip(axes, results.items(), strict=False):
        for name, runs in arms.items():
            values = scores(runs)[:, 0]
            axis.plot([seconds(runs)] * 2, [values.min(), values.max()], color=colors[name], linewidth=1, alpha=0.6)
            (handles[name],) = axis.plot(
                seconds(runs),
                np.mean(values),
                "x" if name in BASELINES else "o",
                color=colors[name],
                label=ARMS[name].title,
            )
        dearest = max(map(seconds, arms.values()))
        limits = (0, 1.1 * dearest)
        axis.set(title=TASKS[task].title, xlabel="processor seconds", xlim=limits, ylabel="mean return")
    for axis in axes[len(results) :]:
        axis.set_axis_off()
    shown = [handles[name] for name in ARMS if name in handles]
    figure.legend(handles=shown, loc="outside lower center", ncols=columns + 1)
    figure.savefig(path, dpi=80)
