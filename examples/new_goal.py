"""Train a JEPA for one goal; then plan for every goal of CountingEnv-v0, each from a few labelled pictures.

    python examples/new_goal.py                        # one seed of two ways on black, two minutes
    python examples/new_goal.py --cases all --seeds 600 601 602

Writes results.json, tables.md and figure.png into --out, beside one folder for each run. Started again, it goes on
where it stopped; earlier runs in the folder are shown, too. goals/plan.md says what is measured, and why.
"""

import argparse
import json
import os
import platform
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from goals.cases import CASES
from goals.figure import draw_figure
from goals.run import run
from goals.summary import TABLES
from pages import publish
from study import add_study_arguments, finished_runs, run_study

from jepa_extractor.checkpoint import replace_file


def parse_arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ", ".join(CASES)
    parser.add_argument(
        "--cases", nargs="+", default=["joint", "untrained"], metavar="NAME", help=f"any of {names}; or all"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="seeds (default: 0)")
    add_study_arguments(parser)
    parser.add_argument("--out", type=Path, default=Path("runs/new_goal"), help="output folder")
    parser.add_argument(
        "--publish", action="store_true", help="bring the tables and the figure of docs/new-goal.md up to date"
    )
    arguments = parser.parse_args()
    if arguments.cases == ["all"]:
        arguments.cases = list(CASES)
    for name in arguments.cases:
        if name not in CASES:
            parser.error(f"--cases {name} is unknown: choose among {names}, or all")
    return arguments


def main() -> None:
    """Run the study, then write its tables and its figure."""
    arguments = parse_arguments()
    configurations = {name: asdict(CASES[name]) for name in arguments.cases}
    try:
        study = run_study(run, configurations, arguments.seeds, arguments.out, arguments.workers, arguments.ray)
    except (ValueError, OSError, ModuleNotFoundError, KeyboardInterrupt) as error:
        raise SystemExit(f"\n{error}") from error
    results = finished_runs(arguments.out)
    facts = {
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "versions": {name: version(name) for name in ("torch", "numpy", "stable-baselines3", "gymnasium")},
        "results": results,
    }
    written = "\n".join(table(results) for table in TABLES.values())
    replace_file(arguments.out / "results.json", lambda path: path.write_text(json.dumps(facts, indent=2) + "\n"))
    replace_file(arguments.out / "tables.md", lambda path: path.write_text(written))
    draw_figure(results, arguments.out / "figure.png")
    print(f"{written}\nIn {arguments.out}: results.json, tables.md, figure.png, a folder for each run")
    if arguments.publish:
        publish("new_goal", arguments.out)
    study.exit_if_failed()


if __name__ == "__main__":
    main()
