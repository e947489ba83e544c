"""The viewer's window when an agent plays: beside what happens it shows what the agent foresees."""

import contextlib
import re
from time import monotonic
from typing import Any

import gymnasium as gym
import numpy as np

from counting_env.viewer.agents import Agent, Foresight, chosen_action
from counting_env.viewer.canvas import INK, LARGE, MEDIUM, MUTED, PAGE, SIZE, SMALL, Button, Canvas
from counting_env.viewer.controls import Intent
from counting_env.viewer.window import GAP, GOOD, MARGIN, STRIP, Message, Viewer

with contextlib.suppress(ImportError):  # open_window() says what is missing
    import pygame

PACE = 1.0  # seconds between two steps
ROW, HEAD = 88, 60  # heights of a future, and of what stands above them


class AgentViewer(Viewer):
    """A window in which an agent plays one ``CountingEnv``, one step a second, one episode after the other.

    Args:
        env: a ``CountingEnv`` as ``gym.make`` gives it, with the agent's action space.
        max_episode_steps: the time limit of ``env``, shown as steps left.
        agent: what plays; see ``counting_env.viewer.agents``.
        seed: seed of the first episode; ``None`` for a random one.
        canvas: what to draw on; ``None`` opens a window.

    Attributes:
        paused: whether the agent waits for a key.
        foresight: what it expects now, as its ``imagine`` returned it; ``None`` if it has none.
    """

    patience = 50

    def __init__(
        self,
        env: gym.Env[Any, Any],
        max_episode_steps: int,
        agent: Agent,
        seed: int | None = None,
        canvas: Canvas | None = None,
    ) -> None:
        self.agent = agent
        self.paused = False
        self.foresight: Foresight | None = None
        super().__init__(env, max_episode_steps, seed, canvas)
        self.welcoming = False  # there is nothing to learn before one watches
        self.count_shown = True
        self._due = monotonic() + PACE
        self._foresee()
        if self.foresight is not None:
            self.panel.width = (self.panel.width - GAP) // 2

    def run(self) -> None:
        """Let the agent play until the person leaves."""
        self._due = monotonic() + PACE
        super().run()

    def tick(self) -> None:
        """Make the agent's next step, if it is time."""
        if not self.paused and monotonic() >= self._due:
            self.advance()

    def advance(self) -> None:
        """Make the agent's next step, or begin an episode where one is over.

        Raises:
            AgentError: the agent's action is not one of the environment's.
        """
        self._due = monotonic() + PACE
        if self.game.ended:
            self.game.begin()
        else:
            self.game.step(chosen_action(self.agent, self.game.observation, self.game.env.action_space))
        self._foresee()

    def _play(self, intent: Intent) -> None:
        if intent is Intent.GO_ON:
            self.paused = not self.paused
        elif intent is Intent.ADD:
            self.paused = True
            self.advance()
        elif intent is Intent.NEW_EPISODE:
            self.begin()
            self._due = monotonic() + PACE
            self._foresee()

    def _foresee(self) -> None:
        if hasattr(self.agent, "imagine"):
            self.foresight = self.agent.imagine(self.game.observation)

    def _message(self) -> Message:
        advice = "Paused" if self.paused else "The agent plays"
        message = super()._message()._replace(advice=advice, button=None)
        return message if message.sign else message._replace(headline="The agent's move")

    def _large_buttons(self) -> list[Button]:
        if self.kiosk:
            return [Button("go on", "your turn", ("Space",), Intent.GO_ON)]
        word = "go on" if self.paused else "pause"
        return [Button(word, word, ("Space",), Intent.GO_ON), Button("step", "one step", ("right",), Intent.ADD)]

    def _draw_game(self) -> None:
        super()._draw_game()
        if self.foresight is None:
            return
        card = self.panel.move(self.panel.width + GAP, 0)
        self.canvas.card(card)
        self.canvas.write("The agent imagines", card.left + 18, card.top + 32, MEDIUM, color=MUTED)
        row = pygame.Rect(card.left + 12, card.top + HEAD, card.width - 24, ROW - GAP)
        most = min(1 + self.game.max_episode_steps - self.game.steps, (card.height - HEAD) // ROW)
        for step, (action, text) in enumerate(self.foresight[:most]):
            number = re.match(r"\d+\b", text)
            arrives = step > 0 and number is not None and self.game.rewards(int(number[0]))
            self._draw_future(row, action, text, arrives)
            if arrives:
                break
            row = row.move(0, ROW)

    def _draw_strip(self) -> None:
        if not self.kiosk:
            super()._draw_strip()
            return
        middle = SIZE[0] // 2, SIZE[1] - MARGIN - STRIP // 2
        self.canvas.write("Touch anything, or press any key: it is your turn.", *middle, LARGE, align="center")

    def _draw_future(self, row: "pygame.Rect", action: Any, text: str, arrives: bool) -> None:
        """Draw what the agent expects to see after ``action``; a number as so many dots, with a tick at the goal."""
        color = GOOD if arrives else INK
        self.canvas.card(row, PAGE, GOOD if arrives else None)
        if action is None:
            self.canvas.write("now", row.left + 12, row.centery, SMALL, color=MUTED)
        else:
            self.canvas.sign(_sign(action), (row.left + 32, row.centery), 32)
        left, right = row.left + 64, row.right - 14
        number = re.match(r"(\d+)\b[, ]*", text)
        if number is None:
            self.canvas.write(text, right, row.centery, LARGE, color=color, align="right", width=right - left)
            return
        self.canvas.dots(int(number[1]), pygame.Rect(left, row.top + 6, right - left - 112, row.height - 12), color)
        rest = text[number.end() :]
        middle = row.centery - (14 if rest else 0)
        self.canvas.write(number[1], right - 36 * arrives, middle, LARGE, color=color, align="right")
        if rest:
            self.canvas.write(rest, right, row.centery + 22, SMALL, color=MUTED, align="right", width=110)
        if arrives:
            self.canvas.sign("tick", (right - 14, middle), 28, GOOD)


def _sign(action: Any) -> str:
    number = np.asarray(action).reshape(-1)[0]
    return "plus" if (number >= 0 if isinstance(number, np.floating) else number > 0) else "minus"
