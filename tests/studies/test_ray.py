"""Studies on a Ray cluster, with nodes that die."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from studies.runner import run_study
from tests.studies.walks import mishap, notes, walks

ray = pytest.importorskip("ray")
# Ray leaves sockets and log files of the nodes it starts to the garbage collector.
# One process runs all of these: a study that looks for "auto" finds any cluster of the machine.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.xdist_group("ray"),
]
SCRIPT = str(Path(__file__).with_name("walks.py"))
SEEDS = range(64)


@pytest.fixture
def cluster(monkeypatch):
    """Two nodes on this machine, of two processors each."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # with it, Ray writes a token into the home folder
    folder = tempfile.mkdtemp(prefix="ray")  # pytest's own are too long for the names of sockets
    monkeypatch.setenv("RAY_TMPDIR", folder)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    cluster.add_node(num_cpus=2)
    yield cluster
    cluster.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


def start(cluster, out):
    command = [sys.executable, SCRIPT, str(out), str(len(SEEDS)), "--ray", cluster.address]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def at_work(out, raylet):
    """Return the runs without a result that a process of this node was the last to begin, with that process."""
    begun = {name: processes[-1].split("/") for name, processes in notes(out, "processes").items()}
    return {
        name: int(process)
        for name, (parent, process) in begun.items()
        if int(parent) == raylet and not (out / name / "result.json").exists()
    }


def halfway_at_most(folder):
    path = folder / "state.json"
    return not path.exists() or json.loads(path.read_text())["step"] <= 5


def wait_for(condition):
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_node_dies_in_the_midst(cluster, tmp_path):
    """64 runs on two nodes, one of which is killed in the middle: every result is there at the end, and none twice."""
    doomed = next(iter(cluster.worker_nodes))
    (raylet,) = [info.process.pid for info in doomed.all_processes["raylet"]]
    study = start(cluster, tmp_path)

    def in_the_middle():
        some = at_work(tmp_path, raylet)
        finished = len(list(tmp_path.rglob("result.json")))
        return finished > 16 and some and all(halfway_at_most(tmp_path / name) for name in some)

    wait_for(in_the_middle)
    lost = at_work(tmp_path, raylet)
    for process in (raylet, *lost.values()):  # all at once, as when a machine is switched off
        os.kill(process, signal.SIGKILL)
    cluster.remove_node(doomed, allow_graceful=False)
    printed, _ = study.communicate(timeout=600)
    assert study.returncode == 0, printed
    results = {seed: json.loads((tmp_path / "walk" / f"seed{seed}" / "result.json").read_text()) for seed in SEEDS}
    assert {"walk": {seed: content["result"] for seed, content in results.items()}} == walks(SEEDS)
    begun = notes(tmp_path, "processes")
    twice = {name: processes for name, processes in begun.items() if len(processes) > 1}
    assert lost.keys() <= twice.keys()
    assert lost
    # a process of the node that outlives it for a moment is process 1's child, and may begin another run
    assert {int(processes[0].split("/")[0]) for processes in twice.values()} - {1} == {raylet}
    assert notes(tmp_path, "again") == {}
    nodes = {int(process.split("/")[0]) for processes in begun.values() for process in processes}
    assert len(nodes - {1}) == 2, "both nodes were at work"


def test_a_study_killed_on_a_cluster_goes_on(cluster, tmp_path):
    """A killed study resumes, on a cluster that goes on too: every result is there at the end, and none twice."""
    study = start(cluster, tmp_path)
    wait_for(lambda: len(list(tmp_path.rglob("result.json"))) > 16)
    study.kill()
    study.communicate()
    printed, _ = (study := start(cluster, tmp_path)).communicate(timeout=600)
    assert study.returncode == 0, printed
    assert notes(tmp_path, "again") == {}


def test_a_run_that_dies_and_one_that_fails(cluster, tmp_path):
    """On Ray too, a run whose process dies is begun again, a few times at most, and the others go on."""
    kinds = {kind: {"kind": kind} for kind in ("dies", "dies once", "error", "good")}
    study = run_study(mishap, kinds, [0, 1], tmp_path, ray=cluster.address)
    assert set(study.failures) == {(name, seed) for name in ("dies", "error") for seed in (0, 1)}
    assert "its process died 3 times, perhaps for lack of memory" in study.failures["dies", 0]
    assert study.failures["error", 1] == "RuntimeError: this run is meant to fail"
    assert study.results["dies once"] == study.results["good"] == {0: {"value": 9}, 1: {"value": 10}}
    assert list(notes(tmp_path, "executions").values()) == [["x"]] * 4


def test_no_run_waits_for_another_while_a_processor_is_free(cluster, tmp_path):
    """Four processors work on four runs at once, even if those are every fourth of all."""
    kinds = {f"meets{k}" if k % 4 == 0 else f"good{k}": {"kind": "good" if k % 4 else "meets"} for k in range(16)}
    study = run_study(mishap, kinds, [0], tmp_path, ray=cluster.address)
    assert study.failures == {}


def test_no_cluster(tmp_path, monkeypatch):
    """A clear sentence where Ray finds no cluster at the address."""

    def finds_none(address, **_):  # the real one finds a cluster of anybody's on this machine
        raise ConnectionError(f"Could not find any running Ray instance at {address}")

    monkeypatch.setattr(ray, "init", finds_none)
    with pytest.raises(ConnectionError, match="there is no Ray cluster at 'auto': start one with ray start --head"):
        run_study(mishap, {"run": {"kind": "good"}}, [0], tmp_path, ray="auto")
