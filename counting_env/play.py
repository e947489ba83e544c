"""Play CountingEnv by hand in a pygame window: ``python -m counting_env.play``.

Left, Down or - removes an object; Right, Up, + or = adds one; Space or Enter starts, and leads to the next episode.
R starts a new episode at any time; H shows or hides the count, which otherwise appears at the end; G begins a
recording, and a second G writes it to a GIF in the working directory; F11 fills the screen; Q, Esc or closing the
window leaves, as Ctrl-C and SIGTERM do.

A click or a touch on a button of the window does the same. On a gamepad the cross and the left stick remove and add, as
do the left and the right one of the four buttons at the thumb; every other button starts and goes on.

With --agent an agent plays, and the window shows what it foresees; counting_env.viewer.agents tells what an agent is.
Space pauses and goes on; Right makes one step. With --duel the agent plays against you, on the same pictures.

With --kiosk visitors of an exhibition play against the agent on the whole screen. After a while without input the agent
plays alone, until somebody comes. Ctrl, Shift and Q together leave.
"""

import argparse
import contextlib
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym

from counting_env.checks import Target
from counting_env.options import CHOICES, IMAGE_SIZES, Options
from counting_env.viewer.agents import Agent, AgentError, find_agent, has_numbers, require_fit
from counting_env.viewer.duel import DuelViewer
from counting_env.viewer.kiosk import Kiosk
from counting_env.viewer.watch import AgentViewer
from counting_env.viewer.window import Viewer


def main(argv: Sequence[str] | None = None) -> int:
    """Play until the player leaves.

    Args:
        argv: the command line without the program's name; ``None`` takes the process's own.

    Returns:
        The exit status: 0, or 2 where pygame or a display is missing, or an agent's action is none of the environment.

    Raises:
        SystemExit: with status 2, after a message on stderr, if an option is out of range, or the agent does not fit.
    """
    parser = _parser()
    options = vars(parser.parse_args(argv))
    own = {key: options.pop(key) for key in ("seed", "max_episode_steps", "agent", "duel", "kiosk", "idle")}
    name, limit = own["agent"], own["max_episode_steps"]
    if name is None and (own["duel"] or own["kiosk"]):
        name = "demo"
    try:
        agent = None if name is None else find_agent(name)
        continuous = agent is not None and has_numbers(agent)
        env = gym.make("CountingEnv-v0", max_episode_steps=limit, continuous=continuous, **options)
        if agent is not None:
            require_fit(agent, env)
    except ValueError as error:
        parser.error(str(error))
    with contextlib.suppress(KeyboardInterrupt):
        try:
            viewer = _viewer(env, agent, own)
        except gym.error.Error as error:
            print(error, file=sys.stderr)
            return 2
        with contextlib.closing(viewer):
            try:
                viewer.run()
            except AgentError as error:
                print(error, file=sys.stderr)
                return 2
    return 0


def _viewer(env: gym.Env[Any, Any], agent: Agent | None, own: dict[str, Any]) -> Viewer:
    """Return the window that the viewer's ``own`` options ask for."""
    limit, seed = own["max_episode_steps"], own["seed"]
    if agent is None:
        return Viewer(env, limit, seed)
    if own["kiosk"]:
        return Kiosk(env, limit, agent, own["idle"], seed)
    return (DuelViewer if own["duel"] else AgentViewer)(env, limit, agent, seed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m counting_env.play",
        description="Add and remove objects by hand until the picture shows the target number.",
        epilog=(__doc__ or "").partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
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
    parser.add_argument(
        "--agent",
        metavar="AGENT",
        help="who plays: demo, package.module:attribute, file.py:attribute or a saved planner (default: you)",
    )
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--duel", action="store_true", help="you play against the agent (default: demo)")
    ways.add_argument("--kiosk", action="store_true", help="an exhibit: as --duel, on the whole screen, all day")
    parser.add_argument(
        "--idle",
        type=_at_least(1),
        default=30,
        metavar="N",
        help="seconds without input after which a kiosk's agent plays alone (default: %(default)s)",
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
