"""The viewer's window when an agent plays: it shows what the agent foresees beside what happens."""

import contextlib
from time import monotonic
from typing import Any

import gymnasium as gym
import numpy as np

from counting_env.agents import Agent, Foresight, chosen_action
from counting_env.viewer import CARD, INK, LINE, MARGIN, MUTED, PANEL, SIDE, SIZE, TITLE_HEIGHT, Color, Viewer

with contextlib.suppress(ImportError):  # open_window() says what is missing
    import pygame

PACE = 1.0  # seconds between two steps
WIDER = (SIZE[0] + PANEL + MARGIN, SIZE[1])
ROW = 30  # height of a line of the foresight


class AgentViewer(Viewer):
    """A window in which an agent plays one ``CountingEnv``, one step a second, one episode after the other.

    Args:
        env: a ``CountingEnv`` as ``gym.make`` gives it, with the agent's action space.
        max_episode_steps: the time limit of ``env``, shown as steps left.
        agent: what plays; see ``counting_env.agents``.
        seed: seed of the first episode; ``None`` for a random one.

    Attributes:
        paused: whether the agent waits for a key.
        foresight: what it expects now, as its ``imagine`` returned it; ``None`` if it has none.
    """

    def __init__(self, env: gym.Env[Any, Any], max_episode_steps: int, agent: Agent, seed: int | None = None) -> None:
        self.agent = agent
        self.paused = False
        self.foresight: Foresight | None = None
        if hasattr(agent, "imagine"):
            self.size = WIDER
        super().__init__(env, max_episode_steps, seed)

    def run(self) -> None:
        """Let the agent play until the person leaves."""
        self._due = monotonic() + PACE
        self.draw()
        while self.running:
            for event in (pygame.event.wait(50), *pygame.event.get()):  # the timeout is the clock's precision
                self.handle(event)
            if not self.paused and monotonic() >= self._due:
                self.advance()
            self.draw()

    def advance(self) -> None:
        """Make the agent's next step, or begin an episode where one is over.

        Raises:
            AgentError: the agent's action is not one of the environment's.
        """
        self._due = monotonic() + PACE
        if self.ended:
            self._begin()
        else:
            self._step(chosen_action(self.agent, self.observation, self.env.action_space))
            self._foresee()

    def _on_key(self, key: str) -> None:
        if key == "space":
            self.paused = not self.paused
        elif key == "right":
            self.paused = True
            self.advance()

    def _begin(self, seed: int | None = None) -> None:
        super()._begin(seed)
        self._due = monotonic() + PACE
        self._foresee()

    def _foresee(self) -> None:
        if hasattr(self.agent, "imagine"):
            self.foresight = self.agent.imagine(self.observation)

    def _message(self) -> tuple[Color, str, str]:
        color, headline, advice = super()._message()
        advice = "Paused" if self.paused else "The agent plays"
        return (color, headline, advice) if self.ended or self.succeeded else (color, "The agent's move", advice)

    def _keys(self) -> dict[str, tuple[str, ...]]:
        own = {"go on" if self.paused else "pause": ("Space",), "one step": ("Right",)}
        return {**own, **{effect: keys for effect, keys in super()._keys().items() if effect not in ("remove", "add")}}

    def _draw_cards(self) -> None:
        super()._draw_cards()
        if self.foresight is None:
            return
        card = pygame.Rect(SIDE + PANEL + 3 * MARGIN, TITLE_HEIGHT, PANEL, SIDE)
        pygame.draw.rect(self.window, CARD, card, border_radius=10)
        self._write("The agent imagines", card.left + 18, card.top + 26, 26, color=MUTED)
        pygame.draw.line(self.window, LINE, (card.left + 18, card.top + 46), (card.right - 18, card.top + 46))
        shown = min(1 + self.max_episode_steps - self.steps, (SIDE - 60) // ROW)
        for line, (action, text) in enumerate(self.foresight[:shown]):
            middle = card.top + 66 + ROW * line
            self._write(_verb(action), card.left + 18, middle, 26, color=MUTED)
            self._write(text, card.right - 18, middle, 26, color=INK, align="right")


def _verb(action: Any) -> str:
    if action is None:
        return "now"
    number = np.asarray(action).reshape(-1)[0]
    return "add" if (number >= 0 if isinstance(number, np.floating) else number > 0) else "remove"
