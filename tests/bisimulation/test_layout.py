"""What importing the package loads, and what its compiled code may depend on."""

import importlib
import pkgutil
import subprocess
import sys

import pytest
from numba.core.dispatcher import Dispatcher

import jepa_extractor
from jepa_extractor import bisimulation

HEAVY = ("numba", "scipy.sparse", "sklearn", "ot", "torch", "stable_baselines3")


def loaded_by(statement):
    """Return which heavy packages a new process holds after ``statement``.

    A bare package stands for ``jepa_extractor``, so that its own imports do not count.
    """
    code = f"""
import sys, types
package = types.ModuleType("jepa_extractor")
package.__path__ = {list(jepa_extractor.__path__)}
sys.modules["jepa_extractor"] = package
{statement}
print(*(name for name in {HEAVY} if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("import jepa_extractor.bisimulation", set()),
        ("from jepa_extractor.bisimulation import empirical_data, episode_successors", set()),
        ("from jepa_extractor.bisimulation import largest_bisimulation, EmpiricalBisimulation", {"numba"}),
        ("from jepa_extractor.bisimulation import bisimulation_metric", {"numba", "scipy.sparse"}),
    ],
)
def test_nothing_is_loaded_before_it_is_needed(statement, expected):
    """Numba and SciPy are loaded with the first function that needs them, others never."""
    assert loaded_by(statement) == expected


def test_kernels_use_kernels_of_their_own_file_only():
    """Numba keeps machine code until the kernel's own file changes, so a change elsewhere would not reach it."""
    kernels = 0
    for module in pkgutil.iter_modules(bisimulation.__path__):
        names = vars(importlib.import_module(f"{bisimulation.__name__}.{module.name}"))
        for kernel in names.values():
            if isinstance(kernel, Dispatcher):
                kernels += 1
                used = [kernel.py_func.__globals__.get(name) for name in kernel.py_func.__code__.co_names]
                for other in used:
                    if isinstance(other, Dispatcher):
                        assert other.py_func.__module__ == kernel.py_func.__module__
    assert kernels > 10
