"""The options of the environment: checked in one place for the single and the vector environment."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from counting_env.dynamics import check_counts
from counting_env.kernels import BACKGROUNDS, DARKEST, SHAPES, Rules, Start, capacity

IMAGE_SIZES = range(32, 257)
CHOICES = {
    "reward": ("sparse", "dense"),
    "placement": ("resample", "persist"),
    "appearance": ("episode", "object"),
    "background": BACKGROUNDS,
}


@dataclass(frozen=True)
class Options:
    """The options of :class:`counting_env.CountingEnv`, whose docstring describes each.

    Raises:
        ValueError: an option is out of range; the message names it, its value and what would be right.
    """

    target: int = 4
    max_count: int = 8
    image_size: int = 64
    continuous: bool = False
    reward: str = "sparse"
    placement: str = "resample"
    appearance: str = "episode"
    background: str = "black"
    terminate_on_target: bool = True

    def __post_init__(self) -> None:
        check_counts(self.max_count, self.target)
        size = self.image_size
        if isinstance(size, bool) or not isinstance(size, int | np.integer) or size not in IMAGE_SIZES:
            raise ValueError(f"image_size={size!r} is not an integer in {IMAGE_SIZES[0]}..{IMAGE_SIZES[-1]} (pixels)")
        if self.max_count > capacity(size):
            raise ValueError(
                f"max_count={self.max_count} does not fit: an image of image_size={size} holds at most "
                f"{capacity(size)} objects that do not touch"
            )
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if not isinstance(value, str) or value not in choices:
                raise ValueError(f"{name}={value!r} is unknown: choose one of {', '.join(choices)}")
        for name in ("continuous", "terminate_on_target"):
            check_bool(name, getattr(self, name))

    @property
    def observation_space(self) -> spaces.Space[Any]:
        """One image: height, width, channel; uint8."""
        return spaces.Box(0, 255, (self.image_size, self.image_size, 3), np.uint8)

    @property
    def action_space(self) -> spaces.Space[Any]:
        """Two discrete actions, or one number in [-1, 1]."""
        return spaces.Box(-1.0, 1.0, (1,), np.float32) if self.continuous else spaces.Discrete(2)

    @property
    def rules(self) -> Rules:
        """The options in the form that the kernels take."""
        return Rules(
            target=int(self.target),
            max_count=int(self.max_count),
            image_size=int(self.image_size),
            dense=self.reward == "dense",
            persist=self.placement == "persist",
            per_object=self.appearance == "object",
            background=BACKGROUNDS.index(self.background),
            terminate_on_target=bool(self.terminate_on_target),
        )

    def parse_start(self, options: dict[str, Any] | None) -> Start:
        """Check the ``options`` given to ``reset`` and return them as numbers.

        Raises:
            ValueError: an option is out of range; the message names it, its value and what would be right.
        """
        if options is not None and not isinstance(options, dict):
            raise ValueError(f"reset options={options!r} is not a dictionary: give one with count, shape or color")
        options = options or {}
        for name, value in options.items():
            if name not in ("count", "shape", "color"):
                raise ValueError(f"reset option {name}={value!r} is unknown: choose among count, shape, color")
        count, shape, color = (options.get(name) for name in ("count", "shape", "color"))
        if count is not None and not (_is_integer(count) and 0 <= count <= self.max_count):
            raise ValueError(
                f"reset option count={count!r} is not an integer in 0..max_count, here 0..{self.max_count}"
            )
        if shape is not None and not (isinstance(shape, str) and shape in SHAPES):
            raise ValueError(f"reset option shape={shape!r} is unknown: choose one of {', '.join(SHAPES)}")
        if color is not None and not _is_color(color):
            raise ValueError(
                f"reset option color={color!r} is not three integers in 0..255 of which one is at least {DARKEST}"
            )
        return Start(
            -1 if count is None else int(count),
            -1 if shape is None else SHAPES.index(shape),
            *((-1, -1, -1) if color is None else (int(channel) for channel in color)),
        )


def check_bool(name: str, value: object) -> None:
    """Raise ``ValueError`` unless ``value``, the argument ``name``, is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name}={value!r} is neither True nor False")


def _is_integer(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _is_color(value: object) -> bool:
    try:
        channels = np.asarray(value)
    except ValueError:  # ragged
        return False
    return bool(
        channels.shape == (3,)
        and np.issubdtype(channels.dtype, np.integer)
        and channels.min() >= 0
        and DARKEST <= channels.max() <= 255
    )
