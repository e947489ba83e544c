"""LatentPlanner: a trained JEPA as a policy of Stable-Baselines3, which plans at each step."""

import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from jepa_extractor.checkpoint import load_state, save_state
from jepa_extractor.checks import require_fraction, require_integer, require_type, shown
from jepa_extractor.data.observations import Arrays
from jepa_extractor.data.spaces import as_batch
from jepa_extractor.jepa import JEPA
from jepa_extractor.networks.modules import evaluation_mode
from jepa_extractor.planning.graph import GraphSearch
from jepa_extractor.planning.model import LatentModel, Search, State
from jepa_extractor.planning.mppi import MPPI
from jepa_extractor.planning.saved import built_jepa, jepa_state

KIND = "planner"  # of the state that ``LatentPlanner.save`` saves


class LatentPlanner:
    """Chooses actions by planning with the transition and the heads of a trained JEPA; there is no policy.

    It has Stable-Baselines3's ``predict``, so ``evaluate_policy`` and whatever else takes a model takes a planner. It
    plans anew at each step. A plan is worth its predicted rewards, discounted; after an end that the task ``"end"``
    predicts, if there is one, nothing counts; a Q head, if there is one, says what comes after the horizon.

    ``predict`` costs one pass of the encoder for each observation, and in addition:

    - With ``GraphSearch``, one pass of the transition and the heads for each action of each node. There are at most
      ``1 + (horizon - 1) * width`` nodes. With an accurate transition there are as many as reachable bisimulation
      classes.
    - With ``MPPI``, ``iterations * samples * horizon`` passes of the transition and the heads.

    On CountingEnv with ``horizon=8`` and one processor, one observation takes 3.7 ms, seven to ten times as long as its
    pass through the default encoder; 64 observations take 16 ms, three times as long as theirs.

    Args:
        jepa: trained, with a transition that predicts and the task ``"reward"`` or ``"action_reward"``; that of a
            model of Stable-Baselines3 is ``model.policy.features_extractor.jepa``. It is not changed. A task ``"end"``
            needs a head (..., D) -> (..., 1) that predicts from the latent arrived at whether the episode has ended, as
            a number in [0, 1].
        horizon: steps planned, at least 1.
        discount: discount factor, in [0, 1]; that with which a Q head was trained.
        search: ``GraphSearch`` for discrete actions (``Discrete``, ``MultiDiscrete``, ``MultiBinary``), ``MPPI`` for
            continuous ones (a bounded ``Box``). By default the one that suits the action space. With the ``Machine``
            that ``learned_machine`` made of the JEPA, ``predict`` costs one pass of the encoder.

    Attributes:
        observation_space: that of the JEPA.
        action_space: that of the JEPA.
        jepa: as given.
        horizon: as given.
        model: what plans are made with.

    Raises:
        ValueError: an argument is out of range; the JEPA predicts no reward; the search does not suit the action space;
            there are more discrete actions than its ``width``; or the action space is a ``Box`` without bounds.

    Warns:
        UserWarning: the JEPA was never trained.
    """

    def __init__(self, jepa: JEPA, horizon: int = 8, discount: float = 0.99, search: Search | None = None) -> None:
        require_type("jepa", jepa, JEPA, "that of a model of Stable-Baselines3 is model.policy.features_extractor.jepa")
        require_integer("horizon", horizon, least=1)
        require_fraction("discount", discount)
        self.observation_space = jepa.observation_space
        self.action_space = jepa.action_space
        self.jepa = jepa
        self.horizon = horizon
        self.model = LatentModel(jepa)
        self._discount = discount
        self._search = _suitable(search, jepa.action_space)
        self._plans = self._search.over(self.model, horizon, discount)
        if not jepa.updates and any(True for _ in jepa.transition.parameters()):
            warnings.warn(
                "the JEPA was never trained (jepa.updates is 0), so plans are worth nothing: train it with pretrain, "
                "JEPACallback or jepa.loss",
                stacklevel=2,
            )

    def predict(
        self,
        observation: Arrays,
        state: State = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[Any], State]:
        """Plan, and return the first actions of the best plans.

        Args:
            observation: one, or a batch (n, ...), as the environment or Stable-Baselines3 gives it: images with
                channels first or last; a dict of arrays for a ``Dict`` space.
            state: what the call one step earlier returned. Continuous plans begin from it, discrete ones need none.
            episode_start: bool (n,), whether an episode has begun since, so that its state counts no more.
            deterministic: ``False`` draws a continuous action among the best plans, weighted as in TD-MPC2, instead of
                the best. Discrete actions are the best in either case; the first of equal ones.

        Returns:
            The action, or actions ``(n, *action shape)``, in the dtype of the action space, and the state for the next
            call: a tuple of one array for continuous actions, and what was given for discrete ones.

        Raises:
            ValueError: the observations are not of the JEPA's observation space.
        """
        observations, is_batch = as_batch(observation, self.observation_space)
        latents = torch.from_numpy(self.jepa.encode(observations)).to(self.jepa.device)
        actions, state = self.choose(latents, state, episode_start, deterministic)
        return actions if is_batch else actions[0], state

    def choose(
        self,
        latents: torch.Tensor,
        state: State = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[Any], State]:
        """Return the first actions of the best plans from latents (n, D); otherwise as ``predict``."""
        with torch.no_grad(), evaluation_mode(self.jepa):
            return self._plans.choose(latents, state, episode_start, deterministic)

    def save(self, path: str | Path) -> None:
        """Save the planner and its JEPA in one file, without code; see ``load``.

        Raises:
            ValueError: a network or a task of the JEPA is of the caller's own, not of this package.
            OSError: ``path`` cannot be written.
        """
        save_state(self.state(), path, KIND)

    @classmethod
    def load(cls, path: str | Path) -> "LatentPlanner":
        """Return what ``save`` saved at ``path``, on the CPU. No code of the file is run.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is broken, or holds no planner.
        """
        return cls.from_state(load_state(path, KIND), path)

    def state(self) -> dict[str, Any]:
        """Return the planner as plain values and tensors; raises as ``save``."""
        if not isinstance(self._search, GraphSearch | MPPI):
            raise ValueError(
                f"search is a {type(self._search).__name__}, which a planner's file cannot hold: save a planner "
                "without it, and save_machine a machine"
            )
        settings = {"horizon": self.horizon, "discount": self._discount, "search": asdict(self._search)}
        return {"settings": settings, "jepa": jepa_state(self.jepa)}

    @classmethod
    def from_state(cls, state: dict[str, Any], path: str | Path) -> "LatentPlanner":
        """Return the planner that ``state`` describes, read at ``path``; raises as ``load``."""
        try:
            jepa = built_jepa(state["jepa"])
            settings = dict(state["settings"])
            return cls(jepa, **{**settings, "search": _kind(jepa.action_space)(**settings["search"])})
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise ValueError(f"{path} is broken: save the planner again ({error})") from error


def _suitable(search: Search | None, space: spaces.Space[Any]) -> Search:
    kind = _kind(space)
    if search is None:
        return kind()
    is_other = isinstance(search, GraphSearch | MPPI) and not isinstance(search, kind)
    if is_other or isinstance(search, type) or not hasattr(search, "over"):
        raise ValueError(
            f"search={shown(search)} is not for the actions of {space}: give {kind.__name__}(...), or nothing"
        )
    return search


def _kind(space: spaces.Space[Any]) -> type[GraphSearch] | type[MPPI]:
    return MPPI if isinstance(space, spaces.Box) else GraphSearch
