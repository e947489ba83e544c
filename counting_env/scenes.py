"""The state of n environments as arrays, and the kernels that begin a scene and act on it.

The single environment is the case n = 1, so both share every rule and every pixel. The kernels named
``..._range`` serve a batch: each works on sub-environments ``first`` to ``last - 1`` and touches no other.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from counting_env.dynamics import ADD, next_count, reward_at
from counting_env.kernels import kernel
from counting_env.options import Options, Rules, Start
from counting_env.rendering import copy_image, erase_objects, paint_noise, paint_objects, scatter, swap_places
from counting_env.sprites import BRIGHTEST, DARKEST, SHAPES
from counting_env.streams import below

ABSENT = len(SHAPES)  # shape of an object that is not there, where each object has its own


class Scenes(NamedTuple):
    """n scenes. m is ``max_count``; l is m where every object has its own look, otherwise 1."""

    streams: NDArray[np.uint64]  # (n,) random streams
    counts: NDArray[np.int64]  # (n,)
    shapes: NDArray[np.int64]  # (n, l) indices into SHAPES, or ABSENT
    colors: NDArray[np.uint8]  # (n, l, 3) RGB, 0 where absent
    places: NDArray[np.int64]  # (n, m, 2) where objects stand or may come to stand, when placement persists
    positions: NDArray[np.int64]  # (n, m, 2) row and column of each object, -1 where absent
    images: NDArray[np.uint8]  # (n, S, S, 3) the last observations, of exactly these counts, positions and looks


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
    before = scenes.counts[i]
    count = start.objects
    if count < 0:
        count = below(scenes.streams, i, rules.max_count + 1)
    scenes.counts[i] = count
    for look in range(scenes.shapes.shape[1]):
        if not rules.per_object or look < count:
            _draw_look(scenes, start, i, look)
        else:
            _clear_look(scenes, i, look)
    if rules.persist:
        scatter(scenes.places, rules.max_count, rules.image_size, scenes.streams, i)
    _show(scenes, rules, before, i)


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
            swap_places(scenes.places, before, before + below(scenes.streams, i, rules.max_count - before), i)
    elif count < before and rules.per_object:
        _clear_look(scenes, i, count)
    _show(scenes, rules, before, i)
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
def _show(scenes: Scenes, rules: Rules, before: int, i: int) -> None:
    """Put the objects of scene ``i`` in their places, all drawn anew unless they persist, and paint.

    The image still shows the ``before`` objects of the last scene. On black only they are wiped out: they
    are a small part of the image, and to fill all of it would take longer than everything else.
    """
    if not rules.noise:
        erase_objects(scenes.images, before, scenes.positions, i)
    count = scenes.counts[i]
    if rules.persist:
        for k in range(count):
            for axis in range(2):
                scenes.positions[i, k, axis] = scenes.places[i, k, axis]
    else:
        scatter(scenes.positions, count, rules.image_size, scenes.streams, i)
    for k in range(count, rules.max_count):
        scenes.positions[i, k, 0] = -1
        scenes.positions[i, k, 1] = -1
    if rules.noise:
        paint_noise(scenes.images, scenes.streams, i)
    paint_objects(scenes.images, count, scenes.positions, scenes.shapes, scenes.colors, not rules.noise, i)


@kernel
def begin_range(
    scenes: Scenes,
    rules: Rules,
    start: Start,
    outcomes: Outcomes,
    whom: NDArray[np.bool_],
    first: int,
    last: int,
) -> None:
    """Begin an episode in each scene of the range for which ``whom`` (n,) is true."""
    for i in range(first, last):
        if whom[i]:
            begin(scenes, rules, start, i)
            outcomes.terminations[i] = False
            outcomes.truncations[i] = False
            outcomes.successes[i] = False
            outcomes.steps[i] = 0
            outcomes.over[i] = False


@kernel
def step_range(
    scenes: Scenes,
    rules: Rules,
    limit: int,
    directions: NDArray[np.int64],
    outcomes: Outcomes,
    first: int,
    last: int,
) -> None:
    """Act in each scene of the range; where the episode is over, begin another instead, with reward 0.

    An episode is truncated after ``limit`` steps. ``directions`` (n,) holds ``REMOVE`` and ``ADD``.
    """
    for i in range(first, last):
        if outcomes.over[i]:
            begin(scenes, rules, Start(-1, -1, -1, -1, -1), i)
            outcomes.rewards[i] = 0.0
            outcomes.successes[i] = False
            outcomes.steps[i] = 0
        else:
            outcomes.rewards[i] = act(scenes, rules, directions[i], i)
            outcomes.successes[i] = scenes.counts[i] == rules.target
            outcomes.steps[i] += 1
        outcomes.terminations[i] = outcomes.successes[i] and rules.terminate_on_target
        outcomes.truncations[i] = outcomes.steps[i] >= limit
        outcomes.over[i] = outcomes.terminations[i] or outcomes.truncations[i]


@kernel
def renew_range(
    scenes: Scenes,
    rules: Rules,
    outcomes: Outcomes,
    last_images: NDArray[np.uint8],
    first: int,
    last: int,
) -> None:
    """Where an episode of the range is over, save its image in ``last_images`` (n, S, S, 3) and begin another.

    Terminations and truncations stay, as the report of the step that has just been made.
    """
    for i in range(first, last):
        if outcomes.over[i]:
            copy_image(scenes.images, last_images, i)
            begin(scenes, rules, Start(-1, -1, -1, -1, -1), i)
            outcomes.successes[i] = False
            outcomes.steps[i] = 0
            outcomes.over[i] = False
