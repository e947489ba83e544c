"""Play CountingEnv by hand in a pygame window: ``python -m counting_env.play``.

Left, Down or ``-`` removes an object; Right, Up, ``+`` or ``=`` adds one; R starts a new episode; H hides or shows the
count; Q, Esc or closing the window leaves, as Ctrl-C and SIGTERM do. ``--help`` lists the options.
"""

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium as gym

import counting_env  # noqa: F401  # registers CountingEnv-v0
from counting_env.dynamics import Target
from counting_env.kernels import ADD, REMOVE
from counting_env.options import CHOICES, IMAGE_SIZES, Options
from counting_env.window import enlarge, open_window

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # no greeting in the player's terminal
with contextlib.suppress(ImportError):  # open_window() says what is missing
    import pygame

# Names as pygame.key.name() gives them; brackets are the keypad.
ACTION_KEYS = {"left": REMOVE, "down": REMOVE, "-": REMOVE, "[-]": REMOVE}
ACTION_KEYS |= {"right": ADD, "up": ADD, "+": ADD, "=": ADD, "[+]": ADD}

# The layout, in pixels.
MARGIN = 24
TITLE_HEIGHT = 84
SIDE = 512  # of the square for the picture; a smaller picture is centred in it
PANEL = 332  # width of the column beside the picture
SIZE = (SIDE + PANEL + 3 * MARGIN, TITLE_HEIGHT + SIDE + MARGIN)

PAGE = (17, 19, 25)
CARD = (31, 34, 44)
LINE = (62, 68, 84)
INK = (238, 240, 245)
MUTED = (154, 161, 178)
GOOD = (112, 214, 142)
BAD = (243, 139, 112)

Color = tuple[int, int, int]


class Viewer:
    """A window in which a person plays one ``CountingEnv``, key by key.

    Args:
        env: a ``CountingEnv`` as ``gym.make`` gives it, with discrete actions.
        max_episode_steps: the time limit of ``env``, shown as steps left.
        seed: seed of the first episode; ``None`` for a random one.

    Raises:
        gymnasium.error.DependencyNotInstalled: pygame is not installed.
        gymnasium.error.Error: there is no display.

    Attributes:
        observation: what the environment returned last, uint8 (H, W, 3).
        info: the info that came with it.
        steps: number of steps in this episode.
        reward: the last reward of this episode, ``None`` before its first step.
        ended: whether the episode is over; the player can then only start a new one.
        succeeded: whether this episode has arrived at the target.
        successes: episodes so far that arrived at the target.
        episodes: episodes begun so far, this one included.
        count_shown: whether the window shows the count.
        running: whether the window stays open.
        picture_area: the ``pygame.Rect`` of the window that holds the picture.
    """

    def __init__(self, env: gym.Env[Any, Any], max_episode_steps: int, seed: int | None = None) -> None:
        self.env = env
        self.max_episode_steps = max_episode_steps
        self.options: Options = env.get_wrapper_attr("options")
        self.successes = 0
        self.episodes = 0
        self.count_shown = True
        self.running = True
        self.window = open_window(SIZE)
        pygame.font.init()
        self._fonts: dict[int, pygame.font.Font] = {}
        self._begin(seed)
        self.picture_area = pygame.Rect(0, 0, *enlarge(self.observation, SIDE).shape[:2])
        self.picture_area.center = (MARGIN + SIDE // 2, TITLE_HEIGHT + SIDE // 2)

    def run(self) -> None:
        """Show the window and handle key presses until the player leaves."""
        self.draw()
        while self.running:
            # The timeout lets Python see Ctrl-C in the terminal.
            for event in (pygame.event.wait(200), *pygame.event.get()):
                self.handle(event)
            self.draw()

    def handle(self, event: "pygame.event.Event") -> None:
        """Handle one pygame event: a key press or the closing of the window; ignore all others."""
        if event.type == pygame.QUIT:
            self.running = False
        if event.type != pygame.KEYDOWN:
            return
        key = pygame.key.name(event.key)
        if key in ("q", "escape"):
            self.running = False
        elif key == "r":
            self._begin()
        elif key == "h":
            self.count_shown = not self.count_shown
        elif key in ACTION_KEYS and not self.ended:
            self._step(ACTION_KEYS[key])

    def close(self) -> None:
        """Close the window and the environment."""
        self.env.close()
        pygame.quit()

    def _begin(self, seed: int | None = None) -> None:
        self.observation, self.info = self.env.reset(seed=seed)
        self.steps = 0
        self.reward: float | None = None
        self.ended = False
        self.succeeded = False
        self.episodes += 1

    def _step(self, action: int) -> None:
        self.observation, reward, terminated, truncated, self.info = self.env.step(action)
        self.steps += 1
        self.reward = float(reward)
        self.ended = terminated or truncated
        if self.info["is_success"] and not self.succeeded:
            self.succeeded = True
            self.successes += 1

    def draw(self) -> None:
        """Draw the whole window and show it."""
        self.window.fill(PAGE)
        self._write(f"Arrive at {_in_words(self.options.target)}", MARGIN, 36, 42)
        self._write("Starting there does not count.", MARGIN, 66, 22, color=MUTED)
        self._draw_picture()
        left = SIDE + 2 * MARGIN
        self._draw_numbers(pygame.Rect(left, TITLE_HEIGHT, PANEL, 218))
        self._draw_message(pygame.Rect(left, TITLE_HEIGHT + 230, PANEL, 72))
        self._draw_keys(pygame.Rect(left, TITLE_HEIGHT + 314, PANEL, SIDE - 314))
        pygame.display.flip()

    def _draw_picture(self) -> None:
        picture = pygame.surfarray.make_surface(enlarge(self.observation, SIDE).swapaxes(0, 1))
        pygame.draw.rect(self.window, LINE, self.picture_area.inflate(2, 2), width=1)
        self.window.blit(picture, self.picture_area)

    def _draw_numbers(self, card: "pygame.Rect") -> None:
        pygame.draw.rect(self.window, CARD, card, border_radius=10)
        left, right = card.left + 18, card.right - 18
        count = str(self.info["count"]) if self.count_shown else "?"
        self._write("Objects", left, card.top + 40, 26, color=MUTED)
        self._write(count, right, card.top + 40, 64, align="right")
        pygame.draw.line(self.window, LINE, (left, card.top + 76), (right, card.top + 76))
        rows = {
            "Steps left": f"{self.max_episode_steps - self.steps} of {self.max_episode_steps}",
            "Last reward": "none yet" if self.reward is None else f"{self.reward:.2f}",
            "Successes": str(self.successes),
            "Episode": str(self.episodes),
        }
        for line, (label, value) in enumerate(rows.items()):
            middle = card.top + 98 + 32 * line
            self._write(label, left, middle, 26, color=MUTED)
            self._write(value, right, middle, 26, align="right")

    def _draw_message(self, card: "pygame.Rect") -> None:
        if self.ended:
            color, headline = (GOOD, "Success!") if self.succeeded else (BAD, "Out of steps")
            advice = "Press R for a new episode"
        elif self.succeeded:
            color, headline, advice = GOOD, "Arrived!", "The episode goes on"
        else:
            color, headline, advice = LINE, "Your move", "Remove or add an object"
        pygame.draw.rect(self.window, CARD, card, border_radius=10)
        pygame.draw.rect(self.window, color, card, width=2, border_radius=10)
        self._write(headline, card.left + 18, card.top + 25, 32, color=INK if color == LINE else color)
        self._write(advice, card.left + 18, card.top + 51, 24, color=MUTED)

    def _draw_keys(self, card: "pygame.Rect") -> None:
        pygame.draw.rect(self.window, CARD, card, border_radius=10)
        rows = {
            "remove": ("Left", "Down", "-"),
            "add": ("Right", "Up", "+"),
            "new episode": ("R",),
            f"{'hide' if self.count_shown else 'show'} the count": ("H",),
            "leave": ("Q", "Esc"),
        }
        for line, (effect, keys) in enumerate(rows.items()):
            left, middle = card.left + 18, card.top + 27 + 36 * line
            for key in keys:
                left = self._draw_key(key, left, middle) + 6
            self._write(effect, card.right - 18, middle, 24, color=MUTED, align="right")

    def _draw_key(self, key: str, left: int, middle: int) -> int:
        """Draw the key cap of ``key`` and return its right edge."""
        cap = pygame.Rect(left, middle - 13, max(28, self._font(22).size(key)[0] + 16), 26)
        pygame.draw.rect(self.window, LINE, cap, border_radius=6)
        self._write(key, cap.centerx, middle, 22, align="center")
        return cap.right

    def _write(self, text: str, x: int, middle: int, size: int, *, color: Color = INK, align: str = "left") -> None:
        """Write one line of text; ``middle`` is its vertical centre, ``x`` its left edge, centre or right edge."""
        line = self._font(size).render(text, True, color)
        area = line.get_rect(centery=middle)
        setattr(area, {"left": "left", "center": "centerx", "right": "right"}[align], x)
        self.window.blit(line, area)

    def _font(self, size: int) -> "pygame.font.Font":
        if size not in self._fonts:
            self._fonts[size] = pygame.font.Font(None, size)
        return self._fonts[size]


def main(argv: Sequence[str] | None = None) -> int:
    """Play until the player leaves.

    Args:
        argv: the command line without the program's name; ``None`` takes the process's own.

    Returns:
        The exit status: 0, or 2 where pygame or a display is missing.

    Raises:
        SystemExit: with status 2, after a message on stderr, if an option is out of range.
    """
    parser = _parser()
    options = vars(parser.parse_args(argv))
    seed, max_episode_steps = options.pop("seed"), options.pop("max_episode_steps")
    try:
        env = gym.make("CountingEnv-v0", max_episode_steps=max_episode_steps, **options)
    except ValueError as error:
        parser.error(str(error))
    with contextlib.suppress(KeyboardInterrupt):
        try:
            viewer = Viewer(env, max_episode_steps, seed)
        except gym.error.Error as error:
            print(error, file=sys.stderr)
            return 2
        with contextlib.closing(viewer):
            viewer.run()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m counting_env.play",
        description="Add and remove objects by hand until the picture shows the target number.",
    )
    sizes = f"{IMAGE_SIZES[0]} to {IMAGE_SIZES[-1]}"
    parser.add_argument(
        "--target",
        type=_parse_target,
        default=Options.target,
        metavar="N",
        help="the rewarded count; several, as 2,6; or counts for shapes, as circle=4,square=2 (default: %(default)s)",
    )
    integers = {
        "max_count": "the largest count",
        "least_count": "the smallest count",
        "image_size": f"height and width of the image in pixels, {sizes}",
    }
    choices = {
        "reward": "1 at the target and elsewhere 0, or minus the distance to it",
        "placement": "draw all places again at each step, or leave the objects where they are",
        "appearance": "one shape and colour for the episode, or one for each object",
        "background": "black, new noise in every frame, a picture that stays, or a pattern that moves",
    }
    for name, meaning in (integers | choices).items():
        parser.add_argument(
            "--" + name.replace("_", "-"),
            type=int if name in integers else str,
            choices=CHOICES.get(name),
            default=getattr(Options, name),
            metavar="N" if name in integers else None,
            help=f"{meaning} (default: %(default)s)",
        )
    parser.add_argument(
        "--no-terminate-on-target",
        dest="terminate_on_target",
        action="store_false",
        help="the episode goes on after arriving at the target",
    )
    parser.add_argument(
        "--wrap", action="store_true", help="adding at the largest count leads to the smallest, and back"
    )
    parser.add_argument(
        "--slip", type=float, default=0.0, metavar="P", help="probability of the other action (default: %(default)s)"
    )
    parser.add_argument(
        "--max-episode-steps",
        type=_at_least(1),
        default=4,
        metavar="N",
        help="steps in an episode (default: %(default)s)",
    )
    parser.add_argument("--seed", type=_at_least(0), metavar="N", help="seed of the first episode (default: random)")
    return parser


def _parse_target(text: str) -> Target:
    """Return the target that the command line names; its range is checked with the other options."""
    try:
        if "=" in text:
            return {shape: int(count) for shape, count in (part.split("=") for part in text.split(","))}
        counts = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither counts nor counts for shapes") from None
    return counts[0] if len(counts) == 1 else counts


def _in_words(target: Target) -> str:
    """Return what the player has to arrive at, such as "2 or 6 objects" or "4 circles, 1 square"."""
    if isinstance(target, Mapping):
        return ", ".join(_some(counts, shape) for shape, counts in target.items())
    return _some(target, "object")


def _some(counts: int | Sequence[int], noun: str) -> str:
    numbers = counts if isinstance(counts, Sequence) else (counts,)
    return f"{' or '.join(map(str, numbers))} {noun}{'' if tuple(numbers) == (1,) else 's'}"


def _at_least(lowest: int) -> Callable[[str], int]:
    """Return an argparse type: an integer of at least ``lowest``."""

    def integer(text: str) -> int:
        value = int(text)
        if value < lowest:
            raise argparse.ArgumentTypeError(f"{value} is not an integer of at least {lowest}")
        return value

    return integer


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # SIGTERM leaves as Ctrl-C does
    sys.exit(main())
