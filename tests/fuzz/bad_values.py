"""Values that a user may give by mistake in the place of a right one."""

import dataclasses
from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from jepa_extractor import Batch, Episode
from jepa_extractor.data import Step

ANYTHING: tuple[Any, ...] = (
    None,
    "text",
    "",
    b"bytes",
    object(),
    -1,
    0,
    3,
    2.5,
    True,
    float("nan"),
    float("inf"),
    -1e300,
    2**70,
    1j,
    [],
    {},
    {"a": 1},
    {1, 2},
    [None],
    list(range(2000)),
    "long" * 100,
    ["a", "b"],
    iter(()),
    int,
    lambda *_, **__: None,
    np.zeros((2, 3)),
    np.zeros(0),
    np.array(["a", "b"]),
    np.float32(0.5),
    np.array(2),
    torch.zeros(2, 3),
    torch.nn.Linear(2, 3),
    spaces.Discrete(3),
)
SPACES: tuple[spaces.Space[Any], ...] = (
    spaces.Discrete(3, start=1),
    spaces.MultiDiscrete([2, 3]),
    spaces.MultiBinary(3),
    spaces.MultiDiscrete(np.array([[2, 3], [2, 2]])),
    spaces.Tuple((spaces.Discrete(2), spaces.Discrete(3))),
    spaces.Text(5),
    spaces.Sequence(spaces.Discrete(2)),
    spaces.Graph(spaces.Discrete(2), None),
    spaces.OneOf([spaces.Discrete(2), spaces.Discrete(3)]),
    spaces.Dict({}),
    spaces.Dict({"a": spaces.Discrete(2), "b": spaces.Box(0, 1, (3,))}),
    spaces.Dict({"a": spaces.Dict({"b": spaces.Box(0, 1, (3,))})}),
    spaces.Dict({"image": spaces.Box(0, 255, (8, 8, 3), np.uint8), "mission": spaces.Text(5)}),
    spaces.Box(0, 1, (0,)),
    spaces.Box(0, 1, ()),
    spaces.Box(-np.inf, np.inf, (2,)),
    spaces.Box(0, 1, (2, 3, 4, 5)),
    spaces.Box(0, 255, (40, 40, 3), np.uint8),
    spaces.Box(0, 255, (4, 4, 3), np.uint8),
    spaces.Box(0, 255, (4, 40, 40, 3), np.uint8),
    spaces.Box(0, 9, (2,), np.int64),
    spaces.Box(0, 1, (3,), np.float64),
)


def bad(value, rng):
    """Return something like ``value`` that is wrong, or anything else; now and then something that is right too."""
    own = _like(value, rng)
    chosen = own if own and rng.random() < 0.6 else ANYTHING
    return chosen[rng.integers(len(chosen))]


def _like(value, rng):
    """Return values of the same kind, with another content or form."""
    for kind, others in LIKE.items():
        if isinstance(value, kind):
            return others(value, rng)
    return ()


def _arrays(array, rng):
    wrong = [_with_one(array, number, rng) for number in (np.nan, np.inf, -1, 1e30, 0.5)]
    wrong += [array[None], array[..., None], array[..., :-1], array.T, array.ravel(), array.tolist()]
    wrong += [array[:0], array[:-1], array[0] if len(array) else array, np.concatenate([array, array])]
    return [*wrong, *(array.astype(kind) for kind in (object, str, complex, np.int8, bool, np.float64))]


def _with_one(array, number, rng):
    """Return ``array`` with one entry changed."""
    wrong = array.astype(np.result_type(array, np.float32))
    if wrong.size:
        wrong.flat[rng.integers(wrong.size)] = number
    return wrong


def _tensors(tensor, rng):
    arrays = [one for one in _arrays(tensor.detach().numpy(), rng) if isinstance(one, np.ndarray)]
    return [torch.from_numpy(np.ascontiguousarray(one)) for one in arrays if one.dtype.kind in "biufc"]


def _dicts(given, rng):
    fewer = [{key: part for key, part in given.items() if key != left} for left in given]
    other = [{**given, key: bad(part, rng)} for key, part in given.items()]
    return [*fewer, *other, {**given, "another": next(iter(given.values()), 1)}, {**given, 7: 1}]


def _sequences(given, rng):
    kind = type(given)
    if kind not in (list, tuple):  # of a class of its own, such as what one entry returns and another takes
        return ()
    other = [kind([*given[:i], bad(given[i], rng), *given[i + 1 :]]) for i in range(min(len(given), 3))]
    return [*other, given[:-1], given[:0], [*given, *given], [given]]


def _episodes(episode, rng):
    return [*(episode._replace(**{name: bad(part, rng)}) for name, part in episode._asdict().items()), tuple(episode)]


def _fields(given, rng):
    return [dataclasses.replace(given, **{name: bad(part, rng)}) for name, part in vars(given).items()]


def _integers(number, _):
    return -number - 1, 0, number + 0.5, 2**70, -(2**70), str(number), [number], True, np.array([number])


def _floats(number, _):
    return -number - 1, np.nan, np.inf, -np.inf, 1e300, str(number), [number], 2**70


def _strings(text, _):
    return text + "x", text.upper(), text.encode(), [text], "", "a\0b"


LIKE = {  # the first that fits; a truth value is an integer too
    np.ndarray: _arrays,
    torch.Tensor: _tensors,
    spaces.Space: lambda *_: SPACES,
    dict: _dicts,
    Episode: _episodes,
    list | tuple: _sequences,
    Batch | Step: _fields,
    bool: lambda *_: ("yes",),
    int: _integers,
    float: _floats,
    str: _strings,
}
