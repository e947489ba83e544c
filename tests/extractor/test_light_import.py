"""What importing the package loads."""

import functools
import subprocess
import sys

import pytest

import jepa_extractor
from jepa_extractor import audit, bisimulation


@functools.cache
def loaded_by(statement):
    """Return the modules that a new process holds after ``statement``."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_import_loads_nothing_but_what_stable_baselines3_does():
    """Before it is used, the package loads no module of others that ``import stable_baselines3`` does not."""
    new = loaded_by("import jepa_extractor") - loaded_by("import stable_baselines3")
    assert {name for name in new if not name.startswith("jepa_extractor")} == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    "statement",
    [
        "from jepa_extractor import JEPACallback, JEPAExtractor, jepa_policy_kwargs",
        "from jepa_extractor import pretrain, load_pretrained, TransitionRing, random_episodes, policy_space",
        "from jepa_extractor.audit import AuditSet, audit, compare_classes",
        "from jepa_extractor.bisimulation import EmpiricalBisimulation",
    ],
)
def test_names_load_no_more_than_they_need(statement):
    """scikit-learn, SciPy, rich, tqdm, Numba, matplotlib, Bokeh and pyarrow are loaded when a function needs them."""
    own = loaded_by(statement) - loaded_by("import stable_baselines3")
    heavy = {"sklearn", "scipy.sparse", "rich", "tqdm", "numba", "matplotlib", "bokeh", "pyarrow"}
    if "EmpiricalBisimulation" in statement:
        heavy -= {"numba"}  # its compiled functions, which load a part of SciPy
    assert own & heavy == set()


def test_core_knows_no_stable_baselines3():
    """The model, its losses, the ring and the tasks work without Stable-Baselines3."""
    rooms = (
        "batch, replay, encoders, heads, ema, losses, tasks, jepa, training, rollouts, spaces, recipes, regularizers"
    )
    assert "stable_baselines3" not in loaded_by(f"from jepa_extractor import {rooms}")


@pytest.mark.parametrize(
    ("package", "wrong"),
    [(jepa_extractor, "JEPACalback"), (audit, "audit_all"), (bisimulation, "smallest_bisimulation")],
)
def test_every_public_name_is_there(package, wrong):
    """All names are found and listed; a wrong one is an AttributeError; an editor sees the same names."""
    for name in package.__all__:
        assert getattr(package, name).__name__ == name
        assert name in dir(package)
    with pytest.raises(AttributeError, match=f"has no attribute '{wrong}'"):
        getattr(package, wrong)
    with open(package.__file__) as file:
        source = file.read()
    assert sorted(name for name in package.__all__ if f" as {name}\n" in source) == package.__all__
