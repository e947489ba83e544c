"""The viewer's window when an agent plays: it shows what the agent foresees beside what happens."""

import contextlib
from time import monotonic
from typing import Any

import gymnasium as gym
import numpy as np

from counting_env.viewer.agents import Agent, Foresight, chosen_action
from counting_env.viewer.canvas import LINE, MEDIUM, MUTED, SMALL, Button
from counting_env.viewer.controls import Intent
from counting_env.viewer.window import GAP, Message, Viewer

with contextlib.suppress(ImportError):  # open_window() says what is missing
    import pygame

PACE = 1.0  # seconds between two steps
ROW = 30  # height of a line of the foresight


class AgentViewer(Viewer):
    """A window in which an agent plays one ``CountingEnv``, one step a second, one episode after the other.

    Args:
        env: a ``CountingEnv`` as ``gym.make`` gives it, with the agent's action space.
        max_episode_steps: the time limit of ``env``, shown as steps left.
        agent: what plays; see ``counting_env.viewer.agents``.
        seed: seed of the first episode; ``None`` for a random one.

    Attributes:
        paused: whether the agent waits for a key.
        foresight: what it expects now, as its ``imagine`` returned it; ``None`` if it has none.
    """

    def __init__(self, env: gym.Env[Any, Any], max_episode_steps: int, agent: Agent, seed: int | None = None) -> None:
        self.agent = agent
        self.paused = False
        self.foresight: Foresight | None = None
        super().__init__(env, max_episode_steps, seed)
        self.welcoming = False  # there is nothing to learn before one watches
        self._foresee()
        if self.foresight is not None:
            self.panel.width = (self.panel.width - GAP) // 2

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
            self.game.begin()
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
        word = "go on" if self.paused else "pause"
        return [Button(word, word, ("Space",), Intent.GO_ON), Button("step", "one step", ("right",), Intent.ADD)]

    def _draw_game(self) -> None:
        super()._draw_game()
        if self.foresight is None:
            return
        card = self.panel.move(self.panel.width + GAP, 0)
        left, right = card.left + 18, card.right - 18
        self.canvas.card(card)
        self.canvas.write("The agent imagines", left, card.top + 32, MEDIUM, color=MUTED)
        pygame.draw.line(self.canvas.surface, LINE, (left, card.top + 56), (right, card.top + 56))
        shown = min(1 + self.game.max_episode_steps - self.game.steps, (card.height - 70) // ROW)
        for line, (action, text) in enumerate(self.foresight[:shown]):
            middle = card.top + 78 + ROW * line
            self.canvas.write(_verb(action), left, middle, SMALL, color=MUTED)
            self.canvas.write(text, right, middle, SMALL, align="right", width=card.width - 120)


def _verb(action: Any) -> str:
    if action is None:
        return "now"
    number = np.asarray(action).reshape(-1)[0]
    return "add" if (number >= 0 if isinstance(number, np.floating) else number > 0) else "remove"
