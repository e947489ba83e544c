"""Experiments on the claim of arXiv 2509.12249: the auxiliary decides what an encoder keeps.

Each module is one experiment. Its docstring says the question, the design, the measures, the seeds and the thresholds,
and was committed before its runs. It holds ``CONFIGURATIONS`` and ``SEEDS``; ``run(configuration, seed, folder)``, the
function of a study; and ``table(results)`` and ``draw(results, path)``.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

NAMES = ("partition", "tables", "coverage", "randomness", "distractors")


def values(name: str, facts: Mapping[str, Any]) -> dict[str, str]:
    """Return what a page may show of an experiment, by the key that names it.

    Returns:
        its ``table``; how many ``runs`` it had; and the processor ``hours`` that they took.
    """
    table = import_module(f"experiments.{name}").table(facts["results"])
    runs = [run for by_seed in facts["results"].values() for run in by_seed.values()]
    hours = sum(run["seconds"] for run in runs) / 3600
    return {"table": f"\n\n{table}\n", "runs": str(len(runs)), "hours": f"{hours:.1f}"}
