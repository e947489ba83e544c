"""Studies: one function, many configurations and seeds, run side by side on processes or on Ray, and resumable."""

from jepa_extractor.study.executors import add_executor_arguments as add_executor_arguments
from jepa_extractor.study.executors import chosen_executor as chosen_executor
from jepa_extractor.study.executors import on_processes as on_processes
from jepa_extractor.study.executors import on_ray as on_ray
from jepa_extractor.study.runs import Run as Run
from jepa_extractor.study.runs import Study as Study
from jepa_extractor.study.runs import execute as execute
from jepa_extractor.study.runs import require_room as require_room
from jepa_extractor.study.runs import run_study as run_study

__all__ = [
    "Run",
    "Study",
    "add_executor_arguments",
    "chosen_executor",
    "execute",
    "on_processes",
    "on_ray",
    "require_room",
    "run_study",
]
