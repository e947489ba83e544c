"""From objects to pixels: where objects can stand without touching, and the kernel that paints them.

Positions are sprite centres as (row, column). The boxes of two objects always keep at least one free
pixel between them, so their centres differ by at least ``PITCH`` in the row or in the column.
"""

import numpy as np
from numpy.typing import NDArray

from counting_env.kernels import kernel
from counting_env.sprites import PITCH, RADIUS, SIZE, SPRITES
from counting_env.streams import below, draw

TRIES = 50  # random places tried for one object before the whole scene is put on a lattice


def capacity(image_size: int) -> int:
    """Return how many objects fit into an image of ``image_size`` pixels squared without touching."""
    return _lattice_side(image_size) ** 2


def enlarge(image: NDArray[np.uint8], least: int = 512) -> NDArray[np.uint8]:
    """Repeat each pixel of ``image`` (H, W, 3) so that its height reaches about ``least``, without blur."""
    scale = max(1, least // image.shape[0])
    return image.repeat(scale, axis=0).repeat(scale, axis=1)


@kernel
def _lattice_side(image_size: int) -> int:
    """Return the number of lattice cells along one side: boxes of ``SIZE`` with 1 px between them."""
    return (image_size + 1) // PITCH


@kernel
def scatter(places: NDArray[np.int64], count: int, image_size: int, streams: NDArray[np.uint64], i: int) -> None:
    """Write ``count`` random places that do not touch into the first rows of ``places`` (m, 2).

    Each place is uniform on what fits into the image, and drawn again until it is clear of the places
    before it. Where ``TRIES`` draws are not enough, all places are put on a lattice instead.
    """
    reach = image_size - 2 * RADIUS
    for k in range(count):
        for _ in range(TRIES):
            row = RADIUS + below(streams, i, reach)
            column = RADIUS + below(streams, i, reach)
            clear = True
            for other in range(k):
                if abs(row - places[other, 0]) < PITCH and abs(column - places[other, 1]) < PITCH:
                    clear = False
                    break
            if clear:
                break
        if not clear:
            _scatter_on_lattice(places, count, image_size, streams, i)
            return
        places[k, 0] = row
        places[k, 1] = column


@kernel
def _scatter_on_lattice(
    places: NDArray[np.int64], count: int, image_size: int, streams: NDArray[np.uint64], i: int
) -> None:
    """Write ``count`` cells of a randomly shifted lattice, in random order: possible up to ``capacity``."""
    side = _lattice_side(image_size)
    slack = image_size - (side * PITCH - 1)
    top = RADIUS + below(streams, i, slack + 1)
    left = RADIUS + below(streams, i, slack + 1)
    chosen = 0
    cells = side * side
    for cell in range(cells):  # selection sampling (Knuth, TAOCP vol. 2, algorithm S): needs no memory
        if below(streams, i, cells - cell) < count - chosen:
            places[chosen, 0] = top + PITCH * (cell // side)
            places[chosen, 1] = left + PITCH * (cell % side)
            chosen += 1
    for k in range(count - 1, 0, -1):
        swap_rows(places, k, below(streams, i, k + 1))


@kernel
def swap_rows(rows: NDArray[np.int64], a: int, b: int) -> None:
    """Exchange rows ``a`` and ``b`` of an (m, 2) array in place."""
    for axis in range(2):
        rows[a, axis], rows[b, axis] = rows[b, axis], rows[a, axis]


@kernel
def paint(
    image: NDArray[np.uint8],
    count: int,
    positions: NDArray[np.int64],
    shapes: NDArray[np.int64],
    colors: NDArray[np.uint8],
    noise: bool,
    streams: NDArray[np.uint64],
    i: int,
) -> None:
    """Paint one scene into ``image`` (S, S, 3).

    ``positions`` is (m, 2) with m >= ``count``. ``shapes`` (l,) and ``colors`` (l, 3) hold one entry for
    all objects (l = 1) or one for each (l = m). With ``noise`` the background is uniform on 0..255 in
    every channel, drawn anew at each call from ``streams[i]``; otherwise it is black.
    """
    if noise:
        _paint_noise(image, streams, i)
    else:
        image[:] = 0
    last = shapes.shape[0] - 1
    for k in range(count):
        look = min(k, last)
        shape = shapes[look]
        top = positions[k, 0] - RADIUS
        left = positions[k, 1] - RADIUS
        for row in range(SIZE):
            for column in range(SIZE):
                if SPRITES[shape, row, column]:
                    for channel in range(3):
                        image[top + row, left + column, channel] = colors[look, channel]


@kernel
def _paint_noise(image: NDArray[np.uint8], streams: NDArray[np.uint64], i: int) -> None:
    """Fill ``image`` with random bytes, eight from each draw."""
    flat = image.reshape(-1)
    bits = np.uint64(0)
    for byte in range(flat.size):
        if byte % 8 == 0:
            bits = draw(streams, i)
        flat[byte] = np.uint8(bits & np.uint64(255))
        bits = bits >> np.uint64(8)
