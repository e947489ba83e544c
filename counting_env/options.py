"""The options of the environment: checked in one place for the single and the vector environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from counting_env.checks import Target, check_bool, check_integer, check_target, is_choice, is_color, is_integer, shown
from counting_env.kernels import DARKEST, SHAPES, Rules, Start, capacity
from counting_env.mdp import class_mdp, class_transitions, reward_table, target_table

Reward = Literal["sparse", "dense"]
Placement = Literal["resample", "persist"]
Appearance = Literal["episode", "object"]
Background = Literal["black", "noise", "clutter", "drift"]  # in the order of the kernels' BLACK, NOISE, CLUTTER, DRIFT

IMAGE_SIZES = range(32, 257)
CHOICES: dict[str, tuple[str, ...]] = {
    "reward": get_args(Reward),
    "placement": get_args(Placement),
    "appearance": get_args(Appearance),
    "background": get_args(Background),
}


@dataclass(frozen=True)
class Options:
    """The options of :class:`counting_env.CountingEnv`, whose docstring describes each.

    Raises:
        ValueError: an option is out of range; the message names it, its value and what would be right.
    """

    target: Target = 4
    max_count: int = 8
    image_size: int = 64
    continuous: bool = False
    reward: Reward = "sparse"
    placement: Placement = "resample"
    appearance: Appearance = "episode"
    background: Background = "black"
    terminate_on_target: bool = True
    least_count: int = 0
    wrap: bool = False
    slip: float = 0.0

    def __post_init__(self) -> None:
        check_integer("max_count", self.max_count, 1)
        check_integer("least_count", self.least_count, 0)
        if self.least_count > self.max_count:
            raise ValueError(f"least_count={self.least_count} is above max_count={self.max_count}: give at most that")
        check_target(self.target, self.least_count, self.max_count)
        size = self.image_size
        if not is_integer(size) or size not in IMAGE_SIZES:
            raise ValueError(
                f"image_size={shown(size)} is not an integer in {IMAGE_SIZES[0]}..{IMAGE_SIZES[-1]} (pixels)"
            )
        if self.max_count > capacity(size):
            raise ValueError(
                f"max_count={self.max_count} does not fit: an image of image_size={size} holds at most "
                f"{capacity(size)} objects that do not touch"
            )
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if not is_choice(value, choices):
                raise ValueError(f"{name}={shown(value)} is unknown: choose one of {', '.join(choices)}")
        for name in ("continuous", "terminate_on_target", "wrap"):
            check_bool(name, getattr(self, name))
        if isinstance(self.target, Mapping) and self.appearance == "object":
            raise ValueError(
                f"target={shown(self.target)} rewards shapes, but with appearance='object' the shapes of a scene "
                "differ: give appearance='episode', or a target of counts alone"
            )
        if self.wrap and self.least_count == self.max_count:
            raise ValueError(
                f"wrap=True needs two counts or more, but least_count={self.least_count} and "
                f"max_count={self.max_count} leave one: give a smaller least_count, or wrap=False"
            )
        slip = self.slip
        if isinstance(slip, bool) or not isinstance(slip, int | float | np.number) or not 0 <= slip <= 1:
            raise ValueError(f"slip={shown(slip)} is not a probability: give a number in [0, 1]")

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
        least_count, max_count, wrap = int(self.least_count), int(self.max_count), bool(self.wrap)
        targets = target_table(self.target, max_count)
        return Rules(
            targets=targets,
            rewards=reward_table(targets, self.reward == "dense", least_count, max_count, wrap),
            least_count=least_count,
            max_count=max_count,
            wrap=wrap,
            slip=float(self.slip),
            image_size=int(self.image_size),
            persist=self.placement == "persist",
            per_object=self.appearance == "object",
            background=CHOICES["background"].index(self.background),
            terminate_on_target=bool(self.terminate_on_target),
        )

    def parse_start(self, options: dict[str, Any] | None) -> Start:
        """Check the ``options`` given to ``reset`` and return them as numbers.

        Raises:
            ValueError: an option is out of range; the message names it, its value and what would be right.
        """
        if options is not None and not isinstance(options, dict):
            raise ValueError(f"reset options={shown(options)} is not a dictionary: give one with count, shape or color")
        options = options or {}
        for name, value in options.items():
            if name not in ("count", "shape", "color"):
                raise ValueError(f"reset option {name}={shown(value)} is unknown: choose among count, shape, color")
        count, shape, color = (options.get(name) for name in ("count", "shape", "color"))
        if count is not None and not (is_integer(count) and self.least_count <= count <= self.max_count):
            raise ValueError(
                f"reset option count={shown(count)} is not an integer in least_count..max_count, "
                f"here {self.least_count}..{self.max_count}"
            )
        if shape is not None and not (isinstance(shape, str) and shape in SHAPES):
            raise ValueError(f"reset option shape={shown(shape)} is unknown: choose one of {', '.join(SHAPES)}")
        if color is not None and not is_color(color):
            raise ValueError(
                f"reset option color={shown(color)} is not three integers in 0..255 of which one is at least {DARKEST}"
            )
        return Start(
            -1 if count is None else int(count),
            -1 if shape is None else SHAPES.index(shape),
            *((-1, -1, -1) if color is None else (int(channel) for channel in color)),
        )


class HasClasses:
    """The MDP over ``info["state"]``, which the single and the vector environment have in common."""

    options: Options

    @property
    def class_mdp(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The MDP over ``info["state"]``, as ``largest_bisimulation(*env.class_mdp)`` takes it; no state ends it.

        ``successors``, int64 of shape (n, 2): ``successors[s, a]`` is the state after action ``a`` (0 removes, 1 adds)
        in state ``s``. ``values``, float64 of shape (n,): the reward for arriving in each state.

        Raises:
            ValueError: ``slip`` makes the transitions random: take ``class_transitions``.
        """
        return class_mdp(self.options.rules)

    @property
    def class_transitions(self) -> tuple[list[NDArray[np.float64]], NDArray[np.float64]]:
        """The same MDP with ``slip``, as ``probabilistic_bisimulation(*env.class_transitions)`` takes it.

        ``transitions``, a float64 matrix (n, n) for each action: row ``s`` holds the probabilities of arriving in each
        state from state ``s``. ``values``, float64 of shape (n,): the reward for arriving in each state.
        """
        return class_transitions(self.options.rules)
