"""Reproduce the experiments of "Why and How Auxiliary Tasks Improve JEPA Representations" (arXiv 2509.12249) on a CPU.

    python examples/reproduce_paper.py              # the paper's conditions beside an untrained encoder, ten seeds
    python examples/reproduce_paper.py --encoder places --seeds 710 711 712 713 714 --out runs/paper_places

Writes tables.md, results.json and figure.png into --out, beside one folder for each run. Started again, it goes on
where it stopped.
"""

import argparse
import json
import os
import platform
import shlex
import sys
import time
from importlib.metadata import version
from pathlib import Path

from paper.conditions import CONDITIONS, PAPER
from paper.figure import draw_figure
from paper.run import run
from paper.summary import tables
from study import add_study_arguments, run_study

from jepa_extractor.checkpoint import replace_file


def parse_arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ", ".join(CONDITIONS)
    parser.add_argument(
        "--conditions", nargs="+", default=list(PAPER), metavar="NAME", help=f"any of {names}; or all (default: paper)"
    )
    parser.add_argument(
        "--seeds", nargs="+", type=int, default=list(range(700, 710)), help="seeds (default: 700 to 709)"
    )
    parser.add_argument("--updates", type=int, default=300, help="updates of the encoder (default: 300)")
    parser.add_argument("--encoder", default="pooled", choices=("pooled", "places", "nature", "resnet"))
    parser.add_argument("--latent-dim", type=int, default=64, help="numbers in a latent (default: 64)")
    parser.add_argument("--target", type=int, default=4, help="rewarded count (default: 4)")
    parser.add_argument("--max-count", type=int, default=8, help="largest count (default: 8)")
    add_study_arguments(parser)
    parser.add_argument("--out", type=Path, default=Path("runs/paper"), help="output folder (default: runs/paper)")
    arguments = parser.parse_args()
    if arguments.conditions == ["all"]:
        arguments.conditions = list(CONDITIONS)
    for name in arguments.conditions:
        if name not in CONDITIONS:
            parser.error(f"--conditions {name} is unknown: choose among {names}, or all")
    if min(arguments.updates, arguments.workers, arguments.latent_dim) < 1:
        parser.error("--updates, --latent-dim and --workers take integers of at least 1")
    if not 0 <= arguments.target <= arguments.max_count:
        parser.error(f"--target {arguments.target} cannot be reached: give one in 0..{arguments.max_count}")
    return arguments


def main() -> None:
    """Run the study, then write its table and figure."""
    arguments = parse_arguments()
    shared = {name: getattr(arguments, name) for name in ("encoder", "updates", "target", "max_count", "latent_dim")}
    configurations = {condition: {"condition": condition, **shared} for condition in arguments.conditions}
    start = time.perf_counter()
    try:
        study = run_study(run, configurations, arguments.seeds, arguments.out, arguments.workers, arguments.ray)
    except (ValueError, OSError, ModuleNotFoundError, KeyboardInterrupt) as error:
        raise SystemExit(f"\n{error}") from error
    seconds = time.perf_counter() - start
    results = {condition: by_seed for condition, by_seed in study.results.items() if by_seed}
    text = "\n".join(tables(results).values())
    facts = {
        "command": shlex.join(["python", *sys.argv]),
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "versions": {name: version(name) for name in ("torch", "numpy", "scikit-learn", "gymnasium")},
        "configurations": configurations,
        "results": results,
    }
    replace_file(arguments.out / "tables.md", lambda path: path.write_text(text))
    replace_file(arguments.out / "results.json", lambda path: path.write_text(json.dumps(facts, indent=2) + "\n"))
    written = ["tables.md", "results.json"]
    if results:
        written.append("figure.png")
        folders = {name: arguments.out / name / f"seed{min(by_seed)}" for name, by_seed in results.items()}
        draw_figure(folders, arguments.out / "figure.png")
    print(f"{text}\n{seconds:.0f} s; in {arguments.out}: {', '.join(written)}, a folder for each run")
    study.exit_if_failed()


if __name__ == "__main__":
    main()
