"""LatentPlanner: a trained JEPA as a policy of Stable-Baselines3, which plans at each step."""

import itertools
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import nn

from jepa_extractor.checkpoint import load_state, save_state
from jepa_extractor.checks import require_fraction, require_integer, require_type, require_weight
from jepa_extractor.data.observations import Arrays, length
from jepa_extractor.data.spaces import as_batch
from jepa_extractor.jepa import JEPA
from jepa_extractor.networks.modules import evaluation_mode
from jepa_extractor.planning.graph import search
from jepa_extractor.planning.model import LatentModel
from jepa_extractor.planning.mppi import MPPI
from jepa_extractor.planning.saved import KIND, built_jepa, jepa_state

State = tuple[NDArray[Any], ...] | None


class LatentPlanner:
    """Chooses actions by planning with the transition and the heads of a trained JEPA; there is no policy.

    It has Stable-Baselines3's ``predict``, so ``evaluate_policy`` and whatever else takes a model takes a planner. It
    plans anew at each step. A plan is worth its predicted rewards, discounted; after an end that the task ``"end"``
    predicts, if there is one, nothing counts; a Q head, if there is one, says what comes after the horizon.

    Discrete actions (``Discrete``, ``MultiDiscrete``, ``MultiBinary``) are searched breadth first, in a graph whose
    nodes are latents: latents that are close count as one node. Continuous ones (a bounded ``Box``) are sampled by
    model predictive path integral control, as in TD-MPC2 (arXiv 2310.16828).

    ``predict`` costs one pass of the encoder for each observation, and in addition:

    - For discrete actions, one pass of the transition and the heads for each action of each node. There are at most
      ``1 + (horizon - 1) * width`` nodes. Where the transition is accurate, there are as many as classes of a
      bisimulation within ``horizon`` steps.
    - For continuous actions, ``iterations * samples * horizon`` passes of the transition and the heads.

    On CountingEnv with ``horizon=8`` and one processor, one observation takes 3.7 ms, seven to ten times as long as its
    pass through the default encoder; 64 observations take 16 ms, three times as long as theirs.

    Args:
        jepa: trained, with a transition that predicts and the task ``"reward"`` or ``"action_reward"``; a
            model of Stable-Baselines3 has it as ``model.policy.features_extractor.jepa``. It is not
            changed. A task ``"end"`` needs a head (..., D) -> (..., 1) that predicts from the latent arrived at whether
            the episode has ended, as a number in [0, 1].
        horizon: steps planned, at least 1.
        discount: discount factor, in [0, 1]; that with which a Q head was trained.
        width: discrete actions: new nodes kept at each depth, the best by predicted return; at least the number of
            actions. While no depth has more, no sequence is left out.
        tolerance: discrete actions, at least 0. A latent that is predicted from a node z counts as a node that exists
            already if their distance is at most ``tolerance`` times the longest step that any action makes from z (or
            times a tenth of the longest step in the graph, if that is more). With 0, only equal latents count as one.
        samples: continuous actions: sequences drawn in each iteration, at least ``elites``.
        elites: continuous actions: the best of the sequences, which decide where the next ones are drawn; at least 1.
        iterations: continuous actions: how often sequences are drawn, at least 1.
        seed: of the random numbers, at least 0.

    Attributes:
        observation_space: that of the JEPA.
        action_space: that of the JEPA.

    Raises:
        ValueError: an argument is out of range; the JEPA predicts no reward; there are more discrete actions than
            ``width``; or the action space is a ``Box`` without bounds.

    Warns:
        UserWarning: the JEPA's transition was never trained.
    """

    def __init__(
        self,
        jepa: JEPA,
        horizon: int = 8,
        discount: float = 0.99,
        width: int = 256,
        tolerance: float = 0.25,
        samples: int = 512,
        elites: int = 64,
        iterations: int = 6,
        seed: int = 0,
    ) -> None:
        require_type("jepa", jepa, JEPA, "that of a model of Stable-Baselines3 is model.policy.features_extractor.jepa")
        require_integer("horizon", horizon, least=1)
        require_fraction("discount", discount)
        require_integer("width", width, least=1)
        require_weight("tolerance", tolerance)
        require_integer("elites", elites, least=1)
        require_integer("samples", samples, least=elites)
        require_integer("iterations", iterations, least=1)
        require_integer("seed", seed, least=0)
        self.observation_space = jepa.observation_space
        self.action_space = jepa.action_space
        self._jepa = jepa
        self._model = LatentModel(jepa)
        self._graph = (horizon, discount, width, tolerance)
        self._settings = {
            "horizon": horizon,
            "discount": discount,
            "width": width,
            "tolerance": tolerance,
            "samples": samples,
            "elites": elites,
            "iterations": iterations,
            "seed": seed,
        }
        self._named_latents, self._names = torch.empty(0, jepa.latent_dim), list[str]()
        self._draws = torch.Generator().manual_seed(seed)  # of actions that are not deterministic
        if isinstance(self.action_space, spaces.Box):
            if not self.action_space.is_bounded():
                raise ValueError(f"action_space={self.action_space} has no bounds: wrap the environment to have some")
            self._mppi = MPPI(
                self._model, self._features_of_scaled, horizon, discount, samples, elites, iterations, seed
            )
        else:
            self._actions = _all_actions(self.action_space, width)
            self._all_features = self._features(torch.from_numpy(self._actions))
        if _is_untrained(jepa.transition):
            warnings.warn(
                "the JEPA's transition was never trained, so plans are worth nothing: train it with pretrain or "
                "JEPACallback, and dynamics_weight above 0",
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
        with torch.no_grad(), evaluation_mode(self._jepa):
            actions, state = self._choose(self._encoded(observations), state, episode_start, deterministic)
        return actions if is_batch else actions[0], state

    def imagine(self, observation: Arrays) -> list[tuple[NDArray[Any] | None, str]]:
        """Return what the planner foresees: ``horizon`` steps as it would act, were all its predictions true.

        There are fewer steps if an end is predicted with a probability above 0.5.

        Args:
            observation: one, as for ``predict``.

        Returns:
            For each step its action and a text: the name of the latent arrived at, if names were given, and the
            predicted reward. The first entry has ``None`` in place of an action, and the name of what is seen now.

        Raises:
            ValueError: the observation is a batch, or not of the JEPA's observation space.
        """
        observations, is_batch = as_batch(observation, self.observation_space)
        if is_batch:
            raise ValueError(f"observation is a batch of {length(observations)}: give one of them")
        state: State = None
        with torch.no_grad(), evaluation_mode(self._jepa):
            latents = self._encoded(observations)
            foreseen: list[tuple[NDArray[Any] | None, str]] = [(None, self._name(latents))]
            for _ in range(self._graph[0]):
                actions, state = self._choose(latents, state, None, deterministic=True)
                predicted = self._model.predict(latents, self._features(torch.from_numpy(actions)))
                latents = predicted.latents
                reward = f"reward {predicted.rewards.item():.1f}".replace("-0.0", "0.0")
                foreseen.append((actions[0], ", ".join(filter(None, (self._name(latents), reward)))))
                if predicted.going_on.item() < 0.5:
                    break
        return foreseen

    def name_latents(self, observations: Arrays, names: Sequence[object] | NDArray[Any]) -> None:
        """Give names, such as counts, by which ``imagine`` reads a latent: it takes that of the nearest named one.

        Args:
            observations: (N, ...), as for ``predict``.
            names: of each observation, (N,), strings or numbers; several may have the same.

        Raises:
            ValueError: the observations are no batch of the JEPA's space, or there is not one name for each.
        """
        batch, is_batch = as_batch(observations, self.observation_space)
        if not is_batch or len(names) != length(batch):
            raise ValueError(f"names has {len(names)} entries for {length(batch)} observations: give one for each")
        with torch.no_grad(), evaluation_mode(self._jepa):
            self._named_latents = self._encoded(batch)
        self._names = [str(name) for name in names]

    def save(self, path: str | Path) -> None:
        """Save the planner, its JEPA and its names in one file, without code; see ``load``.

        Raises:
            ValueError: a network or a task of the JEPA is of the caller's own, not of this package.
            OSError: ``path`` cannot be written.
        """
        state = {
            "settings": self._settings,
            "jepa": jepa_state(self._jepa),
            "named_latents": self._named_latents,
            "names": self._names,
        }
        save_state(state, Path(path), KIND)

    @classmethod
    def load(cls, path: str | Path) -> "LatentPlanner":
        """Return what ``save`` saved at ``path``, on the CPU. No code of the file is run.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is broken, or holds no planner.
        """
        state = load_state(Path(path), KIND)
        planner = cls(built_jepa(state["jepa"]), **state["settings"])
        planner._named_latents, planner._names = state["named_latents"], state["names"]
        return planner

    def _encoded(self, observations: Arrays) -> torch.Tensor:
        latents = torch.from_numpy(self._jepa.encode(observations))
        return latents.to(self._jepa.device)

    def _name(self, latents: torch.Tensor) -> str:
        """Return the name of the named latent nearest to the only one of ``latents`` (1, D)."""
        return self._names[int(torch.cdist(latents, self._named_latents).argmin())] if self._names else ""

    def _choose(
        self, latents: torch.Tensor, state: State, episode_start: NDArray[np.bool_] | None, deterministic: bool
    ) -> tuple[NDArray[Any], State]:
        if isinstance(self.action_space, spaces.Box):
            return self._sample(latents, state, episode_start, deterministic)
        values = search(self._model, latents, self._all_features, *self._graph)
        return self._actions[values.argmax(1)].astype(self.action_space.dtype), state

    def _sample(
        self, latents: torch.Tensor, state: State, episode_start: NDArray[np.bool_] | None, deterministic: bool
    ) -> tuple[NDArray[Any], State]:
        space = self.action_space
        assert isinstance(space, spaces.Box)
        mean = torch.zeros(len(latents), self._mppi.length, int(np.prod(space.shape)), device=latents.device)
        if state is not None:
            mean[:, :-1] = torch.as_tensor(state[0], device=latents.device)[:, 1:]  # one step has passed
        if episode_start is not None:
            mean[torch.as_tensor(episode_start, dtype=torch.bool, device=latents.device)] = 0.0
        first, weights, mean = self._mppi.plan(latents, mean)
        chosen = torch.zeros(len(latents), dtype=torch.long)
        if not deterministic:
            chosen = torch.multinomial(weights.cpu(), 1, generator=self._draws).squeeze(1)
        scaled = first.cpu()[torch.arange(len(chosen)), chosen]
        return self._unscaled(scaled).numpy().astype(space.dtype).clip(space.low, space.high), (mean.cpu().numpy(),)

    def _unscaled(self, scaled: torch.Tensor) -> torch.Tensor:
        """Map actions (N, A) in [-1, 1] to actions (N, *action shape) of the space."""
        space = self.action_space
        assert isinstance(space, spaces.Box)
        low, high = (
            torch.as_tensor(bound, dtype=scaled.dtype, device=scaled.device) for bound in (space.low, space.high)
        )
        return low + (scaled.reshape(-1, *space.shape) + 1) / 2 * (high - low)

    def _features_of_scaled(self, scaled: torch.Tensor) -> torch.Tensor:
        return self._features(self._unscaled(scaled))

    def _features(self, actions: torch.Tensor) -> torch.Tensor:
        return self._jepa.action_features(actions)


def _all_actions(space: spaces.Space[Any], width: int) -> NDArray[np.int64]:
    """Return every action (K, *shape) of a discrete space."""
    if isinstance(space, spaces.Discrete):
        sizes = [int(space.n)]
    elif isinstance(space, spaces.MultiBinary):
        sizes = [2] * math.prod(space.shape)
    else:
        assert isinstance(space, spaces.MultiDiscrete)
        sizes = [int(size) for size in space.nvec.flat]
    assert space.shape is not None
    count = math.prod(sizes)
    if count > width:
        raise ValueError(
            f"action_space={space} has {count} actions, more than width={width} nodes: give a larger width, or an "
            "environment with fewer actions"
        )
    return np.array(list(itertools.product(*[range(size) for size in sizes])), np.int64).reshape(-1, *space.shape)


def _is_untrained(transition: nn.Module) -> bool:
    """Return whether a layer's normalisation is as it was made: any training would have moved it."""
    norms = [
        module for module in transition.modules() if isinstance(module, nn.LayerNorm) and module.elementwise_affine
    ]
    return any(bool((norm.weight == 1).all()) and (norm.bias is None or not bool(norm.bias.any())) for norm in norms)
