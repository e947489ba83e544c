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

# A row of a sprite is 21 bytes: three words of 8, of which the last two overlap.
_WORD_1, _WORD_2 = np.uint64(8), np.uint64(13)  # where the second and third word begin
_EVERY_THIRD_BYTE = np.uint64(0x0001_0000_0100_0001)


def _draw_masks() -> NDArray[np.uint64]:
    """Return ``SPRITES`` as masks of those words, uint64 of shape (4, 7, 3): byte b of a word is its bits 8b..8b+7."""
    masks = np.zeros((*SPRITES.shape[:2], 3), np.uint64)
    for index, begin in enumerate((0, int(_WORD_1), int(_WORD_2))):
        for byte in range(8):
            lit = SPRITES[:, :, (begin + byte) // 3]
            masks[:, :, index] |= np.where(lit, np.uint64(0xFF << 8 * byte), np.uint64(0))
    return masks


_MASKS = _draw_masks()


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
    """Write ``count`` random places that do not touch into the first rows of ``places[i]`` (n, m, 2).

    Each place is uniform on what fits into the image, and drawn again until it is clear of the places
    before it. Where ``TRIES`` draws are not enough, all places are put on a lattice instead.
    """
    reach = image_size - 2 * RADIUS
    for k in range(count):
        for _ in range(TRIES):
            row = RADIUS + below(streams, i, reach)
            column = RADIUS + below(streams, i, reach)
            clear = True
            for other in range(k):  # no early exit: a branch nobody can predict would take longer
                clear &= max(abs(row - places[i, other, 0]), abs(column - places[i, other, 1])) >= PITCH
            if clear:
                break
        if not clear:
            _scatter_on_lattice(places, count, image_size, streams, i)
            return
        places[i, k, 0] = row
        places[i, k, 1] = column


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
            places[i, chosen, 0] = top + PITCH * (cell // side)
            places[i, chosen, 1] = left + PITCH * (cell % side)
            chosen += 1
    for k in range(count - 1, 0, -1):
        swap_places(places, k, below(streams, i, k + 1), i)


@kernel
def swap_places(places: NDArray[np.int64], a: int, b: int, i: int) -> None:
    """Exchange rows ``a`` and ``b`` of ``places[i]`` (n, m, 2)."""
    for axis in range(2):
        places[i, a, axis], places[i, b, axis] = places[i, b, axis], places[i, a, axis]


@kernel
def paint_objects(
    images: NDArray[np.uint8],
    count: int,
    positions: NDArray[np.int64],
    shapes: NDArray[np.int64],
    colors: NDArray[np.uint8],
    on_black: bool,
    i: int,
) -> None:
    """Paint ``count`` objects into ``images[i]`` (n, S, S, 3) and leave its other pixels as they are.

    ``positions`` is (n, m, 2) with m >= ``count``. ``shapes`` (n, l) and ``colors`` (n, l, 3) hold one entry
    for all objects (l = 1) or one for each (l = m). ``on_black`` promises that the objects' boxes are black.
    """
    flat = images.reshape(-1)
    last = shapes.shape[1] - 1
    for k in range(count):
        look = min(k, last)
        shape = shapes[i, look]
        red, green, blue = np.uint64(colors[i, look, 0]), np.uint64(colors[i, look, 1]), np.uint64(colors[i, look, 2])
        ink_0 = _pixels(red, green, blue)  # each of the three words of a row begins with another channel
        ink_1 = _pixels(blue, red, green)
        ink_2 = _pixels(green, blue, red)
        at = np.uint64(_corner(images, positions, k, i))
        for row in range(SIZE):
            mask_0, mask_1, mask_2 = _MASKS[shape, row, 0], _MASKS[shape, row, 1], _MASKS[shape, row, 2]
            under_0 = under_1 = under_2 = np.uint64(0)
            if not on_black:  # reading takes as long as writing
                under_0 = _load(flat, at) & ~mask_0
                under_1 = _load(flat, at + _WORD_1) & ~mask_1
                under_2 = _load(flat, at + _WORD_2) & ~mask_2
            _store(flat, at, under_0 | ink_0 & mask_0)
            _store(flat, at + _WORD_1, under_1 | ink_1 & mask_1)
            _store(flat, at + _WORD_2, under_2 | ink_2 & mask_2)
            at += np.uint64(3 * images.shape[2])


@kernel
def erase_objects(images: NDArray[np.uint8], count: int, positions: NDArray[np.int64], i: int) -> None:
    """Blacken the boxes of ``count`` objects in ``images[i]`` (n, S, S, 3); ``positions`` is (n, m, 2)."""
    flat = images.reshape(-1)
    for k in range(count):
        at = np.uint64(_corner(images, positions, k, i))
        for _ in range(SIZE):
            for word in (np.uint64(0), _WORD_1, _WORD_2):
                _store(flat, at + word, np.uint64(0))
            at += np.uint64(3 * images.shape[2])


@kernel
def _corner(images: NDArray[np.uint8], positions: NDArray[np.int64], k: int, i: int) -> int:
    """Return where, in the flat ``images``, the box of object ``k`` of scene ``i`` begins."""
    top = i * images.shape[1] + positions[i, k, 0] - RADIUS
    return 3 * (top * images.shape[2] + positions[i, k, 1] - RADIUS)  # type: ignore[no-any-return]


@kernel
def _pixels(first: np.uint64, second: np.uint64, third: np.uint64) -> np.uint64:
    """Return 8 bytes that repeat three: the lowest is ``first``."""
    return (first | second << np.uint64(8) | third << np.uint64(16)) * _EVERY_THIRD_BYTE


@kernel
def _load(flat: NDArray[np.uint8], at: np.uint64) -> np.uint64:
    """Return 8 bytes from ``at`` on; compiled to a single load."""
    word = np.uint64(0)
    for byte in range(np.uint64(8)):
        word |= np.uint64(flat[at + byte]) << (np.uint64(8) * byte)
    return word


@kernel
def _store(flat: NDArray[np.uint8], at: np.uint64, word: np.uint64) -> None:
    """Write 8 bytes from ``at`` on; compiled to a single store."""
    for byte in range(np.uint64(8)):
        flat[at + byte] = np.uint8(word >> (np.uint64(8) * byte))


@kernel
def paint_noise(images: NDArray[np.uint8], streams: NDArray[np.uint64], i: int) -> None:
    """Fill ``images[i]`` (n, S, S, 3) with random bytes from ``streams[i]``, eight from each draw."""
    flat = images[i].reshape(-1)
    bits = np.uint64(0)
    for byte in range(flat.size):
        if byte % 8 == 0:
            bits = draw(streams, i)
        flat[byte] = np.uint8(bits & np.uint64(255))
        bits = bits >> np.uint64(8)


@kernel
def copy_image(images: NDArray[np.uint8], copies: NDArray[np.uint8], i: int) -> None:
    """Copy ``images[i]`` to ``copies[i]``, both of shape (n, S, S, 3)."""
    source, target = images.reshape(-1), copies.reshape(-1)
    size = source.size // images.shape[0]
    for byte in range(np.uint64(i * size), np.uint64((i + 1) * size)):  # assigning a slice would allocate memory
        target[byte] = source[byte]
