"""Public names, and what importing them loads."""

import ast
import functools
import importlib
import subprocess
import sys

import pytest

import jepa_extractor

PACKAGES = [
    "",
    ".audit",
    ".bisimulation",
    ".data",
    ".envs",
    ".machine",
    ".networks",
    ".objectives",
    ".planning",
    ".sb3",
    ".train",
]
MOVED = {
    "EmpiricalBisimulation": "bisimulation",
    "TableImages": "envs",
    "RandomTask": "objectives",
    "SIGReg": "objectives",
    "squared_error": "objectives",
    "GraphSearch": "planning",
    "LatentPlanner": "planning",
    "retarget": "planning",
    "AuditCallback": "sb3",
    "LabelAccuracy": "train",
}


@functools.cache
def loaded_by(statement):
    """Return the modules that a new process holds after ``statement``."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_import_loads_nothing():
    """Before it is used, the package loads no module of others, not even torch and NumPy."""
    new = loaded_by("import jepa_extractor") - loaded_by("import importlib.metadata, typing, collections.abc")
    assert not {name.split(".")[0] for name in new} - {"jepa_extractor"} - set(sys.stdlib_module_names)


@pytest.mark.slow
@pytest.mark.parametrize(
    "statement",
    [
        "from jepa_extractor import JEPACallback, JEPAExtractor, jepa_policy_kwargs",
        "from jepa_extractor import pretrain, load_pretrained, TransitionRing, random_episodes, JEPA",
        "from jepa_extractor.audit import audit; from jepa_extractor.bisimulation import largest_bisimulation",
    ],
)
def test_names_load_no_more_than_they_need(statement):
    """scikit-learn, SciPy, rich, tqdm, Numba, matplotlib, Bokeh and pyarrow are loaded when a function needs them."""
    own = loaded_by(statement) - loaded_by("import stable_baselines3")
    heavy = {"sklearn", "scipy.sparse", "rich", "tqdm", "numba", "matplotlib", "bokeh", "pyarrow"}
    if "bisimulation" in statement:
        heavy -= {"numba"}  # its compiled functions, which load a part of SciPy
    assert own & heavy == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_there(package):
    """All names are found and listed, each once; a wrong one is an AttributeError."""
    package = importlib.import_module(f"jepa_extractor{package}")
    for name in package.__all__:
        assert getattr(getattr(package, name), "__name__", name) == name  # a constant has none
        assert name in dir(package)
    with pytest.raises(AttributeError, match=r"has no attribute 'JEPACalback'"):
        package.JEPACalback  # noqa: B018
    with open(f"{package.__file__}i") as file:
        (*imports,) = (node for node in ast.parse(file.read()).body if isinstance(node, ast.ImportFrom))
    assert sorted(str(alias.asname) for node in imports for alias in node.names) == package.__all__


def test_twenty_names():
    """The face is small enough to be read at once."""
    assert 15 <= len(dir(jepa_extractor)) <= 24
    assert not set(MOVED) & set(dir(jepa_extractor))


@pytest.mark.parametrize("name", MOVED)
def test_a_name_that_has_moved_says_where_to(name):
    """The error is the line to write, and that line works."""
    line = f"from jepa_extractor.{MOVED[name]} import {name}"
    with pytest.raises(AttributeError, match=f"jepa_extractor has no {name}: {line}"):
        getattr(jepa_extractor, name)
    assert getattr(importlib.import_module(f"jepa_extractor.{MOVED[name]}"), name).__name__ == name
