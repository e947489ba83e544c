"""Where objects stand, how they look, and what of that persists."""

from itertools import product

import numpy as np
import pytest
from scipy import ndimage, stats

from counting_env import SHAPES, CountingEnv
from counting_env.kernels import capacity
from tests.environment.drawing import EIGHT_NEIGHBOURS, assert_apart, looks


@pytest.mark.parametrize("repetitions", [30, pytest.param(278, marks=pytest.mark.slow)])  # 1,080 and 10,008 scenes
def test_the_image_determines_the_count(repetitions: int) -> None:
    """In scenes of every count and shape the number of 8-connected components equals info["count"]."""
    env = CountingEnv()
    env.reset(seed=0)
    for count, shape in product(range(9), SHAPES):
        for _ in range(repetitions):
            image, info = env.reset(options={"count": count, "shape": shape})
            assert (info["count"], info["shape"]) == (count, shape)
            assert ndimage.label(image.any(axis=2), EIGHT_NEIGHBOURS)[1] == count


@pytest.mark.parametrize(
    ("image_size", "max_count"), [(64, 8), (64, 20), (64, 40), (64, 64), (32, 8), (32, 16), (100, 144), (128, 256)]
)
@pytest.mark.parametrize("placement", ["resample", "persist"])
def test_boxes_stay_apart_also_on_the_lattice(image_size: int, max_count: int, placement: str) -> None:
    """Boxes of 7x7 pixels stay at least one pixel apart, also where random tries run out."""
    env = CountingEnv(target=0, max_count=max_count, image_size=image_size, placement=placement)
    env.reset(seed=1)
    actions = np.random.default_rng(1)
    for start in (max_count, max_count - 1, None, None):
        image, info = env.reset(options={"count": start, "shape": "square"} if start else None)
        assert_apart(info, image_size)
        for _ in range(20 if max_count <= 64 else 2):
            if info["count"] == 0:
                break
            image, _, terminated, _, info = env.step(int(actions.integers(2)))
            assert_apart(info, image_size)
            assert ndimage.label(image.any(axis=2), EIGHT_NEIGHBOURS)[1] == info["count"]
            if terminated:
                break


@pytest.mark.parametrize("image_size", [32, 33, 39, 40, 63, 64, 65, 100, 256])
def test_capacity_is_what_fits_without_touching(image_size: int) -> None:
    """The capacity is the number of boxes of 7 pixels that fit with gaps of one, squared."""
    side = max(n for n in range(40) if 7 * n + (n - 1) <= image_size)
    assert capacity(image_size) == side**2
    CountingEnv(max_count=side**2, image_size=image_size)


def test_the_full_lattice_shifts_with_the_slack() -> None:
    """A scene that random places cannot hold is put on a randomly shifted lattice."""
    env = CountingEnv(max_count=64)
    env.reset(seed=0)
    corners = set()
    for _ in range(40):
        _, info = env.reset(options={"count": 64})
        corner = tuple(info["positions"].min(axis=0).tolist())
        cells = {(corner[0] + 8 * row, corner[1] + 8 * column) for row in range(8) for column in range(8)}
        assert {tuple(place) for place in info["positions"].tolist()} == cells
        corners.add(corner)
    assert corners == {(3, 3), (3, 4), (4, 3), (4, 4)}


def test_the_pixel_at_a_position_has_the_objects_colour(variant: dict) -> None:
    """A position is row and column of the object's centre, so `observation[row, column]` is its colour."""
    env = CountingEnv(**variant)
    env.reset(seed=0)
    for _ in range(100):
        image, info = env.reset()
        for _, color, row, column in looks(info):
            assert image[row, column].tolist() == color.tolist()


def test_all_places_are_drawn_anew_at_every_step() -> None:
    """All positions are drawn again at every step, also where the count is clipped."""
    env = CountingEnv()
    for count, action in ((0, 1), (8, 1), (6, 0)):
        for seed in range(20):
            _, before = env.reset(seed=seed, options={"count": count})
            _, _, _, _, after = env.step(action)
            kept = min(before["count"], after["count"])
            moved = (before["positions"][:kept] != after["positions"][:kept]).any(axis=1)
            assert moved.mean() >= 0.5 if kept else moved.size == 0


def test_persist_changes_one_box_only() -> None:
    """With placement="persist" adding or removing an object leaves the others where they are."""
    env = CountingEnv(placement="persist", terminate_on_target=False)
    actions = np.random.default_rng(0)
    for seed in range(50):
        image, info = env.reset(seed=seed)
        for _ in range(12):
            before, scene = image, info
            image, _, _, _, info = env.step(int(actions.integers(2)))
            places = {tuple(place) for place in info["positions"][: info["count"]].tolist()}
            former = {tuple(place) for place in scene["positions"][: scene["count"]].tolist()}
            changed = places ^ former
            assert len(changed) == abs(info["count"] - scene["count"])
            outside = np.ones((64, 64), bool)
            for row, column in changed:
                outside[row - 3 : row + 4, column - 3 : column + 4] = False
            np.testing.assert_array_equal(image[outside], before[outside])
            assert changed == set() or (image != before).any()


def test_persist_adds_at_a_random_free_place() -> None:
    """With placement="persist" an added object takes one of the free places, all equally likely."""
    env = CountingEnv(placement="persist", terminate_on_target=False)
    env.reset(seed=3, options={"count": 5})
    added = []
    for _ in range(90):
        *_, info = env.step(1)
        added.append(tuple(info["positions"][5].tolist()))
        env.step(0)
    places, times = np.unique(added, axis=0, return_counts=True)
    assert len(places) == 3  # what 8 places leave free beside 5 objects
    assert stats.chisquare(times).pvalue > 0.001


def test_each_object_has_a_look_of_its_own() -> None:
    """With appearance="object" each object has a shape and colour of its own, and keeps them."""
    env = CountingEnv(appearance="object", terminate_on_target=False)
    actions = np.random.default_rng(0)
    several = 0
    for seed in range(50):
        _, info = env.reset(seed=seed)
        for _ in range(6):
            count, former = info["count"], info
            assert info["shape"].shape == (8,)
            assert info["color"].shape == (8, 3)
            assert set(info["shape"][:count]) <= set(SHAPES)
            assert (info["shape"][count:] == "").all()
            assert (info["color"][count:] == 0).all()
            several += len(set(info["shape"][:count].tolist())) > 1
            assert len(np.unique(info["color"][:count], axis=0)) == count
            *_, info = env.step(int(actions.integers(2)))
            kept = min(count, info["count"])
            assert (info["shape"][:kept] == former["shape"][:kept]).all()
            assert (info["color"][:kept] == former["color"][:kept]).all()
    assert several > 100


def test_an_episode_keeps_its_shape_and_colour() -> None:
    """Shape and colour are drawn once in each episode."""
    env = CountingEnv(terminate_on_target=False)
    seen = set()
    for seed in range(40):
        _, first = env.reset(seed=seed)
        for action in (1, 1, 0, 0):
            *_, info = env.step(action)
            assert info["shape"] == first["shape"]
            assert info["color"].tolist() == first["color"].tolist()
        seen.add((first["shape"], *first["color"].tolist()))
    assert len(seen) == 40
