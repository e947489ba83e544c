"""All compiled code: what an action does to a scene, and how a scene is drawn.

The state of n environments is a set of arrays, and each kernel works on scene ``i`` of them. The single environment
is the case n = 1, so that it shares every rule, every random number and every pixel with the vector environment.

Everything that the machine code depends on, constants and argument types included, is in this file, and the file
imports nothing from the package. Numba keeps machine code on disk until the file of the compiled function changes, and
it knows no other file.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])

# With inlined calls and without reference counting (_nrt, undocumented) a step of 64 environments takes a third less
# time. Kernels that allocate memory do not compile with these options: none should.
_OPTIONS: dict[str, Any] = {"nogil": True, "forceinline": True, "_nrt": False}


def kernel(function: Function) -> Function:
    """Compile ``function`` to machine code that runs without the interpreter lock.

    The machine code is kept on disk for the next process. Where no folder can hold it (a read-only installation and
    a read-only home), each process compiles anew.
    """
    try:
        return cast(Function, numba.njit(cache=True, **_OPTIONS)(function))
    except RuntimeError:  # Numba found no writable cache folder
        return cast(Function, numba.njit(**_OPTIONS)(function))


# Random numbers: one SplitMix64 stream for each environment (Steele, Lea and Flood, "Fast Splittable Pseudorandom
# Number Generators", OOPSLA 2014). A stream is one uint64 that each draw advances, so an environment draws the same
# numbers alone and in a batch.

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S11, _S27, _S30, _S31, _S32 = np.uint64(11), np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(32)


@kernel
def draw(streams: NDArray[np.uint64], i: int) -> np.uint64:
    """Advance ``streams[i]`` and return 64 random bits."""
    state = streams[i] + _STEP
    streams[i] = state
    state = (state ^ (state >> _S30)) * _MIX_1
    state = (state ^ (state >> _S27)) * _MIX_2
    return state ^ (state >> _S31)  # type: ignore[no-any-return]


@kernel
def below(streams: NDArray[np.uint64], i: int, bound: int) -> int:
    """Advance ``streams[i]`` and return an integer uniform on [0, bound), for ``bound`` up to 2**32.

    Multiply and shift (Lemire 2019) without the rejection step: the bias is under ``bound / 2**32``.
    """
    return np.int64(((draw(streams, i) >> _S32) * np.uint64(bound)) >> _S32)  # type: ignore[return-value]


@kernel
def uniform(streams: NDArray[np.uint64], i: int) -> float:
    """Advance ``streams[i]`` and return a float64 uniform on [0, 1)."""
    return np.float64(draw(streams, i) >> _S11) * 2.0**-53


# Counts.

REMOVE = 0
ADD = 1


@kernel
def next_count(count: int, action: int, least_count: int, max_count: int, wrap: bool) -> int:
    """Return the count after ``action`` (``REMOVE`` or ``ADD``).

    At the ends of ``least_count``..``max_count`` it stays or, with ``wrap``, goes to the other end.
    """
    if action == ADD:
        if count < max_count:
            return count + 1
        return least_count if wrap else max_count
    if count > least_count:
        return count - 1
    return max_count if wrap else least_count


# Places. A position is the row and column of a sprite's centre. The boxes of two objects always keep at least one free
# pixel between them, so their centres differ by at least PITCH in the row or in the column.

SHAPES = ("circle", "square", "triangle", "stroke")
RADIUS = 3  # pixels from a sprite's centre to the edge of its box
SIZE = 2 * RADIUS + 1  # pixels along one side of a sprite's box
PITCH = SIZE + 1  # least distance of two centres along some axis
TRIES = 50  # random places tried for one object before the whole scene is put on a lattice


@kernel
def capacity(image_size: int) -> int:
    """Return how many objects fit into an image of ``image_size`` pixels squared without touching."""
    side = (image_size + 1) // PITCH
    return side * side


@kernel
def scatter(places: NDArray[np.int64], count: int, image_size: int, streams: NDArray[np.uint64], i: int) -> None:
    """Write ``count`` random places that do not touch into the first rows of ``places[i]`` (n, m, 2).

    Each place is uniform on what fits into the image, and drawn again until it is clear of the places before it. Where
    ``TRIES`` draws are not enough, all places are put on a lattice instead.
    """
    reach = image_size - 2 * RADIUS
    for k in range(count):
        for _ in range(TRIES):
            row = RADIUS + below(streams, i, reach)
            column = RADIUS + below(streams, i, reach)
            clear = True
            for other in range(k):  # no early exit: an unpredictable branch would take longer
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
    side = (image_size + 1) // PITCH
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
        _swap_places(places, k, below(streams, i, k + 1), i)


@kernel
def _swap_places(places: NDArray[np.int64], a: int, b: int, i: int) -> None:
    """Exchange rows ``a`` and ``b`` of ``places[i]`` (n, m, 2)."""
    for axis in range(2):
        places[i, a, axis], places[i, b, axis] = places[i, b, axis], places[i, a, axis]


# Pixels. A row of a sprite is 21 bytes, painted as three words of 8 bytes of which the last two overlap.

DARKEST, BRIGHTEST = 30, 225  # range of each drawn colour channel, both ends included
_WORD_1, _WORD_2 = np.uint64(8), np.uint64(13)  # where the second and third word begin
_EVERY_THIRD_BYTE = np.uint64(0x0001_0000_0100_0001)


def _draw_sprites() -> NDArray[np.bool_]:
    """Return the masks of ``SHAPES``, bool of shape (4, 7, 7)."""
    row, column = np.mgrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1]
    circle = row**2 + column**2 <= RADIUS**2 + 1
    square = np.ones((SIZE, SIZE), dtype=np.bool_)
    triangle = 2 * np.abs(column) <= row + RADIUS + 1
    stroke = (column - row == 0) | (column - row == 1)
    return np.stack([circle, square, triangle, stroke])


def _draw_masks() -> NDArray[np.uint64]:
    """Return the sprites as masks of those words, uint64 of shape (4, 7, 3): byte b of a word is its bits 8b..8b+7."""
    sprites = _draw_sprites()
    masks = np.zeros((*sprites.shape[:2], 3), np.uint64)
    for index, begin in enumerate((0, int(_WORD_1), int(_WORD_2))):
        for byte in range(8):
            lit = sprites[:, :, (begin + byte) // 3]
            masks[:, :, index] |= np.where(lit, np.uint64(0xFF << 8 * byte), np.uint64(0))
    return masks


_MASKS = _draw_masks()


BLACK, NOISE, CLUTTER, DRIFT = range(4)
HUES = 768  # hues on a circle, so that neighbours differ by one level of one channel


def _draw_rainbow() -> NDArray[np.uint8]:
    """Return the colour of each hue, uint8 of shape (768, 3): levels 0..128, and always one channel 0.

    The drawn colours of objects have no channel below ``DARKEST``, so that the two never agree.
    """
    hue = np.arange(HUES)[:, None] + HUES // 3 * np.array([0, 2, 1])
    levels: NDArray[np.uint8] = np.clip(np.abs(hue % HUES - HUES // 2) - 128, 0, 128).astype(np.uint8)
    return levels


_RAINBOW = _draw_rainbow()


@kernel
def _paint_objects(
    images: NDArray[np.uint8],
    count: int,
    positions: NDArray[np.int64],
    shapes: NDArray[np.int64],
    colors: NDArray[np.uint8],
    on_black: bool,
    i: int,
) -> None:
    """Paint ``count`` objects into ``images[i]`` (n, S, S, 3) and leave its other pixels as they are.

    ``positions`` is (n, m, 2) with m >= ``count``. ``shapes`` (n, l) and ``colors`` (n, l, 3) hold one entry for all
    objects (l = 1) or one for each (l = m). ``on_black`` promises that the objects' boxes are black.
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
def _erase_objects(
    images: NDArray[np.uint8],
    count: int,
    positions: NDArray[np.int64],
    backdrops: NDArray[np.uint8],
    on_black: bool,
    i: int,
) -> None:
    """Paint the background into the boxes of ``count`` objects in ``images[i]`` (n, S, S, 3).

    ``positions`` is (n, m, 2). The background is black or ``backdrops[i]`` (n, S, S, 3).
    """
    flat, behind = images.reshape(-1), backdrops.reshape(-1)
    for k in range(count):
        at = np.uint64(_corner(images, positions, k, i))
        for _ in range(SIZE):
            for word in (np.uint64(0), _WORD_1, _WORD_2):
                _store(flat, at + word, np.uint64(0) if on_black else _load(behind, at + word))
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
def _paint_noise(images: NDArray[np.uint8], streams: NDArray[np.uint64], i: int) -> None:
    """Fill ``images[i]`` (n, S, S, 3) with random bytes from ``streams[i]``, eight from each draw."""
    flat = images[i].reshape(-1)
    bits = np.uint64(0)
    for byte in range(flat.size):
        if byte % 8 == 0:
            bits = draw(streams, i)
        flat[byte] = np.uint8(bits & np.uint64(255))
        bits = bits >> np.uint64(8)


@kernel
def _paint_clutter(backdrops: NDArray[np.uint8], streams: NDArray[np.uint64], i: int) -> None:
    """Cover ``backdrops[i]`` (n, S, S, 3) with random rectangles of random hues, S of them on a ground of one hue."""
    side = backdrops.shape[1]
    for rectangle in range(side + 1):
        hue = below(streams, i, HUES)
        top, left, height, width = 0, 0, side, side
        if rectangle > 0:
            top, left = below(streams, i, side), below(streams, i, side)
            height, width = 3 + below(streams, i, side // 4), 3 + below(streams, i, side // 4)
        for row in range(top, min(top + height, side)):
            for column in range(left, min(left + width, side)):
                for channel in range(3):
                    backdrops[i, row, column, channel] = _RAINBOW[hue, channel]


@kernel
def _draw_wave(waves: NDArray[np.int64], streams: NDArray[np.uint64], i: int) -> None:
    """Draw ``waves[i]`` (n, 4): hues for each row, for each column and for each step, and the hue at the corner."""
    waves[i, 0] = below(streams, i, 25) - 12
    waves[i, 1] = 4 + below(streams, i, 9)
    waves[i, 2] = (16 + below(streams, i, 48)) * (2 * below(streams, i, 2) - 1)
    waves[i, 3] = below(streams, i, HUES)


@kernel
def _paint_wave(images: NDArray[np.uint8], waves: NDArray[np.int64], i: int) -> None:
    """Fill ``images[i]`` (n, S, S, 3) with a plane wave of hues: ``waves[i]`` (n, 4), as ``_draw_wave`` has it."""
    for row in range(images.shape[1]):
        hue = (waves[i, 3] + waves[i, 0] * row) % HUES
        for column in range(images.shape[2]):
            for channel in range(3):
                images[i, row, column, channel] = _RAINBOW[hue, channel]
            hue += waves[i, 1]
            if hue >= HUES:
                hue -= HUES


@kernel
def _copy_image(images: NDArray[np.uint8], copies: NDArray[np.uint8], i: int) -> None:
    """Copy ``images[i]`` to ``copies[i]``, both of shape (n, S, S, 3)."""
    source, target = images.reshape(-1), copies.reshape(-1)
    size = source.size // images.shape[0]
    for byte in range(np.uint64(i * size), np.uint64((i + 1) * size)):  # assigning a slice would allocate memory
        target[byte] = source[byte]


# Scenes.


class Rules(NamedTuple):
    """The options of the environment in numbers. r is 4 where the target depends on the shape, otherwise 1."""

    targets: NDArray[np.bool_]  # (r, max_count + 1) whether arriving at a count is a success, for each shape
    rewards: NDArray[np.float64]  # (r, max_count + 1) the reward for arriving at a count, for each shape
    least_count: int
    max_count: int
    wrap: bool
    slip: float
    image_size: int
    persist: bool
    per_object: bool
    background: int  # BLACK, NOISE, CLUTTER or DRIFT
    terminate_on_target: bool


class Start(NamedTuple):
    """What ``reset(options=...)`` asks for; -1 leaves the choice to chance."""

    objects: int = -1
    shape: int = -1
    red: int = -1
    green: int = -1
    blue: int = -1


class Scenes(NamedTuple):
    """n scenes. m is ``max_count``; l is m where every object has its own look, otherwise 1."""

    streams: NDArray[np.uint64]  # (n,) random streams
    counts: NDArray[np.int64]  # (n,)
    states: NDArray[np.int64]  # (n,) indices of the abstract state: count, or shape and count
    shapes: NDArray[np.int64]  # (n, l) indices into SHAPES, or ABSENT
    colors: NDArray[np.uint8]  # (n, l, 3) RGB, 0 where absent
    places: NDArray[np.int64]  # (n, m, 2) where objects stand or may come to stand, when placement persists
    positions: NDArray[np.int64]  # (n, m, 2) row and column of each object, -1 where absent
    images: NDArray[np.uint8]  # (n, S, S, 3) the last observations, of exactly these counts, positions and looks
    backdrops: NDArray[np.uint8]  # (n, S, S, 3) the picture behind the objects for CLUTTER, otherwise empty
    waves: NDArray[np.int64]  # (n, 4) the moving pattern behind the objects for DRIFT


ABSENT = len(SHAPES)  # shape of an object that is not there, where each object has its own
_ANY = Start()


def make_scenes(num_envs: int, rules: Rules) -> Scenes:
    """Allocate ``num_envs`` scenes; each still needs a stream, and to begin."""
    looks = rules.max_count if rules.per_object else 1
    return Scenes(
        streams=np.zeros(num_envs, np.uint64),
        counts=np.zeros(num_envs, np.int64),
        states=np.zeros(num_envs, np.int64),
        shapes=np.full((num_envs, looks), ABSENT, np.int64),
        colors=np.zeros((num_envs, looks, 3), np.uint8),
        places=np.full((num_envs, rules.max_count, 2), -1, np.int64),
        positions=np.full((num_envs, rules.max_count, 2), -1, np.int64),
        images=np.zeros((num_envs, rules.image_size, rules.image_size, 3), np.uint8),
        backdrops=np.zeros((num_envs if rules.background == CLUTTER else 0, *[rules.image_size] * 2, 3), np.uint8),
        waves=np.zeros((num_envs, 4), np.int64),
    )


def make_stream(rng: np.random.Generator) -> int:
    """Return the start of a stream, drawn from ``rng``: an integer in [0, 2**64)."""
    return int(rng.integers(0, 2**64, dtype=np.uint64))


@kernel
def begin(scenes: Scenes, rules: Rules, start: Start, i: int) -> None:
    """Draw scene ``i`` anew, as far as ``start`` does not set it, and paint it."""
    before = scenes.counts[i]
    count = start.objects
    if count < 0:
        count = rules.least_count + below(scenes.streams, i, rules.max_count - rules.least_count + 1)
    scenes.counts[i] = count
    for look in range(scenes.shapes.shape[1]):
        if not rules.per_object or look < count:
            _draw_look(scenes, start, i, look)
        else:
            _clear_look(scenes, i, look)
    if rules.persist:
        scatter(scenes.places, rules.max_count, rules.image_size, scenes.streams, i)
    if rules.background == CLUTTER:
        _paint_clutter(scenes.backdrops, scenes.streams, i)
        _copy_image(scenes.backdrops, scenes.images, i)
    elif rules.background == DRIFT:
        _draw_wave(scenes.waves, scenes.streams, i)
    _paint(scenes, rules, before, i)


@kernel
def act(scenes: Scenes, rules: Rules, action: int, i: int) -> float:
    """Remove or add an object in scene ``i``, paint it, and return the reward."""
    if rules.slip > 0.0 and uniform(scenes.streams, i) < rules.slip:
        action = ADD + REMOVE - action
    before = scenes.counts[i]
    count = next_count(before, action, rules.least_count, rules.max_count, rules.wrap)
    scenes.counts[i] = count
    for k in range(before, count):  # the new objects: with wrap several
        if rules.per_object:
            _draw_look(scenes, _ANY, i, k)
        if rules.persist:
            _swap_places(scenes.places, k, k + below(scenes.streams, i, rules.max_count - k), i)
    if rules.per_object:
        for k in range(count, before):
            _clear_look(scenes, i, k)
    scenes.waves[i, 3] = (scenes.waves[i, 3] + scenes.waves[i, 2]) % HUES
    _paint(scenes, rules, before, i)
    return rules.rewards[_row(scenes, rules, i), count]  # type: ignore[no-any-return]


@kernel
def at_target(scenes: Scenes, rules: Rules, i: int) -> bool:
    """Return whether arriving where scene ``i`` is now is a success."""
    return rules.targets[_row(scenes, rules, i), scenes.counts[i]]  # type: ignore[no-any-return]


@kernel
def _row(scenes: Scenes, rules: Rules, i: int) -> int:
    """Return the row of ``rules.targets`` and ``rules.rewards`` that holds for scene ``i``."""
    return min(scenes.shapes[i, 0], rules.targets.shape[0] - 1)  # type: ignore[no-any-return]


@kernel
def _draw_look(scenes: Scenes, start: Start, i: int, look: int) -> None:
    """Draw the shape and colour ``look`` of scene ``i``, as far as ``start`` does not set them."""
    scenes.shapes[i, look] = start.shape if start.shape >= 0 else below(scenes.streams, i, len(SHAPES))
    if start.red >= 0:
        scenes.colors[i, look, 0] = start.red
        scenes.colors[i, look, 1] = start.green
        scenes.colors[i, look, 2] = start.blue
    else:
        for channel in range(3):
            scenes.colors[i, look, channel] = DARKEST + below(scenes.streams, i, BRIGHTEST - DARKEST + 1)


@kernel
def _clear_look(scenes: Scenes, i: int, look: int) -> None:
    """Mark the shape and colour ``look`` of scene ``i`` as absent."""
    scenes.shapes[i, look] = ABSENT
    scenes.colors[i, look, :] = 0


@kernel
def _paint(scenes: Scenes, rules: Rules, before: int, i: int) -> None:
    """Put the objects of scene ``i`` in their places, all drawn anew unless they persist, and paint the image.

    The image still shows the ``before`` objects of the last scene. Where the background stays, only those are erased:
    they are a small part of the image, and filling all of it would take longer than everything else.
    """
    on_black = rules.background == BLACK
    if on_black or rules.background == CLUTTER:
        _erase_objects(scenes.images, before, scenes.positions, scenes.backdrops, on_black, i)
    count = scenes.counts[i]
    scenes.states[i] = _row(scenes, rules, i) * (rules.max_count - rules.least_count + 1) + count - rules.least_count
    if rules.persist:
        for k in range(count):
            for axis in range(2):
                scenes.positions[i, k, axis] = scenes.places[i, k, axis]
    else:
        scatter(scenes.positions, count, rules.image_size, scenes.streams, i)
    for k in range(count, rules.max_count):
        scenes.positions[i, k, 0] = -1
        scenes.positions[i, k, 1] = -1
    if rules.background == NOISE:
        _paint_noise(scenes.images, scenes.streams, i)
    elif rules.background == DRIFT:
        _paint_wave(scenes.images, scenes.waves, i)
    _paint_objects(scenes.images, count, scenes.positions, scenes.shapes, scenes.colors, on_black, i)


# Batches.


class Outcomes(NamedTuple):
    """What the last step of n environments led to; each array is of shape (n,)."""

    rewards: NDArray[np.float64]
    terminations: NDArray[np.bool_]
    truncations: NDArray[np.bool_]
    successes: NDArray[np.bool_]  # whether the last action arrived at the target
    steps: NDArray[np.int64]  # steps since the episode began
    over: NDArray[np.bool_]  # whether the episode has ended and no other has begun


def make_outcomes(num_envs: int) -> Outcomes:
    """Allocate the outcomes of ``num_envs`` environments that have done nothing yet."""
    return Outcomes(
        rewards=np.zeros(num_envs, np.float64),
        terminations=np.zeros(num_envs, np.bool_),
        truncations=np.zeros(num_envs, np.bool_),
        successes=np.zeros(num_envs, np.bool_),
        steps=np.zeros(num_envs, np.int64),
        over=np.zeros(num_envs, np.bool_),
    )


@kernel
def begin_where(chosen: NDArray[np.bool_], scenes: Scenes, rules: Rules, start: Start, outcomes: Outcomes) -> None:
    """Begin an episode in each scene for which ``chosen`` (n,) is true."""
    for i in range(chosen.size):
        if chosen[i]:
            begin(scenes, rules, start, i)
            outcomes.terminations[i] = False
            outcomes.truncations[i] = False
            outcomes.successes[i] = False
            outcomes.steps[i] = 0
            outcomes.over[i] = False


@kernel
def step_all(directions: NDArray[np.int64], scenes: Scenes, rules: Rules, limit: int, outcomes: Outcomes) -> None:
    """Act in each scene; where the episode is over, begin another instead, with reward 0.

    An episode is truncated after ``limit`` steps. ``directions`` (n,) holds ``REMOVE`` and ``ADD``.
    """
    for i in range(directions.size):
        if outcomes.over[i]:
            begin(scenes, rules, _ANY, i)
            outcomes.rewards[i] = 0.0
            outcomes.successes[i] = False
            outcomes.steps[i] = 0
        else:
            outcomes.rewards[i] = act(scenes, rules, directions[i], i)
            outcomes.successes[i] = at_target(scenes, rules, i)
            outcomes.steps[i] += 1
        outcomes.terminations[i] = outcomes.successes[i] and rules.terminate_on_target
        outcomes.truncations[i] = outcomes.steps[i] >= limit
        outcomes.over[i] = outcomes.terminations[i] or outcomes.truncations[i]


@kernel
def renew_ended(scenes: Scenes, rules: Rules, outcomes: Outcomes, last_images: NDArray[np.uint8]) -> None:
    """Where an episode is over, save its image in ``last_images`` (n, S, S, 3) and begin another.

    Terminations and truncations stay: they report the step that has just been made.
    """
    for i in range(outcomes.over.size):
        if outcomes.over[i]:
            _copy_image(scenes.images, last_images, i)
            begin(scenes, rules, _ANY, i)
            outcomes.successes[i] = False
            outcomes.steps[i] = 0
            outcomes.over[i] = False


@kernel
def read_choices(actions: NDArray[np.int64], over: NDArray[np.bool_], directions: NDArray[np.int64]) -> int:
    """Copy 0 and 1 from ``actions`` (n,) to ``directions`` (n,); return the index of another number, or -1.

    Where ``over`` (n,) is true, the action does not matter and is not read.
    """
    for i in range(actions.size):
        if over[i]:
            continue
        if actions[i] != REMOVE and actions[i] != ADD:
            return i
        directions[i] = actions[i]
    return -1


@kernel
def read_numbers(actions: NDArray[np.float64], over: NDArray[np.bool_], directions: NDArray[np.int64]) -> int:
    """Write the signs of ``actions`` (n, 1) to ``directions`` (n,); return the index of one outside [-1, 1], or -1.

    Where ``over`` (n,) is true, the action does not matter and is not read.
    """
    for i in range(actions.shape[0]):
        if over[i]:
            continue
        if not -1.0 <= actions[i, 0] <= 1.0:  # so written, it is true for NaN
            return i
        directions[i] = REMOVE if actions[i, 0] < 0.0 else ADD
    return -1
