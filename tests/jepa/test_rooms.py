"""The house: which room knows which, read from every import statement, those inside functions included."""

import ast
import graphlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ABOVE_ALL = {"jepa_extractor", "jepa_extractor.audit.__main__"}  # the public face and the command line


def modules_of(package):
    """Return the file of each module by its name."""
    found = {}
    for file in sorted((ROOT / package).rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


OWN = modules_of("jepa_extractor")
ALL = {**OWN, **modules_of("counting_env")}


def imports_of(file):
    """Return every module that a file names in an import, at the top, in a function, for types alone or lazily."""
    names = set()
    stub = file.with_suffix(".pyi")
    for node in ast.walk(ast.parse(file.read_text() + (stub.read_text() if stub.exists() else ""))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports by dots"
            assert node.module is not None
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = inner & ALL.keys()
            names |= modules if modules == inner else {node.module} | modules
    return names


IMPORTS = {name: imports_of(file) for name, file in ALL.items()}


def room_of(module):
    return ".".join(module.split(".")[:2])


def circle(graph):
    """Return modules or rooms that know each other, one after the other, or nothing."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return None


def test_stable_baselines3_has_one_room():
    """The rest works where it is not installed."""
    users = {name for name, seen in IMPORTS.items() if any(one.split(".")[0] == "stable_baselines3" for one in seen)}
    assert {name for name in users if not name.startswith("jepa_extractor.sb3.")} <= {"counting_env.sb3"}
    assert users
    assert not any(one.split(".")[0] == "sb3_contrib" for seen in IMPORTS.values() for one in seen)


def test_no_circle_of_modules():
    """Whoever reads a file can read what it needs before."""
    assert circle({name: IMPORTS[name] & OWN.keys() - {name} for name in OWN}) is None


def test_no_circle_of_rooms():
    """Nor is there one of folders, in which the files at the top count as rooms."""
    graph: dict = {}
    for name in OWN.keys() - ABOVE_ALL:
        known = {room_of(one) for one in IMPORTS[name] & OWN.keys() - ABOVE_ALL}
        graph.setdefault(room_of(name), set()).update(known - {room_of(name)})
    assert circle(graph) is None


@pytest.mark.parametrize("room", ["sb3", "planning", "audit"])
def test_siblings_do_not_know_each_other(room):
    """The three stand side by side on the model; the callback that audits is the one arrow between them."""
    allowed = {("sb3", "audit")}
    for name in OWN.keys() - ABOVE_ALL:
        if room_of(name) == f"jepa_extractor.{room}":
            known = {room_of(one).removeprefix("jepa_extractor.") for one in IMPORTS[name]}
            for other in {"sb3", "planning", "audit"} & known - {room}:
                assert (room, other) in allowed, f"{name} imports {other}"


def test_the_environment_knows_nothing_of_the_plug_in():
    """Its adapter alone passes on a name of the plug-in, and its viewer asks entry points for agents."""
    users = {name for name in ALL.keys() - OWN.keys() if any("jepa_extractor" in one for one in IMPORTS[name])}
    assert users <= {"counting_env.sb3"}


def test_a_circle_would_be_found():
    """What these tests look with sees circles, and imports in functions."""
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) is not None
    assert circle({"a": {"b", "c"}, "b": {"c"}}) is None
    assert "sklearn.metrics" in IMPORTS["jepa_extractor.diagnostics"], "it is imported in a function"
    assert "jepa_extractor.sb3.adapter" in IMPORTS["jepa_extractor.sb3.recorder"], "imported from the package"
