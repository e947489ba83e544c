"""Does any recipe beat the best baseline of equal cost on tasks that others wrote, and where something distracts?

    pip install minatar rliable "shimmy[dm-control]"
    pip install --no-deps minigrid
    python benchmarks/other_tasks.py                                              # everything: many hours
    python benchmarks/other_tasks.py --tasks breakout --arms layer spr --seeds 900  # one row, one seed: minutes

``benchmarks/returns/cases.py`` has the configuration of every row, ``benchmarks/plans/other_tasks.md`` what was decided
before the runs. Every run writes a folder; the same command, started again, goes on where it stopped, and a larger one
adds to it.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from results import add_choices, add_out, at_least, environment_facts, positive, write_json
from returns.cases import ALGORITHMS, ARMS, TASKS
from returns.run import run
from returns.tables import tables

sys.path.append(str(Path(__file__).parents[1] / "examples"))  # examples are no package
from study import add_study_arguments, finished_runs, run_study

SEEDS = range(900, 905)


def parse_arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_choices(parser, tasks=TASKS, arms=ARMS)
    parser.add_argument("--seeds", nargs="+", type=at_least(0), default=list(SEEDS), help="default: 900 to 904")
    parser.add_argument("--steps", type=at_least(1), help="environment steps (default: the task's own)")
    parser.add_argument(
        "--learning-rate", type=positive, help="of every arm, to tune it (default: the algorithm's own)"
    )
    parser.add_argument("--runs", type=Path, default=Path("runs/other_tasks"), help="folder of the runs")
    add_study_arguments(parser)
    add_out(parser)
    return parser.parse_args()


def finished(runs: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Return every result in the folder, by task, arm and seed: those of earlier commands too."""
    found = finished_runs(runs)
    by_task = {task: {arm: found[f"{task}-{arm}"] for arm in ARMS if f"{task}-{arm}" in found} for task in TASKS}
    return {task: arms for task, arms in by_task.items() if arms}


def main() -> None:
    """Run what is missing, print, draw and write."""
    arguments = parse_arguments()
    configurations = {
        f"{task}-{arm}": {
            "task": task,
            "arm": arm,
            "steps": arguments.steps or TASKS[task].steps,
            "learning_rate": arguments.learning_rate or ALGORITHMS[TASKS[task].algorithm].arguments["learning_rate"],
        }
        for task in arguments.tasks
        for arm in arguments.arms
        if arm in TASKS[task].arms
    }
    try:
        for task in arguments.tasks:
            TASKS[task].environment.require_installed()
        study = run_study(run, configurations, arguments.seeds, arguments.runs, arguments.workers, arguments.ray)
    except (ValueError, OSError, ModuleNotFoundError, KeyboardInterrupt) as error:
        raise SystemExit(f"\n{error}") from error
    results = finished(arguments.runs)
    if results:
        from returns.figure import draw  # rliable is needed to read results, not to make them
        from returns.summary import summarise

        summary = summarise(results)
        print(tables(summary))
        write_json(Path(arguments.out), {**environment_facts(), "summary": summary, "results": results})
        draw(results, Path(arguments.out).with_suffix(".png"))
    study.exit_if_failed()


if __name__ == "__main__":
    main()
