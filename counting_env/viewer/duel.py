"""You against the agent: both play the same episodes, step by step."""

import contextlib
from copy import deepcopy
from typing import Any

import gymnasium as gym
import numpy as np

from counting_env.viewer.agents import Agent, chosen_action
from counting_env.viewer.canvas import BIG, LINE, MEDIUM, MUTED, SIZE, SMALL, Canvas
from counting_env.viewer.game import Game
from counting_env.viewer.window import BAD, GAP, GOOD, MARGIN, Message, Viewer

with contextlib.suppress(ImportError):  # open_window() says what is missing
    import pygame

PICTURE = 160  # side of the agent's picture


class DuelViewer(Viewer):
    """A window in which a person and an agent play the same episodes: the agent answers each of the person's steps.

    Args:
        env: a ``CountingEnv`` as ``gym.make`` gives it, with the agent's action space.
        max_episode_steps: the time limit of ``env``, shown as steps left.
        agent: what plays against the person; see ``counting_env.viewer.agents``.
        seed: seed of the first episode, and of the seeds of all others; ``None`` for a random one.
        canvas: what to draw on; ``None`` opens a window.

    Attributes:
        rival: the ``Game`` of the agent.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        max_episode_steps: int,
        agent: Agent,
        seed: int | None = None,
        canvas: Canvas | None = None,
    ) -> None:
        self.agent = agent
        self._seeds = np.random.default_rng(seed)
        first = self._draw_seed() if seed is None else seed
        super().__init__(env, max_episode_steps, first, canvas)
        self.rival = Game(deepcopy(env), max_episode_steps, first)

    def begin(self) -> None:
        """Begin the next episode of both, from one seed; what the agent has begun it ends first."""
        while self.rival.steps and not self.rival.ended:
            self._answer()
        seed = self._draw_seed()
        self.game.begin(seed)
        self.rival.begin(seed)

    def step(self, action: int) -> None:
        """Make the person's step, and one of the agent; all of them where the person's episode is over.

        Raises:
            AgentError: the agent's action is not one of the environment's.
        """
        super().step(action)
        self._answer()
        while self.game.ended and not self.rival.ended:
            self._answer()

    def _answer(self) -> None:
        if not self.rival.ended:
            self.rival.step(chosen_action(self.agent, self.rival.observation, self.rival.env.action_space))

    def _draw_seed(self) -> int:
        return int(self._seeds.integers(2**31))

    def _message(self) -> Message:
        message = super()._message()
        return message._replace(advice=self._comparison()) if self.game.ended else message

    def _comparison(self) -> str:
        if not self.rival.succeeded:
            return "The agent did not" if self.game.succeeded else "Nor did the agent"
        if not self.game.succeeded:
            return f"The agent made it in {self.rival.steps} step{'' if self.rival.steps == 1 else 's'}"
        ahead = self.rival.steps - self.game.steps
        return "You were faster" if ahead > 0 else "The agent was faster" if ahead else "As fast as the agent"

    def _hint(self) -> str:
        return "The agent gets the same pictures. Who is faster?"

    def _draw_score(self) -> None:
        right = SIZE[0] - MARGIN
        for label, game, middle in (("you", self.game, right - 250), ("the agent", self.rival, right - 76)):
            successes, episodes = game.score
            self.canvas.write(f"{successes} of {episodes}", middle, 40, BIG, align="center", width=150)
            self.canvas.write(label, middle, 80, SMALL, color=MUTED, align="center")

    def _draw_numbers(self, card: "pygame.Rect") -> None:
        own = card.copy()
        own.width = (card.width - GAP) // 2
        super()._draw_numbers(own)
        other = own.move(own.width + GAP, 0)
        self.canvas.card(other)
        area = pygame.Rect(other.right - PICTURE - 16, other.top + 16, PICTURE, PICTURE)
        color, sign, text = LINE, None, f"step {self.rival.steps}"
        if self.rival.succeeded:
            color, sign, text = GOOD, "tick", "arrived"
        elif self.rival.ended:
            color, sign, text = BAD, "cross", "too late"
        self.canvas.picture(self.rival.observation, area, color)
        left, width = other.left + 18, area.left - other.left - 30
        self.canvas.write("The agent", left, other.top + 40, MEDIUM, color=MUTED, width=width)
        self.canvas.write(text, left, other.top + 76, MEDIUM, width=width)
        if sign:
            self.canvas.sign(sign, (left + 24, other.top + 132), 48, color)
