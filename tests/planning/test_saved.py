"""The file of a planner, and of what it imagines."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from jepa_extractor import LabelTask, QTask
from jepa_extractor.checkpoint import load_state, save_state
from jepa_extractor.planning import MPPI, GraphSearch, Imagination, LatentPlanner, retarget
from tests.planning.worlds import trained, world

CHAIN = [[max(state - 1, 0), min(state + 1, 8)] for state in range(9)]
BOX = spaces.Box(-1, 1, (3,), np.float32)
IMAGE = spaces.Box(0, 255, (3, 36, 36), np.uint8)


@pytest.mark.parametrize(
    ("observation_space", "action_space", "options"),
    [
        (BOX, spaces.Discrete(3), {"auxiliary": ("reward", QTask(), LabelTask("place")), "target": "ema"}),
        (BOX, spaces.Box(-2, 2, (2,), np.float32), {"normalization": "simnorm", "auxiliary": ("action_reward",)}),
        (IMAGE, spaces.MultiDiscrete([2, 3]), {"encoder": "nature"}),
        (spaces.Dict({"a": BOX, "b": spaces.Discrete(3)}), spaces.MultiBinary(2), {}),
    ],
    ids=["box", "continuous", "image", "dict"],
)
def test_a_loaded_planner_is_the_same(observation_space, action_space, options, tmp_path):
    """It predicts and imagines the same, draws no random number of the caller, and has the same settings."""
    search = MPPI(16, 4, seed=3) if isinstance(action_space, spaces.Box) else GraphSearch(20, 0.5)
    planner = LatentPlanner(trained(observation_space, action_space, **options), 2, 0.9, search)
    observation_space.seed(0)
    seen = [observation_space.sample() for _ in range(6)]
    batch = (
        {key: np.stack([one[key] for one in seen]) for key in seen[0]} if isinstance(seen[0], dict) else np.stack(seen)
    )
    imagination = Imagination(planner, batch, list("abcdef"))
    imagination.save(tmp_path / "planner.pt")
    random_state = torch.random.get_rng_state()
    loaded = Imagination.load(tmp_path / "planner.pt")
    assert torch.equal(torch.random.get_rng_state(), random_state)
    assert loaded.observation_space == planner.observation_space
    assert loaded.action_space == planner.action_space
    np.testing.assert_array_equal(loaded.predict(batch)[0], planner.predict(batch)[0])
    for one in seen:
        assert str(loaded.imagine(one)) == str(imagination.imagine(one))
    loaded.save(tmp_path / "again.pt")
    assert str(Imagination.load(tmp_path / "again.pt").imagine(seen[0])) == str(imagination.imagine(seen[0]))
    alone = LatentPlanner.load(tmp_path / "again.pt")
    assert str(alone.state()["settings"]) == str(planner.state()["settings"])
    np.testing.assert_array_equal(alone.predict(batch)[0], planner.predict(batch)[0])


def test_a_new_goal_is_saved_too(tmp_path):
    """A retargeted JEPA keeps its labels in the file."""
    batch = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32).clip(-1, 1)
    with pytest.warns(UserWarning, match="highest reward"):  # it knows nothing
        jepa = retarget(trained(BOX, spaces.Discrete(2), auxiliary=("reward", QTask())), batch, np.arange(6) == 2)
    planner = LatentPlanner(jepa, horizon=3)
    planner.save(tmp_path / "planner.pt")
    loaded = Imagination.load(tmp_path / "planner.pt")
    assert str(loaded.imagine(batch[0])) == str(Imagination(planner).imagine(batch[0]))


class Own(nn.Linear):
    """An encoder of the caller's own."""

    def __init__(self, space, latent_dim):
        super().__init__(3, latent_dim)


def test_what_cannot_be_saved(tmp_path):
    """Networks and heads of the caller's own are named, and no file is written."""
    path = tmp_path / "planner.pt"
    with pytest.raises(ValueError, match=r"encoder=.*Own.*cannot be saved"):
        LatentPlanner(trained(BOX, spaces.Discrete(2), encoder=Own)).save(path)
    with pytest.raises(ValueError, match=r"transition=.*Table.*cannot be saved"):
        LatentPlanner(world(CHAIN, np.arange(9) == 4)).save(path)
    mlp = trained(BOX, spaces.Discrete(2))
    mlp.heads["reward"] = nn.Linear(8, 1)
    with pytest.raises(ValueError, match=r"heads of the tasks \['reward'\] cannot be saved"):
        LatentPlanner(mlp).save(path)
    assert not path.exists()


def test_what_cannot_be_loaded(tmp_path):
    """A missing file, and one that holds something else."""
    with pytest.raises(FileNotFoundError, match="nowhere"):
        LatentPlanner.load(tmp_path / "nowhere.pt")
    (tmp_path / "text.pt").write_text("text")
    with pytest.raises(ValueError, match="broken"):
        LatentPlanner.load(tmp_path / "text.pt")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda state: state["jepa"]["weights"]["heads.reward.0.weight"].fill_(np.inf), "heads.reward.* not finite"),
        (lambda state: state["jepa"].pop("action_space"), "action_space"),
        (lambda state: state["jepa"]["weights"].popitem(), "state_dict"),
        (lambda state: state["settings"].update(horizon=0), "horizon=0"),
        (lambda state: state["settings"].update(search={"samples": 3}), "samples"),
        (lambda state: state.update(names=["a", "b"]), "names"),
    ],
    ids=["weight", "space", "a weight that is missing", "horizon", "search", "names"],
)
def test_a_file_whose_content_is_wrong(damage, message, tmp_path):
    """What cannot be a planner is found when it is loaded, and the error names the file."""
    path = tmp_path / "planner.pt"
    Imagination(LatentPlanner(trained(BOX, spaces.Discrete(2)))).save(path)
    state = load_state(path, "planner")
    del state["format"], state["kind"]
    damage(state)
    save_state(state, path, "planner")
    with pytest.raises(ValueError, match=rf"planner.pt is broken.*{message}"):
        Imagination.load(path)
