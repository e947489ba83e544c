"""What a scene looks like: every pixel, every place, every gap."""

from itertools import combinations, product
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from scipy import ndimage, stats

from counting_env import SHAPES, CountingEnv
from counting_env.kernels import capacity
from counting_env.window import enlarge

# Filled circle, filled square, filled upward triangle, and a diagonal stroke two pixels wide, each 7x7 pixels. They are
# drawn by hand here, so that the package's sprites are tested too.
SPRITES = {
    "circle": """
        ..###..
        .#####.
        #######
        #######
        #######
        .#####.
        ..###..""",
    "square": """
        #######
        #######
        #######
        #######
        #######
        #######
        #######""",
    "triangle": """
        ...#...
        ..###..
        ..###..
        .#####.
        .#####.
        #######
        #######""",
    "stroke": """
        ##.....
        .##....
        ..##...
        ...##..
        ....##.
        .....##
        ......#""",
}
MASKS = {name: np.array([list(line) for line in drawing.split()]) == "#" for name, drawing in SPRITES.items()}
EIGHT_NEIGHBOURS = np.ones((3, 3))


def looks(info: dict) -> list[tuple[str, np.ndarray, int, int]]:
    """Return shape, colour, row and column of each object in ``info``."""
    count = info["count"]
    shapes, colors = info["shape"], info["color"]
    if isinstance(shapes, str):
        shapes, colors = [shapes] * count, [colors] * count
    places = info["positions"][:count].tolist()
    return [(str(shapes[k]), colors[k], *places[k]) for k in range(count)]


def painted_by_hand(info: dict, image_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the image that ``info`` describes on black, and the mask of its objects."""
    image = np.zeros((image_size, image_size, 3), np.uint8)
    mask = np.zeros((image_size, image_size), bool)
    for shape, color, row, column in looks(info):
        box = np.s_[row - 3 : row + 4, column - 3 : column + 4]
        image[box][MASKS[shape]] = color
        mask[box] |= MASKS[shape]
    return image, mask


def assert_apart(info: dict, image_size: int) -> None:
    """Assert that all boxes lie inside the image with at least one pixel between any two."""
    places = info["positions"][: info["count"]]
    assert ((places >= 3) & (places <= image_size - 4)).all()
    assert (info["positions"][info["count"] :] == -1).all()
    distances = np.abs(places[:, None] - places).max(axis=2)
    assert (distances + 8 * np.eye(len(places), dtype=int) >= 8).all()


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


@pytest.mark.parametrize(("image_size", "max_count"), [(64, 8), (32, 16), (150, 12)])
def test_every_pixel_is_what_info_says(variant: dict, image_size: int, max_count: int) -> None:
    """An image painted by hand from count, shape, color and positions equals the observation."""
    env = CountingEnv(image_size=image_size, max_count=max_count, terminate_on_target=False, **variant)
    actions = np.random.default_rng(0)
    image, info = env.reset(seed=0)
    for step in range(100):
        expected, mask = painted_by_hand(info, image_size)
        if variant["background"] == "black":
            np.testing.assert_array_equal(image, expected)
        else:
            np.testing.assert_array_equal(image[mask], expected[mask])
        image, _, _, _, info = env.step(int(actions.integers(2)))
        if step % 10 == 9:
            image, info = env.reset()


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


def test_noise_is_fresh_in_every_frame() -> None:
    """The noise is new in every frame and uniform in every channel."""
    env = CountingEnv(background="noise", terminate_on_target=False)
    frames = [env.reset(seed=0, options={"count": 0})[0]]
    for action in (0, 0, 0, 1, 0, 0, 0):  # clipped at 0 too
        frames.append(env.step(action)[0])
    frames.append(env.reset(options={"count": 0})[0])
    for one, other in combinations(frames, 2):
        assert (one == other).mean() == pytest.approx(1 / 256, abs=0.004)
    empty = np.stack([frame for k, frame in enumerate(frames) if k != 4])
    for channel in range(3):
        values = np.bincount(empty[..., channel].ravel(), minlength=256)
        assert stats.chisquare(values).pvalue > 0.001


def rainbow() -> np.ndarray:
    """Return the colours of the hues of clutter and drift, (768, 3): from red over green and blue back to red."""
    up, down = np.arange(128), 128 - np.arange(128)
    full, zero = np.full(128, 128), np.zeros(128, int)
    sectors = [(full, up, zero), (down, full, zero), (zero, full, up), (zero, down, full), (up, zero, full)]
    return np.concatenate([np.stack(sector, axis=1) for sector in [*sectors, (full, zero, down)]])


@pytest.mark.parametrize("background", ["clutter", "drift"])
@pytest.mark.parametrize("appearance", ["episode", "object"])
def test_colour_tells_objects_from_clutter_and_drift(background: str, appearance: str) -> None:
    """Each background pixel is a hue with a channel of 0; no drawn object colour has one, so the count can be read."""
    env = CountingEnv(background=background, appearance=appearance, image_size=32)
    hues = {tuple(color) for color in rainbow().tolist()}
    image, info = env.reset(seed=0)
    for _ in range(60):
        objects = image.min(axis=2) > 0
        np.testing.assert_array_equal(objects, painted_by_hand(info, 32)[1])
        assert ndimage.label(objects, EIGHT_NEIGHBOURS)[1] == info["count"]
        assert {tuple(color) for color in image[~objects].tolist()} <= hues
        image, info = env.reset()


@pytest.mark.parametrize("image_size", [32, 64])
@pytest.mark.parametrize("placement", ["resample", "persist"])
def test_clutter_stays_for_an_episode(placement: str, image_size: int) -> None:
    """Two frames of an episode have the same background wherever neither has an object; two episodes differ."""
    env = CountingEnv(background="clutter", placement=placement, image_size=image_size, terminate_on_target=False)
    actions = np.random.default_rng(0)
    env.reset(seed=0)
    pictures = []
    for _ in range(8):
        image, info = env.reset()
        picture, objects = env.reset(options={"count": 0})[0], painted_by_hand(info, image_size)[1]
        assert (image == picture)[~objects].mean() < 0.5  # another episode
        pictures.append(picture)
        for _ in range(20):
            image, *_, info = env.step(int(actions.integers(2)))
            objects = painted_by_hand(info, image_size)[1]
            np.testing.assert_array_equal(image[~objects], picture[~objects])
    assert min((one != other).any(axis=2).mean() for one, other in combinations(pictures, 2)) > 0.5
    assert min(len(np.unique(picture.reshape(-1, 3), axis=0)) for picture in pictures) > 5


def hues_of(images: np.ndarray) -> np.ndarray:
    """Return the hue of each pixel of ``images`` (..., 3), -1 where it is none."""
    number_of = {color: hue for hue, color in enumerate(map(tuple, rainbow().tolist()))}
    return np.array([number_of.get(tuple(color), -1) for color in images.reshape(-1, 3).tolist()]).reshape(
        images.shape[:-1]
    )


@pytest.mark.parametrize("placement", ["resample", "persist"])
def test_drift_moves_at_a_constant_speed(placement: str) -> None:
    """The hue is linear in row, column and step, so two frames predict the next, whatever the objects do."""
    env = CountingEnv(background="drift", placement=placement, image_size=32, terminate_on_target=False)
    actions = np.random.default_rng(0)
    step, row, column = np.mgrid[:5, :32, :32]
    motions = []
    for seed in range(12):
        frames = [env.reset(seed=seed)[0], *(env.step(int(actions.integers(2)))[0] for _ in range(4))]
        hues = hues_of(np.stack(frames))
        seen = hues >= 0
        slopes = []
        for axis in range(3):  # the most frequent difference of neighbours, in -384..383
            one, other = (
                np.take(hues, range(1, hues.shape[axis]), axis),
                np.take(hues, range(hues.shape[axis] - 1), axis),
            )
            differences = (one - other)[(one >= 0) & (other >= 0)] % 768
            slopes.append((int(np.bincount(differences).argmax()) + 384) % 768 - 384)
        corner = (hues - slopes[0] * step - slopes[1] * row - slopes[2] * column)[seen] % 768
        assert len(np.unique(corner)) == 1
        assert 16 <= abs(slopes[0]) <= 63
        assert -12 <= slopes[1] <= 12
        assert 4 <= slopes[2] <= 12
        motions.append((*slopes, corner[0]))
    assert len(set(motions)) == 12
    assert {motion[0] > 0 for motion in motions} == {True, False}


@pytest.mark.parametrize(("size", "scale"), [(32, 16), (64, 8), (100, 5), (200, 2), (256, 2)])
def test_enlarging_repeats_each_pixel(size: int, scale: int) -> None:
    """enlarge repeats each pixel, without blur."""
    image = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    picture = enlarge(image)
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture, np.kron(image, np.ones((scale, scale, 1), np.uint8)))


@pytest.mark.parametrize("image_size", [32, 150])
def test_render_shows_the_scene_of_the_last_observation(variant: dict, image_size: int) -> None:
    """render_mode="rgb_array" shows the last observation, enlarged without blur."""
    env = gym.make("CountingEnv-v0", render_mode="rgb_array", image_size=image_size, **variant)
    image, _ = env.reset(seed=0)
    for action in (None, 1, 0, 0, 1):
        if action is not None:
            image, _, terminated, _, _ = env.step(action)
            if terminated:
                image, _ = env.reset()
        picture: Any = env.render()
        scale = picture.shape[0] // image_size
        assert picture.shape == (scale * image_size, scale * image_size, 3)
        assert 256 < picture.shape[0] <= 512
        np.testing.assert_array_equal(picture, np.kron(image, np.ones((scale, scale, 1), np.uint8)))
        np.testing.assert_array_equal(picture[::scale, ::scale], image)


@pytest.mark.parametrize("image_size", [32, 64, 150])
def test_the_window_shows_the_same_picture(screen, image_size: int) -> None:
    """render_mode="human" shows the same picture in a window, after each reset and step."""
    env = gym.make("CountingEnv-v0", render_mode="human", image_size=image_size)
    image, _ = env.reset(seed=0, options={"count": 8})
    for action in (None, 1, 0, 0):
        if action is not None:
            image = env.step(action)[0]
        window = screen.surfarray.array3d(screen.display.get_surface()).swapaxes(0, 1)
        np.testing.assert_array_equal(window, enlarge(image))
    env.close()
    assert not screen.display.get_init()
    env.close()
