"""What a planner foresees, in words: what the viewer of ``counting_env`` shows beside the picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from jepa_extractor.checkpoint import load_state, save_state
from jepa_extractor.checks import require_sequence, require_type
from jepa_extractor.data.observations import Arrays, length
from jepa_extractor.data.spaces import as_batch
from jepa_extractor.networks.modules import evaluation_mode
from jepa_extractor.planning.model import State
from jepa_extractor.planning.planner import KIND, LatentPlanner


class Imagination:
    """A planner that tells what it foresees; ``python -m counting_env.play --agent FILE`` shows a saved one.

    Args:
        planner: what decides, and predicts.
        observations: (N, ...), as for ``LatentPlanner.predict``, by whose names a latent is read: it has that of the
            nearest of them. ``None`` for no names.
        names: such as counts, of each observation, (N,), strings or numbers; several may have the same.

    Attributes:
        observation_space: that of the planner.
        action_space: that of the planner.
        planner: as given.

    Raises:
        ValueError: the observations are no batch of the JEPA's space, or there is not one name for each.
    """

    def __init__(
        self,
        planner: LatentPlanner,
        observations: Arrays | None = None,
        names: Sequence[object] | NDArray[Any] = (),
    ) -> None:
        require_type("planner", planner, LatentPlanner, "give LatentPlanner(jepa)")
        self.observation_space = planner.observation_space
        self.action_space = planner.action_space
        self.planner = planner
        self._latents = torch.empty(0, planner.jepa.latent_dim)
        require_sequence("names", names, "a name for each observation")
        self._names = [str(name) for name in names]
        count = 0
        if observations is not None:
            batch, is_batch = as_batch(observations, self.observation_space)
            count = length(batch) if is_batch else -1
        if len(self._names) != count:
            given = "one observation" if count < 0 else f"{count} observations"
            raise ValueError(f"names has {len(self._names)} entries for {given}: give a batch, and a name for each")
        if count:
            self._latents = torch.from_numpy(planner.jepa.encode(batch))

    def predict(
        self,
        observation: Arrays,
        state: State = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[Any], State]:
        """Return what the planner's ``predict`` returns."""
        return self.planner.predict(observation, state, episode_start, deterministic)

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
        model, jepa, state = self.planner.model, self.planner.jepa, None
        latents = torch.from_numpy(jepa.encode(observations)).to(jepa.device)
        foreseen: list[tuple[NDArray[Any] | None, str]] = [(None, self._name(latents))]
        with torch.no_grad(), evaluation_mode(jepa):
            for _ in range(self.planner.horizon):
                actions, state = self.planner.choose(latents, state)
                predicted = model.predict(latents, model.features(torch.from_numpy(actions)))
                latents = predicted.latents
                reward = f"reward {predicted.rewards.item():.1f}".replace("-0.0", "0.0")
                foreseen.append((actions[0], ", ".join(filter(None, (self._name(latents), reward)))))
                if predicted.continue_prob.item() < 0.5:
                    break
        return foreseen

    def save(self, path: str | Path) -> None:
        """Save planner, JEPA and names in one file, without code; raises as ``LatentPlanner.save``."""
        named = {"named_latents": self._latents, "names": self._names}
        save_state({**self.planner.state(), **named}, path, KIND)

    @classmethod
    def load(cls, path: str | Path) -> "Imagination":
        """Return what ``save``, or that of a planner, saved at ``path``; raises as ``LatentPlanner.load``."""
        state = load_state(path, KIND)
        imagination = cls(LatentPlanner.from_state(state, path))
        imagination._latents = state.get("named_latents", imagination._latents)
        imagination._names = state.get("names", [])
        if imagination._latents.shape != (len(imagination._names), imagination.planner.jepa.latent_dim):
            raise ValueError(f"{path} is broken: its names do not belong to its latents; save it again")
        return imagination

    def _name(self, latents: torch.Tensor) -> str:
        """Return the name of the named latent nearest to the only one of ``latents`` (1, D)."""
        return self._names[int(torch.cdist(latents.cpu(), self._latents).argmin())] if self._names else ""
