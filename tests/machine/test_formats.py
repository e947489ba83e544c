"""Machines in files, graphs and tables."""

import json
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from jepa_extractor.bisimulation import largest_bisimulation
from jepa_extractor.machine import (
    MachineEnv,
    compare,
    from_networkx,
    load_machine,
    machine_of_table,
    save_machine,
    to_dot,
    to_networkx,
)
from tests.machine.machines import random_machine

ARROWS = ("successors", "rewards", "ends", "counts", "certainty", "starts")


def full():
    """Return a machine with all that one can have but a JEPA."""
    machine = random_machine(4, nodes=5, ends=0.3, starts=[3, 0])
    return replace(
        machine,
        counts=np.arange(10).reshape(5, 2),
        certainty=np.arange(10).reshape(5, 2) / 10,
        names=("a", 'b"', "c\\", "ü", "e"),
        prototypes=np.random.default_rng(0).random((7, 3), np.float32),
        prototype_nodes=np.array([0, 1, 1, 2, 3, 4, 4]),
        pictures={"image": np.arange(60, dtype=np.uint8).reshape(5, 1, 3, 4), "more": np.ones((5, 1), np.float32)},
    )


def test_a_file_keeps_all(tmp_path):
    """Every array comes back with its dtype, and the file is JSON."""
    machine, path = full(), tmp_path / "machine.json"
    save_machine(machine, path)
    assert json.loads(path.read_text())["machine"]["names"][1] == 'b"'
    loaded = load_machine(path)
    for name in (*ARROWS, "prototypes", "prototype_nodes"):
        one, other = getattr(loaded, name), getattr(machine, name)
        assert one.dtype == other.dtype
        assert (one == other).all()
    assert (loaded.names, loaded.action_names) == (machine.names, machine.action_names)
    assert all((loaded.pictures[key] == machine.pictures[key]).all() for key in ("image", "more"))
    save_machine(random_machine(0), path)
    assert load_machine(path).pictures is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("machine 2", "machine 9"),
        lambda text: text.replace('"rewards"', '"reward"'),
        lambda text: text.replace('"successors": [[', '"successors": [[9, '),
        lambda text: "[]",
        lambda text: text.replace('"base64": "', '"base64": "!'),
    ],
    ids=["cut", "format", "key", "shape", "list", "base64"],
)
def test_a_broken_file(damage, tmp_path):
    """What is no machine is an error that names the file."""
    path = tmp_path / "machine.json"
    save_machine(full(), path)
    path.write_text(damage(path.read_text()))
    with pytest.raises(ValueError, match=r"machine\.json is broken"):
        load_machine(path)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_machine(tmp_path / "nowhere.json")


def test_a_graph_and_back():
    """NetworkX keeps nodes, starts in their order, and all that belongs to arrows."""
    machine = full()
    graph = to_networkx(machine)
    assert graph.number_of_edges() == 10
    back = from_networkx(graph)
    for name in ARROWS:
        assert (getattr(back, name) == getattr(machine, name)).all()
    assert (back.names, back.action_names) == (machine.names, machine.action_names)
    for change, message in (
        (lambda graph: graph.remove_edge(0, int(machine.successors[0, 1]), 1), "9 edges: number nodes"),
        (lambda graph: graph.add_node(17), "6 nodes"),
        (lambda graph: graph.nodes[2].pop("name"), "lacks the attribute 'name'"),
    ):
        broken = to_networkx(machine)
        change(broken)
        with pytest.raises(ValueError, match=message):
            from_networkx(broken)


def test_dot():
    """Arrows to one node are one, those never seen are dashed, those that end red; quotes are escaped."""
    machine = full()
    text = to_dot(machine)
    assert text.startswith("digraph machine {")
    assert '1 [label="b\\""];' in text
    assert '2 [label="c\\\\"];' in text
    assert '3 [label="ü", penwidth=2];' in text
    assert text.count("dashed") == 1  # the first arrow has count 0
    assert text.count("color=red") == len({(n, int(machine.successors[n, a])) for n, a in np.argwhere(machine.ends)})
    assert '0 -> 1 [label="0, 1"' in to_dot(replace(machine, successors=np.ones((5, 2), int), **same(machine)))


def same(machine):
    zeros = np.zeros_like(machine.counts)
    return {"counts": zeros, "rewards": zeros.astype(float), "ends": zeros.astype(bool)}


def test_an_environment_is_the_machine():
    """Gymnasium's checker passes, and each step is the arrow."""
    machine = random_machine(2, nodes=5, ends=0.2, starts=[1, 4])
    env = MachineEnv(machine)
    check_env(env, skip_render_check=True)
    assert {int(env.reset(seed=seed)[0]) for seed in range(20)} == {1, 4}
    for node, action in np.ndindex(5, 2):
        env.reset(options={"node": node})
        found = env.step(np.int64(action))
        assert found[:4] == (
            machine.successors[node, action],
            machine.rewards[node, action],
            machine.ends[node, action],
            False,
        )
    with pytest.raises(ValueError, match="goal=5 is no node"):
        env.reset(options={"node": 5})


@pytest.mark.parametrize(("name", "options"), [("FrozenLake-v1", {"is_slippery": False}), ("CliffWalking-v1", {})])
def test_toy_text(name, options):
    """The quotient has a node for each class that the bisimulation of the whole table has among what can be reached."""
    env: Any = gym.make(name, **options).unwrapped
    starts = np.flatnonzero(env.initial_state_distrib)
    machine = machine_of_table(env.P, starts)
    small = machine.minimised()
    to, values = machine.as_mdp()
    reached = np.append(machine.live, True)
    assert len(small.names) == len(set(largest_bisimulation(to, values)[reached]))
    assert compare(small, machine) is None
    slippery: Any = gym.make("FrozenLake-v1", is_slippery=True).unwrapped
    with pytest.raises(ValueError, match="random"):
        machine_of_table(slippery.P, starts)
