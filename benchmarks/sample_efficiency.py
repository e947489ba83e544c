"""How many environment steps, and how long, until a policy succeeds in 95% of unseen episodes?

    pip install --no-deps minigrid
    python benchmarks/sample_efficiency.py                                        # everything, five seeds: hours
    python benchmarks/sample_efficiency.py --tasks default --algorithms PPO --competitors nature plain joint --seeds 0

Every run writes a folder; the same command, started again, goes on where it stopped, and a larger one adds to it.
"""

import argparse
import itertools
import sys
from pathlib import Path
from typing import Any

from learning.cases import ALGORITHMS, COMPETITORS, TASKS
from learning.figure import draw_curves
from learning.run import run
from learning.summary import TITLES, tables
from results import add_choices, add_out, at_least, environment_facts, write_json

sys.path.append(str(Path(__file__).parents[1] / "examples"))  # examples are no package
from study import add_study_arguments, finished_runs, run_study


def parse_arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_choices(parser, tasks=TASKS, algorithms=ALGORITHMS, competitors=COMPETITORS)
    parser.add_argument(
        "--seeds", nargs="+", type=at_least(0), default=list(range(5)), help="seeds (default: 0 1 2 3 4)"
    )
    parser.add_argument("--steps", type=at_least(1), help="environment steps at most (default: the task's own budget)")
    parser.add_argument("--runs", type=Path, default=Path("runs/sample_efficiency"), help="folder of the runs")
    add_study_arguments(parser)
    add_out(parser)
    return parser.parse_args()


def finished(runs: Path) -> dict[str, dict[str, dict[str, dict[str, Any]]]]:
    """Return every result in the folder, by task, algorithm, competitor and seed: those of earlier commands too."""
    results: dict[str, dict[str, dict[str, dict[str, Any]]]] = {}
    found = finished_runs(runs)
    for task, algorithm, competitor in itertools.product(TASKS, ALGORITHMS, COMPETITORS):
        by_seed = found.get(f"{task}-{algorithm}-{competitor}")
        if by_seed is not None:
            results.setdefault(task, {}).setdefault(algorithm, {})[competitor] = by_seed
    return results


def main() -> None:
    """Run what is missing, print, draw and write."""
    arguments = parse_arguments()
    configurations = {
        f"{task}-{algorithm}-{competitor}": {
            "task": task,
            "algorithm": algorithm,
            "competitor": competitor,
            "steps": arguments.steps or TASKS[task].budgets[algorithm],
        }
        for task in arguments.tasks
        for algorithm in arguments.algorithms
        for competitor in arguments.competitors
        if algorithm in TASKS[task].budgets
    }
    try:
        for task in {configuration["task"] for configuration in configurations.values()}:
            TASKS[task].require_installed()
        study = run_study(run, configurations, arguments.seeds, arguments.runs, arguments.workers, arguments.ray)
    except (ValueError, OSError, ModuleNotFoundError, KeyboardInterrupt) as error:
        raise SystemExit(f"\n{error}") from error
    results = finished(arguments.runs)
    if results:
        print(tables(results))
        facts = {**environment_facts(), "workers": arguments.workers, "torch_threads": 1}
        write_json(Path(arguments.out), {**facts, "titles": TITLES, "results": results})
        draw_curves(results, Path(arguments.out).with_suffix(".png"))
    study.exit_if_failed()


if __name__ == "__main__":
    main()
