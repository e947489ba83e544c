"""Run one of the experiments: train, measure, write a table and a figure.

    python examples/experiment.py partition --workers 2
    python examples/experiment.py partition --publish    # also bring docs/paper.md up to date

``python examples/experiment.py NAME --plan`` prints what was decided before the runs: question, design, measures, seeds
and thresholds. Writes results.json, table.md and figure.png into --out, beside one folder for each run. Started again,
it goes on where it stopped.
"""

import argparse
import json
import os
import platform
from fnmatch import fnmatch
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

from experiments import NAMES
from pages import publish
from study import add_study_arguments, finished_runs, run_study

from jepa_extractor.checkpoint import replace_file


def parse_arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=NAMES, help="which experiment")
    parser.add_argument("--plan", action="store_true", help="print what was decided before the runs, and end")
    parser.add_argument(
        "--only", nargs="+", metavar="PATTERN", help="configurations to run, as in 'pooled-*' (default: all)"
    )
    parser.add_argument("--seeds", nargs="+", type=int, help="seeds (default: those of the plan)")
    parser.add_argument("--publish", action="store_true", help="copy results and figure to docs, and fill its page")
    add_study_arguments(parser)
    parser.add_argument("--out", type=Path, help="output folder (default: runs/experiments/NAME)")
    return parser.parse_args()


def main() -> None:
    """Run the study, then write what came of it."""
    arguments = parse_arguments()
    experiment = import_module(f"experiments.{arguments.name}")
    if arguments.plan:
        print(experiment.__doc__)
        return
    out = arguments.out or Path("runs/experiments") / arguments.name
    patterns = arguments.only or ["*"]
    chosen = {
        name: configuration
        for name, configuration in experiment.CONFIGURATIONS.items()
        if any(fnmatch(name, pattern) for pattern in patterns)
    }
    if not chosen:
        raise SystemExit(f"--only {' '.join(patterns)} fits no configuration: {', '.join(experiment.CONFIGURATIONS)}")
    seeds = arguments.seeds or experiment.SEEDS
    try:
        study = run_study(experiment.run, chosen, seeds, out, arguments.workers, arguments.ray)
    except (ValueError, OSError, ModuleNotFoundError, KeyboardInterrupt) as error:
        raise SystemExit(f"\n{error}") from error
    results = finished_runs(out)
    facts = {
        "command": f"python examples/experiment.py {arguments.name}",
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "versions": {name: version(name) for name in ("torch", "numpy", "scikit-learn", "gymnasium")},
        "results": results,
    }
    table = experiment.table(results)
    replace_file(out / "results.json", lambda path: path.write_text(json.dumps(facts, indent=1) + "\n"))
    replace_file(out / "table.md", lambda path: path.write_text(table))
    replace_file(out / "figure.png", lambda path: experiment.draw(results, path))
    print(f"{table}\nin {out}: table.md, results.json, figure.png, a folder for each run")
    if arguments.publish:
        publish(arguments.name, out)
    study.exit_if_failed()


if __name__ == "__main__":
    main()
