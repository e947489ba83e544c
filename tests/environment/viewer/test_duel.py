"""You against the agent: the same episodes, the score of both, and who was faster."""

import gymnasium as gym
import numpy as np
import pytest

from counting_env.viewer.duel import DuelViewer

pytest.importorskip("pygame")


class Adds:
    """An agent that always adds, or always removes."""

    def __init__(self, action=1):
        self.action = action

    def predict(self, observation):
        return self.action, None


@pytest.fixture
def duel(screen):
    """A function that opens a duel on a start with ``count`` objects; the first screen is over."""

    def open_window(count, action=1, **options):
        env = gym.make("CountingEnv-v0", max_episode_steps=4, **options)
        seed = next(seed for seed in range(999) if env.reset(seed=seed)[1]["count"] == count)
        viewer = DuelViewer(env, 4, Adds(action), seed)
        viewer.welcoming = False
        return viewer

    return open_window


def test_both_play_the_same_episodes(duel, press):
    """They begin with the same picture, and equal actions lead to equal ones; the next episode likewise."""
    viewer = duel(1)
    for _ in range(3):
        assert viewer.game.observation.tobytes() == viewer.rival.observation.tobytes()
        assert not viewer.game.ended
        press(viewer, "UP")
        assert viewer.game.observation.tobytes() == viewer.rival.observation.tobytes()
        assert (viewer.game.steps, viewer.rival.steps) == (1, 1)
        press(viewer, "r")
        assert (viewer.game.steps, viewer.rival.steps) == (0, 0)


@pytest.mark.parametrize(
    ("count", "action", "keys", "said"),
    [
        (3, 1, ["UP"], "As fast as the agent"),
        (3, 0, ["UP"], "The agent did not"),
        (2, 1, ["UP", "DOWN", "UP", "UP"], "The agent was faster"),
        (3, 1, ["DOWN"] * 4, "The agent made it in 1 step"),
        (2, 1, ["DOWN"] * 4, "The agent made it in 2 steps"),
        (7, 1, ["UP"] * 4, "Nor did the agent"),
    ],
)
def test_who_was_faster(duel, press, shows, count, action, keys, said):
    """At the end of the person's episode the agent's ends too, and the window compares them."""
    viewer = duel(count, action)
    press(viewer, *keys)
    assert viewer.game.ended
    assert viewer.rival.ended
    assert shows(said)
    assert not shows("Your move")


def test_the_person_may_be_faster(duel, press, shows):
    """An agent that loses a step is behind."""
    viewer = duel(3)
    actions = iter([0, 1, 1])
    viewer.agent.predict = lambda observation: (next(actions), None)
    press(viewer, "UP")
    assert (viewer.rival.steps, viewer.rival.succeeded) == (3, True)
    assert shows("You were faster")


def test_the_scores_of_both(duel, press, shows):
    """Each has a score of its own; the agent ends what it has begun when the person gives up."""
    viewer = duel(2)
    press(viewer, "DOWN", "r")
    assert (viewer.game.score, viewer.rival.score) == ((0, 1), (1, 1))
    for text in ("you", "the agent", "0 of 1", "1 of 1"):
        assert shows(text), text
    assert not shows("in a row")


@pytest.mark.parametrize(
    ("count", "keys", "said"), [(2, ["UP"], "step 1"), (3, ["DOWN"], "arrived"), (7, ["UP"] * 4, "too late")]
)
def test_how_far_the_agent_is(duel, press, shows, count, keys, said):
    viewer = duel(count)
    press(viewer, *keys)
    assert shows(said)
    assert not shows("Objects") or shows("The agent")


def test_continuous_actions(duel, press):
    """Where the agent's actions are numbers, the person's keys become numbers too."""
    viewer = duel(6, np.array([-0.5], np.float32), continuous=True)
    press(viewer, "UP", "DOWN")
    assert (viewer.game.info["count"], viewer.rival.info["count"]) == (6, 4)


def test_episodes_repeat_with_the_seed(duel, press):
    """The seed decides the first episode and all that follow."""
    pictures = []
    for _ in range(2):
        viewer = duel(7)
        pictures.append(viewer.game.observation.tobytes())
        press(viewer, "r")
        pictures.append(viewer.game.observation.tobytes())
    assert pictures[:2] == pictures[2:]
    assert pictures[0] != pictures[1]
