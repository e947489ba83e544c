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
    """Return the experiment's ``table`` and the ``command`` that made it, by the key that names them in a page."""
    table = import_module(f"experiments.{name}").table(facts["results"])
    return {"table": f"\n\n{table}\n", "command": f"`{facts['command']}`"}
