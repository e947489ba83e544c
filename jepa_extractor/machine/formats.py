"""Machines as JSON, as graphs of NetworkX, and in Graphviz's language."""

import base64
import json
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from jepa_extractor.checkpoint import replace_file
from jepa_extractor.checks import as_path, require_type
from jepa_extractor.data.observations import map_arrays
from jepa_extractor.machine.machine import Machine

if TYPE_CHECKING:
    import networkx

FORMAT = "jepa_extractor machine 2"
ARROWS = ("successors", "rewards", "ends", "counts", "certainty")


def save_machine(machine: Machine, path: str | Path) -> None:
    """Save a machine as JSON, without its JEPA; see ``load_machine``.

    Raises:
        ValueError: ``machine`` is no machine, or ``path`` no path.
        OSError: ``path`` cannot be written.
    """
    require_type("machine", machine, Machine, "learned_machine makes one")
    content: dict[str, Any] = {"names": machine.names, "action_names": machine.action_names}
    content["starts"] = machine.starts.tolist()
    content.update({name: getattr(machine, name).tolist() for name in ARROWS})
    for name in ("prototypes", "prototype_nodes", "pictures"):
        value = getattr(machine, name)
        content[name] = None if value is None else map_arrays(_packed, value)
    text = json.dumps({"format": FORMAT, "checksum": _checksum(content), "machine": content})
    replace_file(path, lambda unfinished: unfinished.write_text(text))


def load_machine(path: str | Path) -> Machine:
    """Return the machine that ``save_machine`` saved at ``path``; it has no JEPA.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is broken, or holds no machine.
    """
    path = as_path("path", path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no machine at {path}")
    try:
        saved = json.loads(path.read_text())
        if saved["format"] != FORMAT:
            raise ValueError("it has another format")
        content = saved["machine"]
        if saved["checksum"] != _checksum(content):
            raise ValueError("its checksum is another")
        kinds = {"successors": np.int64, "rewards": np.float64, "ends": np.bool_, "counts": np.int64}
        for name in ARROWS:
            content[name] = np.array(content[name], kinds.get(name, np.float64))
        for name in ("prototypes", "prototype_nodes", "pictures"):
            content[name] = _unpacked(content[name])
        content["starts"] = np.array(content["starts"], np.int64)
        content["names"], content["action_names"] = tuple(content["names"]), tuple(content["action_names"])
        return Machine(**content)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} is broken, or holds no machine: save it again ({error})") from error


def to_networkx(machine: Machine) -> "networkx.MultiDiGraph":
    """Return the machine as a graph: nodes 0 to N - 1 with ``name`` and ``start``, an edge for each arrow.

    Edges have ``action``, ``action_name``, ``reward``, ``end``, ``count`` and ``certainty``. Needs networkx, which
    torch brings.

    Raises:
        ValueError: ``machine`` is no machine.
    """
    require_type("machine", machine, Machine, "learned_machine makes one")
    import networkx

    graph = networkx.MultiDiGraph()
    order = {int(node): rank for rank, node in enumerate(machine.starts)}
    for node, name in enumerate(machine.names):
        graph.add_node(node, name=name, start=order.get(node, -1))
    for node, action in np.ndindex(machine.successors.shape):
        graph.add_edge(
            node,
            int(machine.successors[node, action]),
            key=action,
            action=action,
            action_name=machine.action_names[action],
            reward=float(machine.rewards[node, action]),
            end=bool(machine.ends[node, action]),
            count=int(machine.counts[node, action]),
            certainty=float(machine.certainty[node, action]),
        )
    return graph


def from_networkx(graph: "networkx.MultiDiGraph") -> Machine:
    """Return the machine of a graph as ``to_networkx`` makes it, without prototypes and pictures.

    Raises:
        ValueError: it is no such graph, a node lacks an arrow, or an attribute is missing.
    """
    import networkx

    require_type("graph", graph, networkx.MultiDiGraph, "give one as to_networkx makes it")
    nodes = sorted(graph.nodes)
    edges = {(node, data.get("action")): (to, data) for node, to, data in graph.edges(data=True)}
    actions = sorted({action for _, action in edges if action is not None})
    shape = (len(nodes), len(actions))
    if nodes != list(range(shape[0])) or actions != list(range(shape[1])) or len(edges) != shape[0] * shape[1]:
        raise ValueError(
            f"graph has {len(nodes)} nodes, {len(actions)} actions and {graph.number_of_edges()} edges: number nodes "
            "and actions from 0, and give each node one edge for each action"
        )
    try:
        arrays = [
            np.array([[kind(edges[node, action][1][name]) for action in actions] for node in nodes])
            for name, kind in (("reward", float), ("end", bool), ("count", int), ("certainty", float))
        ]
        starts = sorted((graph.nodes[node]["start"], node) for node in nodes if graph.nodes[node]["start"] >= 0)
        names = tuple(graph.nodes[node]["name"] for node in nodes)
        action_names = tuple(edges[0, action][1]["action_name"] for action in actions)
    except KeyError as error:
        raise ValueError(f"graph lacks the attribute {error}: make it as to_networkx does") from error
    successors = np.array([[edges[node, action][0] for action in actions] for node in nodes], np.int64)
    rewards, ends, counts, certainty = arrays
    order = np.array([node for _, node in starts], np.int64)
    return Machine(successors, rewards, ends, counts, certainty, order, names, action_names)


def to_dot(machine: Machine) -> str:
    """Return the machine in Graphviz's language: arrows that were never seen are dashed, those that end are red.

    Arrows from one node to the same other are one, with all their actions.

    Raises:
        ValueError: ``machine`` is no machine.
    """
    require_type("machine", machine, Machine, "learned_machine makes one")
    lines = ["digraph machine {", "  rankdir=LR;", "  node [shape=circle];"]
    starts = set(machine.starts.tolist())
    for node, name in enumerate(machine.names):
        lines.append(f"  {node} [label={_quoted(name)}{', penwidth=2' if node in starts else ''}];")
    together: dict[tuple[int, int, float, bool, bool], list[str]] = {}
    for node, action in np.ndindex(machine.successors.shape):
        arrow = (node, action)
        to, seen = int(machine.successors[arrow]), bool(machine.counts[arrow] > 0)
        kind = (node, to, float(machine.rewards[arrow]), bool(machine.ends[arrow]), seen)
        together.setdefault(kind, []).append(machine.action_names[action])
    for (node, to, reward, end, seen), names in together.items():
        label = ", ".join(names) + (f" / {reward:g}" if reward else "")
        style = ("" if seen else ", style=dashed") + (", color=red" if end else "")
        lines.append(f"  {node} -> {to} [label={_quoted(label)}{style}];")
    return "\n".join([*lines, "}", ""])


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _checksum(content: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(content).encode())


def _packed(array: NDArray[Any]) -> dict[str, Any]:
    content = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {"dtype": array.dtype.str, "shape": list(array.shape), "base64": content}


def _unpacked(value: Any) -> Any:
    if value is None:
        return None
    if set(value) == {"dtype", "shape", "base64"}:
        content = base64.b64decode(value["base64"], validate=True)
        return np.frombuffer(content, np.dtype(value["dtype"])).reshape(value["shape"]).copy()
    return {key: _unpacked(part) for key, part in value.items()}
