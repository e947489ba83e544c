"""The state of n environments as arrays, and the kernels that begin a scene and act on it.

The single environment is the case n = 1, so both share every rule and every pixel.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from counting_env.dynamics import ADD, next_count, reward_at
from counting_env.kernels import kernel
from counting_env.options import Options, Rules, Start
from counting_env.rendering import paint, scatter, swap_rows
from counting_env.sprites import BRIGHTEST, DARKEST, SHAPES
from counting_env.streams import below

ABSENT = len(SHAPES)  # shape of an object that is not there, where each object has its own


class Scenes(NamedTuple):
    """n scenes. m is ``max_count``; l is m where every object has its own look, otherwise 1."""

    streams: NDArray[np.uint64]  # (n,) random streams
    counts: NDArray[np.int64]  # (n,)
    shapes: NDArray[np.int64]  # (n, l) indices into SHAPES, or ABSENT
    colors: NDArray[np.uint8]  # (n, l, 3) RGB, 0 where absent
    places: NDArray[np.int64]  # (n, m, 2) where objects stand or, when placement persists, may come to stand
    positions: NDArray[np.int64]  # (n, m, 2) row and column of each object, -1 where absent
    images: NDArray[np.uint8]  # (n, S, S, 3) the last observations


def make_scenes(num_envs: int, options: Options) -> Scenes:
    """Allocate ``num_envs`` scenes for ``options``; each still has to begin."""
    looks = options.max_count if options.appearance == "object" else 1
    return Scenes(
        streams=np.zeros(num_envs, np.uint64),
        counts=np.zeros(num_envs, np.int64),
        shapes=np.full((num_envs, looks), ABSENT, np.int64),
        colors=np.zeros((num_envs, looks, 3), np.uint8),
        places=np.full((num_envs, options.max_count, 2), -1, np.int64),
        positions=np.full((num_envs, options.max_count, 2), -1, np.int64),
        images=np.zeros((num_envs, options.image_size, options.image_size, 3), np.uint8),
    )


@kernel
def begin(scenes: Scenes, rules: Rules, start: Start, i: int) -> None:
    """Draw scene ``i`` anew, as far as ``start`` does not set it, and paint it."""
    count = start.count
    if count < 0:
        count = below(scenes.streams, i, rules.max_count + 1)
    scenes.counts[i] = count
    for look in range(scenes.shapes.shape[1]):
        if not rules.per_object or look < count:
            _draw_look(scenes, start, i, look)
        else:
            _clear_look(scenes, i, look)
    if rules.persist:
        scatter(scenes.places[i], rules.max_count, rules.image_size, scenes.streams, i)
    _show(scenes, rules, i)


@kernel
def act(scenes: Scenes, rules: Rules, action: int, i: int) -> float:
    """Remove or add an object in scene ``i``, paint it, and return the reward."""
    before = scenes.counts[i]
    count = next_count(before, action, rules.max_count)
    scenes.counts[i] = count
    if action == ADD and count > before:
        if rules.per_object:
            _draw_look(scenes, Start(-1, -1, -1, -1, -1), i, before)
        if rules.persist:
            swap_rows(scenes.places[i], before, before + below(scenes.streams, i, rules.max_count - before))
    elif count < before and rules.per_object:
        _clear_look(scenes, i, count)
    _show(scenes, rules, i)
    return reward_at(count, rules.target, rules.max_count, rules.dense)


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
def _show(scenes: Scenes, rules: Rules, i: int) -> None:
    """Put the objects of scene ``i`` in their places, all drawn anew unless they persist, and paint."""
    count = scenes.counts[i]
    if not rules.persist:
        scatter(scenes.places[i], count, rules.image_size, scenes.streams, i)
    for k in range(rules.max_count):
        for axis in range(2):
            scenes.positions[i, k, axis] = scenes.places[i, k, axis] if k < count else -1
    paint(
        scenes.images[i],
        count,
        scenes.positions[i],
        scenes.shapes[i],
        scenes.colors[i],
        rules.noise,
        scenes.streams,
        i,
    )
