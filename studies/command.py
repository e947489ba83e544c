"""Run a study, and write what came of it.

    python -m studies partition --plan         # what was decided before the runs
    python -m studies partition --workers 2
    python -m studies new_goal --only joint untrained --seeds 0
    python -m studies environment --set seconds=0.3 repetitions=5
    python -m studies pages                    # bring the tables of all pages up to date

Writes results.json, table.md and, if there is one, figure.png into --out, beside one folder for each run. Started
again, it goes on where it stopped; earlier runs in the folder are shown, too.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path
from typing import Any

from jepa_extractor.checkpoint import replace_file
from studies import NAMES, pages
from studies.facts import DOCS, measured_on
from studies.runner import add_study_arguments, finished_runs, run_study

Configurations = dict[str, dict[str, Any]]


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line, the same for all studies."""
    parser = argparse.ArgumentParser(
        prog="python -m studies", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=[*NAMES, "pages"], metavar="NAME", help=f"one of {', '.join(NAMES)}; or pages")
    parser.add_argument("--plan", action="store_true", help="print what was decided before the runs, and end")
    parser.add_argument("--only", nargs="+", metavar="PATTERN", help="configurations to run, as in 'pooled-*'")
    parser.add_argument("--seeds", nargs="+", type=int, help="seeds (default: those of the plan)")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="change these in all configurations")
    parser.add_argument("--out", type=Path, help="output folder (default: runs/NAME)")
    parser.add_argument("--publish", action="store_true", help="copy results and figure to docs, and fill its pages")
    add_study_arguments(parser)
    return parser


def chosen(everything: Configurations, patterns: Iterable[str], settings: Iterable[str]) -> Configurations:
    """Return the configurations whose names fit one of the patterns, with what ``KEY=VALUE`` sets.

    Raises:
        ValueError: a pattern fits none, or a setting is none of theirs, or of another type.
    """
    for pattern in patterns:
        if not any(fnmatch(name, pattern) for name in everything):
            raise ValueError(f"--only {pattern} fits no configuration: give some of {', '.join(everything)}")
    found = {name: dict(of) for name, of in everything.items() if any(fnmatch(name, one) for one in patterns)}
    for setting in settings:
        key, _, text = setting.partition("=")
        known = {name for of in found.values() for name in of}
        if key not in known:
            raise ValueError(f"--set {setting} is no setting: give KEY=VALUE with a key of {', '.join(sorted(known))}")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        for of in found.values():
            if key in of:
                numbers = isinstance(of[key], float) and isinstance(value, int)
                if not numbers and not isinstance(value, type(of[key])):
                    raise ValueError(f"--set {setting} is not like {of[key]!r}, its default: give a value that is")
                of[key] = value
    return found


def facts_of(study: Any, out: Path, configurations: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is to be written of the finished runs in ``out``, those of earlier commands too."""
    found = finished_runs(out)
    results = {name: found[name] for name in study.CONFIGURATIONS if name in found}
    gathered = study.gathered(results) if hasattr(study, "gathered") else {"results": results}
    command = shlex.join(["python", "-m", "studies", *(word for word in sys.argv[1:] if word != "--publish")])
    return {**measured_on(command), "configurations": configurations, **gathered}


def main() -> None:
    """Run what is missing, print, write and draw."""
    parser = make_parser()
    arguments = parser.parse_args()
    if arguments.name == "pages":
        pages.write()
        return
    study = import_module(f"studies.{arguments.name}")
    if arguments.plan:
        plan = DOCS / "plans" / f"{arguments.name}.md"
        print(study.__doc__, plan.read_text() if plan.exists() else "", sep="\n")
        return
    out = arguments.out or Path("runs") / arguments.name
    try:
        patterns = arguments.only or getattr(study, "DEFAULT", ["*"])
        configurations = chosen(study.CONFIGURATIONS, patterns, arguments.set)
        for configuration in configurations.values():
            getattr(study, "check", lambda _: None)(configuration)
    except ValueError as error:
        parser.error(str(error))
    except ModuleNotFoundError as error:
        raise SystemExit(f"\n{error}") from error
    workers = 1 if getattr(study, "TIMED", False) else arguments.workers
    try:
        done = run_study(study.run, configurations, arguments.seeds or study.SEEDS, out, workers, arguments.ray)
    except (ValueError, OSError, ModuleNotFoundError, KeyboardInterrupt) as error:
        raise SystemExit(f"\n{error}") from error
    if any(done.results.values()):
        facts = facts_of(study, out, configurations)
        table = study.table(facts)
        replace_file(out / "results.json", lambda path: path.write_text(json.dumps(facts, indent=2) + "\n"))
        replace_file(out / "table.md", lambda path: path.write_text(table))
        if hasattr(study, "draw"):
            replace_file(out / "figure.png", lambda path: study.draw(facts, path))
        print(f"{table}\nIn {out}: results.json, table.md, figure.png, a folder for each run")
        if arguments.publish:
            pages.publish(arguments.name, out)
    done.exit_if_failed()
