"""How fast is the largest bisimulation, compared with other libraries, and how do its time and memory grow?

Design. Each measurement is made in a process of its own, after a small warm-up, and contenders are measured in turn
within one run. The time to convert the arrays for another library is shown, but not counted. The other libraries are
not dependencies of this project: to see their rows, ``pip install automata-lib BisPy``.

Measures. Seconds: medians over repetitions, and the range of the ratios; peak memory of the process.

Thresholds. Those of ``CASES``; and ``SECONDS`` and ``BYTES`` for ten million states and two actions.
"""

import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from counting_env import count_mdp
from studies.facts import Facts, of_one_run
from studies.markdown import markdown_table

MDP = tuple[NDArray[np.int64], NDArray[np.float64]]  # successors (n, k) and values (n,)
OURS, SIGNATURE, AUTOMATA, BISPY = (
    "largest_bisimulation",
    "signature refinement",
    "automata-lib minify",
    "BisPy Paige-Tarjan",
)
ARGSORT = "argsort, for scale"
MODULES = {AUTOMATA: "automata", BISPY: "bispy"}
SECONDS, BYTES = 60, 2e9  # what ten million states and two actions may take


def chain(n: int) -> MDP:
    """A chain under one action, rewarded at its end only: n classes."""
    return np.minimum(np.arange(n) + 1, n - 1)[:, None], (np.arange(n) == n - 1).astype(float)


def counts(n: int) -> MDP:
    """n counts, the target in the middle: n classes, and as many rounds of signature refinement as half of them."""
    return count_mdp(n - 1, n // 2)


def scenes(n: int) -> MDP:
    """n scenes with 0 to 8 objects: nine classes. Each action leads to a random scene of the next count."""
    rng = np.random.default_rng(0)
    successors, values = count_mdp()
    copies = n // len(values)
    leads = [[to * copies + rng.permutation(copies) for to in row] for row in successors]
    return np.stack([np.stack(row, axis=1) for row in leads]).reshape(-1, 2), np.repeat(values, copies)


def random(n: int) -> MDP:
    """Random successors under two actions, and random values of two kinds: hardly two states are bisimilar."""
    rng = np.random.default_rng(0)
    return rng.integers(0, n, (n, 2)), rng.integers(0, 2, n).astype(float)


def ours(successors: NDArray[np.int64], values: NDArray[np.float64]) -> Callable[[], int]:
    """Return what is measured: a function that returns the number of classes."""
    from jepa_extractor.bisimulation import largest_bisimulation

    return lambda: int(largest_bisimulation(successors, values).max()) + 1


def signature_refinement(successors: NDArray[np.int64], values: NDArray[np.float64]) -> Callable[[], int]:
    """Rounds in NumPy: number the pairs of a state's class and its successor's, for one action after the other."""

    def run() -> int:
        names, classes = np.unique(values, return_inverse=True)
        count = len(names)
        while True:
            finer = classes
            for following in successors.T:
                names, finer = np.unique(finer * count + classes[following], return_inverse=True)
            if len(names) == count:
                return count
            classes, count = finer, len(names)

    return run


def automata(successors: NDArray[np.int64], values: NDArray[np.float64]) -> Callable[[], int]:
    """A DFA accepts where the value is 1. All states must be within reach of state 0: minify drops the others."""
    from automata.fa.dfa import DFA

    symbols = [str(a) for a in range(successors.shape[1])]
    dfa = DFA(
        states=set(range(len(values))),
        input_symbols=set(symbols),
        transitions={i: dict(zip(symbols, row, strict=True)) for i, row in enumerate(successors.tolist())},
        initial_state=0,
        final_states=set(np.flatnonzero(values == 1).tolist()),
    )
    return lambda: len(dfa.minify().states)


def bispy(successors: NDArray[np.int64], values: NDArray[np.float64]) -> Callable[[], int]:
    """A graph without labels on its edges.

    With several actions, state i leads to one more vertex for each action a, which leads to the successor; the
    vertices of each action start as a block of their own.
    """
    import networkx
    from bispy import paige_tarjan

    n, k = successors.shape
    graph = networkx.DiGraph()
    graph.add_nodes_from(range(n if k == 1 else n * (1 + k)))
    blocks = [tuple(np.flatnonzero(values == value).tolist()) for value in np.unique(values)]
    if k == 1:
        graph.add_edges_from(enumerate(successors[:, 0].tolist()))
    else:
        for a in range(k):
            middle = range(n * (1 + a), n * (2 + a))
            graph.add_edges_from(enumerate(middle))
            graph.add_edges_from(zip(middle, successors[:, a].tolist(), strict=True))
            blocks.append(tuple(middle))
    return lambda: sum(block[0] < n for block in paige_tarjan(graph, blocks, is_integer_graph=True))


def argsort(_: NDArray[np.int64], values: NDArray[np.float64]) -> Callable[[], int]:
    """For scale: sorting takes n log n steps, and its time grows faster too, once it outgrows the caches."""
    numbers = np.random.default_rng(0).random(len(values))
    return lambda: len(np.argsort(numbers))


CONTENDERS = {OURS: ours, SIGNATURE: signature_refinement, AUTOMATA: automata, BISPY: bispy, ARGSORT: argsort}
CASES: tuple[tuple[str, Callable[[int], MDP], int, dict[str, float]], ...] = (  # and how many times faster, at least
    ("chain", chain, 5_000, {SIGNATURE: 0, AUTOMATA: 20, BISPY: 20}),
    ("scenes of 9 counts", scenes, 90_000, {SIGNATURE: 1, AUTOMATA: 20, BISPY: 20}),
    ("counts", counts, 90_000, {SIGNATURE: 0, AUTOMATA: 20, BISPY: 20}),
    ("random", random, 100_000, {SIGNATURE: 1}),
    ("scenes of 9 counts", scenes, 900_000, {SIGNATURE: 1}),
    ("random", random, 1_000_000, {SIGNATURE: 1}),
)
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    # the short version: sizes=[10000,100000] repetitions=1 limit=3
    "all": {"sizes": [10**4, 10**5, 10**6, 10**7], "repetitions": 3, "limit": 60.0}
}
SEEDS = (0,)
TIMED = True
gathered = of_one_run
GROWTH = ((OURS, counts), (OURS, random), (ARGSORT, random))


def work(results: Connection, contender: str, mdp: Callable[[int], MDP], n: int) -> None:
    """Measure one contender once, in a process of its own."""
    CONTENDERS[contender](*mdp(90))()  # imported, and machine code loaded or compiled
    results.send("ready")
    arrays = mdp(n)
    start = time.perf_counter()
    run = CONTENDERS[contender](*arrays)
    build = time.perf_counter() - start
    times: list[float] = []
    while len(times) < 20 and sum(times) < 0.2:
        start = time.perf_counter()
        classes = run()
        times.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    results.send({"seconds": statistics.median(times), "build": build, "classes": classes, "peak_bytes": peak})


def measure(contender: str, mdp: Callable[[int], MDP], n: int, limit: float) -> dict[str, float] | None:
    """Return one measurement of one contender, or ``None`` if it takes more than ``limit`` seconds once it is warm."""
    context = multiprocessing.get_context("spawn")
    results, theirs = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(theirs, contender, mdp, n))
    process.start()
    theirs.close()  # so that the end of the process ends the waiting
    try:
        results.recv()
        return dict(results.recv()) if results.poll(limit) else None
    except EOFError:
        raise RuntimeError(f"{contender} failed at {n:,} states: see above") from None
    finally:
        process.kill()
        process.join()


def compare(repetitions: int, limit: float) -> list[dict[str, Any]]:
    """Measure all contenders that are installed in all cases, in turn."""
    figures = []
    for name, mdp, n, goals in CASES:
        installed = [each for each in goals if each not in MODULES or find_spec(MODULES[each])]
        measured: dict[str, list[dict[str, float] | None]] = {each: [] for each in (OURS, *installed)}
        for _ in range(repetitions):
            for each, results in measured.items():
                if None not in results:
                    results.append(measure(each, mdp, n, limit))
        figures.append({"case": name, "n": n, "limit": limit, "measured": measured})
    return figures


def grow(sizes: Sequence[int], repetitions: int) -> dict[str, list[dict[str, float]]]:
    """Measure ours at all sizes, and sorting for scale."""
    figures: dict[str, list[dict[str, float]]] = {}
    for contender, mdp in GROWTH:
        points = []
        for n in sizes:
            results = [result for _ in range(repetitions) if (result := measure(contender, mdp, n, 600))]
            points.append(
                {
                    "n": n,
                    "seconds": statistics.median(result["seconds"] for result in results),
                    "peak_bytes": max(result["peak_bytes"] for result in results),
                }
            )
        figures[mdp.__name__ if contender == OURS else contender] = points
    return figures


def run(configuration: dict[str, Any], seed: int, folder: Path) -> dict[str, Any]:  # noqa: ARG001  # a study's signature
    """Measure everything; ``limit``: seconds that a contender may take, with building."""
    repetitions = configuration["repetitions"]
    return {
        "comparison": compare(repetitions, configuration["limit"]),
        "growth": grow(sorted(configuration["sizes"]), repetitions),
    }


def table(facts: Facts) -> str:
    """Return how many times faster ours is, and its growth against n log n."""
    goals = {(name, n): goals for name, _, n, goals in CASES}
    rows = [row for case in facts["comparison"] for row in _compared(case, goals[case["case"], case["n"]])]
    header = ["MDP, states", "contender", "seconds", "to build, seconds", "classes", "times ours", "goal, at least"]
    compared = markdown_table(header, rows)
    rows = []
    for name, points in facts["growth"].items():
        first = points[0]
        for point in points:
            n = point["n"]
            expected = n * np.log(n) / (first["n"] * np.log(first["n"]))
            rows.append(
                [
                    name,
                    f"{n:,}",
                    f"{point['seconds']:.4f}",
                    f"{point['seconds'] / first['seconds'] / expected:.2f}",
                    f"{point['peak_bytes'] / 1e9:.2f}",
                    f"{SECONDS} s, {BYTES / 1e9:g} GB" if name != ARGSORT and n == 10**7 else "",
                ]
            )
    header = ["MDP", "states", "seconds", "growth over that of n log n", "peak memory, GB", "goal, at most"]
    return f"{compared}\n\n{markdown_table(header, rows)}"


def _compared(case: dict[str, Any], goals: dict[str, float]) -> list[list[str]]:
    """Return a row for each contender of one case."""
    rows = []
    mine = [result for result in case["measured"][OURS] if result]
    for each in (OURS, *goals):
        goal = goals.get(each)
        results = case["measured"].get(each, [])
        found = [result for result in results if result]
        row = [f"{case['case']}, {case['n']:,}", each]
        if each not in case["measured"]:
            row += ["not installed", "", "", ""]
        elif None in results or not mine:
            row += [f"over {case['limit']:g}", "", "", ""]
        else:
            ratios = [theirs["seconds"] / my["seconds"] for theirs, my in zip(found, mine, strict=True)]
            row += [
                f"{statistics.median(result['seconds'] for result in found):.4f}",
                f"{statistics.median(result['build'] for result in found):.2f}" if each in MODULES else "",
                f"{found[0]['classes']:,.0f}",
                "" if each == OURS else f"{statistics.median(ratios):.1f} ({min(ratios):.1f} .. {max(ratios):.1f})",
            ]
        rows.append([*row, f"{goal:g}" if goal else ""])
    return rows


def draw(facts: Facts, path: Path) -> None:
    """Draw time, on a logarithmic axis, and memory against the number of states."""
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, points in facts["growth"].items():
        sizes = np.array([point["n"] for point in points])
        seconds = [point["seconds"] for point in points]
        (line,) = left.loglog(sizes, seconds, "o:" if name == ARGSORT else "o-", label=name)
        proportional = sizes * np.log(sizes) * seconds[0] / (sizes[0] * np.log(sizes[0]))
        left.loglog(sizes, proportional, "--", color=line.get_color(), linewidth=0.8)
        right.semilogx(sizes, [point["peak_bytes"] / 1e9 for point in points], "o-", label=name)
    left.loglog([], [], "k--", linewidth=0.8, label="n log n, from the smallest size")
    left.set(title="time of largest_bisimulation, two actions", xlabel="states", ylabel="seconds")
    right.set(title="peak memory of the process, with its input", xlabel="states", ylabel="GB")
    left.axhline(SECONDS, color="gray", linewidth=0.8)
    right.axhline(BYTES / 1e9, color="gray", linewidth=0.8)
    right.set_ylim(bottom=0)
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    figure.savefig(path, dpi=110)
