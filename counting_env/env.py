"""CountingEnv: one scene as a Gymnasium environment."""

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import InvalidAction, ResetNeeded
from numpy.typing import NDArray

from counting_env.checks import Target, is_choice, shown
from counting_env.display import enlarge, show
from counting_env.infos import scene_info
from counting_env.kernels import ADD, REMOVE, act, at_target, begin, make_scenes, make_stream
from counting_env.options import Appearance, Background, HasClasses, Options, Placement, Reward

Observation = NDArray[np.uint8]
Action = int | np.integer[Any] | NDArray[np.floating[Any]]


class CountingEnv(HasClasses, gym.Env[Observation, Action]):
    """Add and remove objects in an image until there are exactly four.

    **Description.** The image shows 0 to 8 identical objects on black. Only their number matters: shape, colour and
    place are distractions that an encoder may forget. The environment follows the counting task of "Why and How
    Auxiliary Tasks Improve JEPA Representations" (arXiv 2509.12249).

    One difference from that paper is deliberate: **no two objects ever touch**. Their 7x7 boxes are always at least one
    pixel apart, so that the image determines the count. Where random places do not suffice, the objects are put on a
    randomly shifted lattice.

    **Action space.** ``Discrete(2)``: 0 removes an object, 1 adds one; at the ends the count stays (or, with ``wrap``,
    jumps). With ``continuous=True`` (also the id ``CountingEnvContinuous-v0``) ``Box(-1, 1, (1,), float32)``: a
    negative number removes, any other adds.

    **Observation space.** ``Box(0, 255, (64, 64, 3), uint8)``: height, width, channel.

    **Reward.** 1 for arriving at ``target``, otherwise 0. With ``reward="dense"``, 1 at a target and elsewhere minus
    the distance to the nearest one, scaled to [-1, 0).

    **Start.** The count is uniform from ``least_count`` to ``max_count``, the target included; a start on the target
    does not end the episode. Shape and colour (each channel uniform on 30..225) are drawn once in each episode, all
    places again at every step, also where the count stays. ``reset(options={"count": 3, "shape": "circle", "color":
    (200, 80, 30)})`` sets the scene; each key may be left out.

    **End.** Arriving at the target terminates the episode. ``gym.make`` adds the time limit of 4 steps, within which a
    perfect policy always succeeds and a uniformly random one about one time in three. A step after termination is an
    error.

    **A hard variant.** ``CountingEnvHard-v0``: 0 to 32 objects, target 16, 16 steps. A uniformly random policy succeeds
    about one time in five.

    **Info.** The keys are:

    - ``count``: number of objects in the observation
    - ``shape``: name of their shape, one of ``counting_env.SHAPES``
    - ``color``: their colour, uint8 of shape (3,)
    - ``positions``: row and column of each object's centre, int64 of shape (``max_count``, 2); -1 beyond ``count``
    - ``is_success``: whether the last action arrived at the target
    - ``state``: index of the state in ``class_mdp``, see below

    ``state`` is ``count - least_count``. Where ``target`` is a mapping, the shape belongs to the state too: ``state``
    is larger by the index of the shape in ``counting_env.SHAPES`` times the number of counts.

    With ``appearance="object"``, ``shape`` is an array of strings (dtype object) of shape (``max_count``,) and
    ``color`` has shape (``max_count``, 3); entries beyond ``count`` are ``""`` and 0.

    Args:
        target: the rewarded count, from ``least_count`` to ``max_count``; or a tuple of such counts; or a mapping from
            shape to one of these, such as ``{"circle": 4, "square": (2, 6)}``. A shape without a target is never
            rewarded. A mapping needs ``appearance="episode"``; only an image with an object shows the shape, so give
            ``least_count=1`` with it.
        max_count: the largest count; as many as fit without touching: ``((image_size + 1) // 8) ** 2``.
        image_size: height and width of the image in pixels, 32 to 256.
        continuous: whether an action is one number in [-1, 1] instead of 0 or 1.
        reward: ``"sparse"`` or ``"dense"``.
        placement: ``"resample"`` draws all places again at each step; ``"persist"`` leaves the objects where they
            are: adding puts a new one at a random free place of the episode's ``max_count`` places, removing takes
            the last one away.
        appearance: ``"episode"`` draws one shape and colour for each episode; ``"object"`` one for each object.
        background: ``"black"``; ``"noise"``: new uniform noise in every frame; ``"clutter"``: random rectangles, the
            same in all frames of an episode; ``"drift"``: a smooth pattern that moves at a constant speed, so that two
            frames predict the next. In the last two each background pixel has a channel of 0 and none above 128; drawn
            object colours have all three channels in 30..225.
        terminate_on_target: whether arriving at the target ends the episode.
        least_count: the smallest count, from 0 to ``max_count``.
        wrap: whether adding at ``max_count`` leads to ``least_count`` and removing at ``least_count`` to
            ``max_count``. Otherwise the count stays there.
        slip: the probability that the other action happens, in [0, 1].
        render_mode: ``"rgb_array"``: ``render()`` returns the last observation, enlarged; ``"human"``:
            a window shows it after each reset and step (needs pygame and a display); ``None``: neither.

    Raises:
        ValueError: an option is out of range; the message names it, its value and what would be right.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]  # Gymnasium's own type is an instance attribute
        "render_modes": ["human", "rgb_array"],
        "render_fps": 4,
    }

    def __init__(
        self,
        target: Target = 4,
        max_count: int = 8,
        image_size: int = 64,
        continuous: bool = False,
        reward: Reward = "sparse",
        placement: Placement = "resample",
        appearance: Appearance = "episode",
        background: Background = "black",
        terminate_on_target: bool = True,
        least_count: int = 0,
        wrap: bool = False,
        slip: float = 0.0,
        render_mode: str | None = None,
    ) -> None:
        if render_mode is not None and not is_choice(render_mode, self.metadata["render_modes"]):
            raise ValueError(f"render_mode={shown(render_mode)} is unknown: choose human, rgb_array or None")
        self.options = Options(
            target=target,
            max_count=max_count,
            image_size=image_size,
            continuous=continuous,
            reward=reward,
            placement=placement,
            appearance=appearance,
            background=background,
            terminate_on_target=terminate_on_target,
            least_count=least_count,
            wrap=wrap,
            slip=slip,
        )
        self.observation_space = self.options.observation_space
        self.action_space = self.options.action_space
        self.render_mode = render_mode
        self._rules = self.options.rules
        self._scenes = make_scenes(1, self._rules)
        self._seeded = False
        self._running = False
        self._window: Any = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode.

        Args:
            seed: of all random numbers from now on, at least 0; ``None``: they go on, at first from a random seed.
            options: may set ``count``, from ``least_count`` to ``max_count``; ``shape``, one of
                ``counting_env.SHAPES``; and ``color``, three integers in 0..255 of which one is at least 30.

        Returns:
            The image, uint8 (image_size, image_size, 3), and the info.

        Raises:
            ValueError: an option is out of range; nothing has been reset then.
            gymnasium.error.Error: ``seed`` is negative, or ``render_mode="human"`` without pygame or a display.
        """
        start = self.options.parse_start(options)
        super().reset(seed=seed)
        if seed is not None or not self._seeded:
            self._scenes.streams[0] = make_stream(self.np_random)
            self._seeded = True
        begin(self._scenes, self._rules, start, 0)
        self._running = True
        if self.render_mode == "human":
            self.render()
        return self._scenes.images[0].copy(), scene_info(self._scenes, self._rules, is_success=False)

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Remove or add one object.

        Args:
            action: 0 (remove) or 1 (add); with ``continuous=True`` an array of one number in [-1, 1].

        Returns:
            The image, uint8 (image_size, image_size, 3); the reward; whether the episode has ended at the target; False
            (``gym.make`` adds the time limit); and the info.

        Raises:
            gymnasium.error.Error: ``render_mode="human"`` without pygame or a display.
            gymnasium.error.ResetNeeded: before the first ``reset`` or after termination.
            gymnasium.error.InvalidAction: ``action`` is not in the action space.
        """
        if not self._running:
            raise ResetNeeded("step() without a running episode: call reset() first")
        reward = act(self._scenes, self._rules, _direction(action, self.action_space), 0)
        is_success = bool(at_target(self._scenes, self._rules, 0))
        terminated = is_success and self._rules.terminate_on_target
        self._running = not terminated
        if self.render_mode == "human":
            self.render()
        return (
            self._scenes.images[0].copy(),
            reward,
            terminated,
            False,
            scene_info(self._scenes, self._rules, is_success),
        )

    def get_action_meanings(self) -> list[str]:
        """Return what each action does, as Atari's environments do; a continuous one below 0 is the first."""
        return ["remove", "add"]

    def render(self) -> Observation | None:
        """Return the last observation enlarged (``"rgb_array"``) or show it in a window (``"human"``).

        Returns:
            With ``"rgb_array"`` uint8 (S, S, 3), where S is the largest multiple of ``image_size`` up to 512.

        Raises:
            gymnasium.error.ResetNeeded: before the first ``reset``.
            gymnasium.error.Error: ``render_mode="human"`` without pygame or a display.
        """
        if self.render_mode is None:
            gym.logger.warn('render() does nothing without a render mode: gym.make("CountingEnv-v0", render_mode=...)')
            return None
        if not self._seeded:
            raise ResetNeeded("render() before any scene: call reset() first")
        picture = enlarge(self._scenes.images[0])
        if self.render_mode == "rgb_array":
            return picture
        self._window = show(picture, self._window, self.metadata["render_fps"])
        return None

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._window is not None:
            import pygame

            pygame.display.quit()
            self._window = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_window": None}  # a window cannot be copied: a copy opens another


def _direction(action: Action, space: spaces.Space[Any]) -> int:
    """Return ``REMOVE`` or ``ADD``, or raise ``InvalidAction``."""
    if isinstance(space, spaces.Box):
        value = np.asarray(action)  # any number type will do, as in Gymnasium's Pendulum
        if value.shape == (1,) and value.dtype.kind in "fiu" and -1 <= value[0] <= 1:
            return REMOVE if value[0] < 0 else ADD
    elif isinstance(action, (int, np.integer)):
        if 0 <= action <= 1:  # what Discrete(2) would say, at a tenth of its time
            return int(action)
    elif space.contains(action):
        return int(action)
    raise InvalidAction(f"action={shown(action)} is not in the action space {space}")
