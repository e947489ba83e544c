"""A planner's foresight, and its file."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from jepa_extractor import JEPAExtractor, LabelTask, LatentPlanner, QTask, retarget
from tests.planning.worlds import world

CHAIN = [[max(state - 1, 0), min(state + 1, 8)] for state in range(9)]
STATES = np.eye(9, dtype=np.float32)


def trained(observation_space, action_space, **options):
    """Return an extractor with random weights, its normalisation too."""
    torch.manual_seed(0)
    extractor = JEPAExtractor(observation_space, action_space, latent_dim=8, **options)
    with torch.no_grad():
        for parameter in extractor.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return extractor


def test_it_imagines_the_way_to_the_goal():
    """In a world that is known exactly, the foresight is what will happen, by name, and the rewards."""
    planner = LatentPlanner(world(CHAIN, np.arange(9) == 4), horizon=3)
    planner.name_latents(STATES, [f"{state} objects" for state in range(9)])
    foreseen = planner.imagine(STATES[6])
    assert [action for action, _ in foreseen] == [None, 0, 0, 0]
    assert [text for _, text in foreseen] == [
        "6 objects",
        "5 objects, reward 0.0",
        "4 objects, reward 1.0",
        "3 objects, reward 0.0",
    ]


def test_it_imagines_nothing_after_an_end():
    """The foresight stops where an end is predicted."""
    planner = LatentPlanner(world(CHAIN, np.arange(9) == 4, ends=np.arange(9) == 4), horizon=8)
    assert len(planner.imagine(STATES[6])) == 3


def test_without_names_it_tells_rewards():
    """What is seen now has no name then."""
    assert LatentPlanner(world(CHAIN, np.arange(9) == 4), horizon=1).imagine(STATES[3]) == [
        (None, ""),
        (1, "reward 1.0"),
    ]


def test_continuous_foresight_is_what_it_would_do():
    """The first imagined action is that of predict, and belongs to the space."""
    box = spaces.Box(-1, 1, (3,), np.float32)
    planner = LatentPlanner(trained(box, spaces.Box(-2, 2, (2,), np.float32)), horizon=3, samples=32, elites=4)
    observation = np.ones(3, np.float32) / 2
    foreseen = planner.imagine(observation)
    assert len(foreseen) == 4
    np.testing.assert_array_equal(foreseen[1][0], planner.predict(observation)[0])
    assert all(action in planner.action_space for action, _ in foreseen[1:])


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
    planner = LatentPlanner(
        trained(observation_space, action_space, **options), horizon=2, samples=16, elites=4, seed=3
    )
    observation_space.seed(0)
    seen = [observation_space.sample() for _ in range(6)]
    batch = (
        {key: np.stack([one[key] for one in seen]) for key in seen[0]} if isinstance(seen[0], dict) else np.stack(seen)
    )
    planner.name_latents(batch, list("abcdef"))
    planner.save(tmp_path / "planner.pt")
    random_state = torch.random.get_rng_state()
    loaded = LatentPlanner.load(tmp_path / "planner.pt")
    assert torch.equal(torch.random.get_rng_state(), random_state)
    assert loaded.observation_space == planner.observation_space
    assert loaded.action_space == planner.action_space
    np.testing.assert_array_equal(loaded.predict(batch)[0], planner.predict(batch)[0])
    for one in seen:
        assert str(loaded.imagine(one)) == str(planner.imagine(one))
    loaded.save(tmp_path / "again.pt")
    assert str(LatentPlanner.load(tmp_path / "again.pt").imagine(seen[0])) == str(planner.imagine(seen[0]))


def test_a_new_goal_is_saved_too(tmp_path):
    """A retargeted extractor keeps its labels in the file."""
    batch = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32).clip(-1, 1)
    extractor = retarget(trained(BOX, spaces.Discrete(2), auxiliary=("reward", QTask())), batch, np.arange(6) == 2)
    planner = LatentPlanner(extractor, horizon=3)
    planner.save(tmp_path / "planner.pt")
    assert str(LatentPlanner.load(tmp_path / "planner.pt").imagine(batch[0])) == str(planner.imagine(batch[0]))


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
    mlp.jepa.heads["reward"] = nn.Linear(8, 1)
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


def test_wrong_names_and_observations():
    """One name for each observation, and one observation to imagine from."""
    planner = LatentPlanner(world(CHAIN, np.arange(9) == 4), horizon=2)
    with pytest.raises(ValueError, match="8 entries for 9 observations"):
        planner.name_latents(STATES, range(8))
    with pytest.raises(ValueError, match="batch of 9"):
        planner.imagine(STATES)
