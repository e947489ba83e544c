"""Scenes drawn in plain Python and NumPy, by hand, so that the package's own sprites and hues are tested too."""

import numpy as np

# Filled circle, filled square, filled upward triangle, and a diagonal stroke two pixels wide, each 7x7 pixels.
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


def rainbow() -> np.ndarray:
    """Return the colours of the hues of clutter and drift, (768, 3): from red over green and blue back to red."""
    up, down = np.arange(128), 128 - np.arange(128)
    full, zero = np.full(128, 128), np.zeros(128, int)
    sectors = [(full, up, zero), (down, full, zero), (zero, full, up), (zero, down, full), (up, zero, full)]
    return np.concatenate([np.stack(sector, axis=1) for sector in [*sectors, (full, zero, down)]])


def hues_of(images: np.ndarray) -> np.ndarray:
    """Return the hue of each pixel of ``images`` (..., 3), -1 where it is none."""
    number_of = {color: hue for hue, color in enumerate(map(tuple, rainbow().tolist()))}
    return np.array([number_of.get(tuple(color), -1) for color in images.reshape(-1, 3).tolist()]).reshape(
        images.shape[:-1]
    )
