"""What runs where Stable-Baselines3 is not installed, in an environment that lacks it."""

import os
import site
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ABSENT = ("stable_baselines3", "sb3_contrib", "rl_zoo3")

WORK = """
import importlib.util
import warnings
import gymnasium as gym
import numpy as np
import torch
import counting_env
import jepa_extractor
from jepa_extractor import JEPA, TransitionRing, fit_transition, pretrain, random_episodes
from jepa_extractor.audit import AuditSet, audit
from jepa_extractor.bisimulation import largest_bisimulation
from jepa_extractor.envs import TableImages
from jepa_extractor.planning import LatentPlanner, retarget

assert importlib.util.find_spec("stable_baselines3") is None
gym.register_envs(counting_env)
options = {"vectorization_mode": "vector_entry_point", "image_size": 36, "max_count": 4}
envs = gym.make_vec("CountingEnv-v0", 4, **options)
episodes = list(random_episodes(envs, 60, seed=0, labels=("count",)))
ring = TransitionRing.from_episodes(episodes, seed=0)
jepa = JEPA(envs.single_observation_space, envs.single_action_space, latent_dim=8)
optimizer = torch.optim.Adam(jepa.parameters())
loss, _ = jepa.loss(ring.sample(8))
loss.backward()
optimizer.step()
pretrain(jepa, ring, updates=2, batch_size=8, transition_updates=2)
fit_transition(jepa, ring, updates=2)
report = audit(jepa, AuditSet.from_episodes(episodes, actions=("remove", "add")))
print(report)
actions, _ = LatentPlanner(jepa, horizon=2).predict(episodes[0].observations)
pictures = np.stack([episode.observations[0] for episode in episodes[:5]])
warnings.simplefilter("ignore", UserWarning)  # of labels that leave doubt: the JEPA is hardly trained
retarget(jepa, pictures, np.arange(5) == 3)
assert len(largest_bisimulation(*counting_env.count_mdp(4))) == 5
for name in ("JEPACallback", "jepa_policy_kwargs", "Joint"):
    try:
        getattr(jepa_extractor, name)
    except ImportError as error:
        assert "pip install" in str(error) and "sb3" in str(error), error
    else:
        raise AssertionError(name)
print("all run")
"""


def environment_without(absent, folder):
    """Return the Python of a new environment that sees what this one has installed but for ``absent``."""
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    (seen,) = (folder / "lib").glob("python*/site-packages") if os.name != "nt" else [folder / "Lib" / "site-packages"]
    for packages in map(Path, site.getsitepackages()):
        for entry in packages.iterdir():
            hidden = entry.name.startswith(absent) or "editable" in entry.name or (seen / entry.name).exists()
            if not hidden:
                (seen / entry.name).symlink_to(entry)
    return folder / ("Scripts" if os.name == "nt" else "bin") / "python"


@pytest.mark.slow
def test_everything_but_policies_runs(tmp_path):
    """A loop of one's own, a pretraining, an audit and a plan; the rest says what to install."""
    python = environment_without(ABSENT, tmp_path / "env")
    run = subprocess.run(
        [python, "-W", "error", "-c", WORK],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.endswith("all run\n")


REFUSE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "stable_baselines3":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Refuse())
"""


def test_names_that_need_stable_baselines3_say_what_to_install():
    """The error is an ImportError with the line for pip; other names work, and nothing else is swallowed."""
    code = f"""{REFUSE}
import jepa_extractor
from jepa_extractor import JEPA, pretrain, TransitionRing
try:
    from jepa_extractor import JEPACallback
except ImportError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout == (
        "jepa_extractor.JEPACallback needs stable_baselines3, which is not installed: "
        "pip install 'counting-jepa[sb3]'\n"
    )
