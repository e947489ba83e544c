"""The viewer as an exhibit, which runs all day: visitors play against the agent, and without them the agent plays."""

import contextlib
from copy import deepcopy
from time import monotonic
from typing import Any

import gymnasium as gym

from counting_env.viewer.agents import Agent
from counting_env.viewer.controls import Intent
from counting_env.viewer.duel import DuelViewer
from counting_env.viewer.game import Game
from counting_env.viewer.watch import AgentViewer

with contextlib.suppress(ImportError):  # open_window() says what is missing
    import pygame

KEPT = (Intent.LEAVE, Intent.FULL_SCREEN, Intent.RECORD)  # from visitors


class Kiosk(DuelViewer):
    """A full screen on which visitors play against the agent; after a while without any, the agent plays alone.

    Nothing leads out but Ctrl, Shift and Q together; Ctrl-C in the terminal and SIGTERM do too.

    Args:
        env: a ``CountingEnv`` as ``gym.make`` gives it, with the agent's action space.
        max_episode_steps: the time limit of ``env``.
        agent: what plays; see ``counting_env.viewer.agents``.
        idle: seconds without an input after which the agent plays alone.
        seed: seed of the first episode; ``None`` for a random one.

    Attributes:
        watcher: the agent's own window while it plays alone, otherwise ``None``.
    """

    patience = 50

    def __init__(
        self,
        env: gym.Env[Any, Any],
        max_episode_steps: int,
        agent: Agent,
        idle: float = 30.0,
        seed: int | None = None,
    ) -> None:
        super().__init__(env, max_episode_steps, agent, seed)
        self.kiosk = True
        self.idle = idle
        self.watcher: AgentViewer | None = None
        self.canvas.toggle_full_screen()

    def run(self) -> None:
        """Show the first screen, and go on until the chord."""
        self._last = monotonic()
        super().run()

    def handle(self, event: "pygame.event.Event") -> None:
        """Do what a visitor asks for. While the agent plays alone, any input leads to the first screen."""
        if _is_chord(event):
            self.running = False
            return
        intent = self.controls.intent(event)
        if intent is not None or event.type in (pygame.KEYDOWN, pygame.MOUSEBUTTONDOWN):
            self._last = monotonic()
            if self.watcher is not None:
                self._welcome()
            elif intent is not None and intent not in KEPT:
                self.want(intent)

    def tick(self) -> None:
        """Let the agent play, if nobody else does."""
        if self.watcher is not None:
            self.watcher.tick()
        elif monotonic() >= self._last + self.idle:
            env = deepcopy(self.game.env)
            self.watcher = AgentViewer(env, self.game.max_episode_steps, self.agent, canvas=self.canvas)
            self.watcher.kiosk = True

    def draw(self) -> None:
        """Draw the whole window and show it."""
        if self.watcher is None:
            super().draw()
        else:
            self.watcher.draw()

    def _welcome(self) -> None:
        """Begin for the next visitor, with the score at zero."""
        self.watcher, self.welcoming, self.count_shown = None, True, False
        seed = self._draw_seed()
        self.game, self.rival = (Game(game.env, game.max_episode_steps, seed) for game in (self.game, self.rival))


def _is_chord(event: "pygame.event.Event") -> bool:
    held = pygame.KMOD_CTRL, pygame.KMOD_SHIFT
    return event.type == pygame.KEYDOWN and event.key == pygame.K_q and all(event.mod & key for key in held)
