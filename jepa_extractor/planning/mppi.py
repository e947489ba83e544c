"""Model predictive path integral control over continuous actions, as in TD-MPC2 (arXiv 2310.16828)."""

from dataclasses import dataclass
from typing import Any

import torch
from gymnasium import spaces
from numpy.typing import NDArray

from jepa_extractor.checks import require_integer
from jepa_extractor.planning.model import LatentModel, State

LARGEST_STD = 2.0  # of sampled actions, whose range is [-1, 1]; the numbers are TD-MPC2's
LEAST_STD = 0.05
TEMPERATURE = 0.5


@dataclass(frozen=True)
class MPPI:
    """Sample sequences of continuous actions around a mean that moves to the best of them.

    All observations share their random numbers, and each call starts the generator anew: the result for one observation
    depends on nothing but that observation and its mean.

    Args:
        samples: sequences drawn in each iteration, at least ``elites``.
        elites: the best of the sequences, which decide where the next ones are drawn; at least 1.
        iterations: how often sequences are drawn, at least 1.
        seed: of the random numbers, at least 0.

    Raises:
        ValueError: an argument is out of range.
    """

    samples: int = 512
    elites: int = 64
    iterations: int = 6
    seed: int = 0

    def __post_init__(self) -> None:
        require_integer("elites", self.elites, least=1)
        require_integer("samples", self.samples, least=self.elites)
        require_integer("iterations", self.iterations, least=1)
        require_integer("seed", self.seed, least=0)

    def over(self, model: LatentModel, horizon: int, discount: float) -> "MPPIPlans":
        """Return what plans with ``model``, ``horizon`` steps ahead."""
        return MPPIPlans(model, horizon, discount, self)


class MPPIPlans:
    """Actions by ``MPPI`` in a model.

    Args:
        model: what predicts.
        horizon: steps H, at least 1.
        discount: of a reward one step later, in [0, 1].
        search: how sequences are sampled.

    Attributes:
        length: actions of a sequence: one a step, and one more for the Q head, where there is one.

    Raises:
        ValueError: the action space has no bounds.
    """

    def __init__(self, model: LatentModel, horizon: int, discount: float, search: MPPI) -> None:
        space = model.action_space
        assert isinstance(space, spaces.Box)
        if not space.is_bounded():
            raise ValueError(f"action_space={space} has no bounds: wrap the environment to have some")
        self._model, self._horizon, self._discount, self._search, self._space = model, horizon, discount, search, space
        self.length = horizon + model.has_q
        self._draws = torch.Generator().manual_seed(search.seed)  # of actions that are not deterministic

    def choose(
        self,
        latents: torch.Tensor,
        state: State = None,
        episode_start: NDArray[Any] | None = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[Any], State]:
        """Return an action for each of ``latents`` (B, D), and the plans' means, from which the next step begins."""
        space = self._space
        mean = torch.zeros(len(latents), self.length, spaces.flatdim(space), device=latents.device)
        if state is not None:
            mean[:, :-1] = torch.as_tensor(state[0], device=latents.device)[:, 1:]  # one step has passed
        if episode_start is not None:
            mean[torch.as_tensor(episode_start, dtype=torch.bool, device=latents.device)] = 0.0
        first, weights, mean = self.plan(latents, mean)
        chosen = torch.zeros(len(latents), dtype=torch.long)
        if not deterministic:
            chosen = torch.multinomial(weights.cpu(), 1, generator=self._draws).squeeze(1)
        scaled = first.cpu()[torch.arange(len(chosen)), chosen]
        actions = self._unscaled(scaled).numpy().astype(space.dtype).clip(space.low, space.high)
        return actions, (mean.cpu().numpy(),)

    def plan(self, roots: torch.Tensor, mean: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Improve ``mean`` (B, length, A), actions in [-1, 1], for latents (B, D).

        Returns:
            The first actions of the elites, best first, (B, elites, A); the elites' weights (B, elites), whose sum is
            1; the mean of the last iteration (B, length, A).
        """
        generator = torch.Generator().manual_seed(self._search.seed)
        std = torch.full_like(mean, LARGEST_STD)
        for _ in range(self._search.iterations):
            noise = torch.randn(self._search.samples, *mean.shape[1:], generator=generator).to(mean)
            sequences = (mean[:, None] + std[:, None] * noise).clamp(-1, 1)  # (B, S, length, A)
            values, best = self.values(roots, sequences).topk(self._search.elites, dim=1)
            elites = sequences.gather(1, best[:, :, None, None].expand(-1, -1, *mean.shape[1:]))
            weights = (TEMPERATURE * (values - values[:, :1])).softmax(1)
            share = weights[:, :, None, None]
            mean = (share * elites).sum(1)
            std = (share * (elites - mean[:, None]).square()).sum(1).sqrt().clamp(LEAST_STD, LARGEST_STD)
        return elites[:, :, 0], weights, mean

    def values(self, roots: torch.Tensor, sequences: torch.Tensor) -> torch.Tensor:
        """Return the predicted return (B, S) of sequences (B, S, length, A) from latents (B, D)."""
        size, samples = sequences.shape[:2]
        features = self._model.features(self._unscaled(sequences.flatten(0, 2)))
        features = features.reshape(size * samples, self.length, -1)
        latents = roots.repeat_interleave(samples, 0)
        values = torch.zeros(len(latents), device=roots.device)
        discount_so_far = torch.ones_like(values)
        for step in range(self._horizon):
            predicted = self._model.predict(latents, features[:, step])
            values = values + discount_so_far * predicted.rewards
            discount_so_far = discount_so_far * self._discount * predicted.continue_prob
            latents = predicted.latents
        if self._model.has_q:
            values = values + discount_so_far * self._model.action_value(latents, features[:, -1])
        return values.reshape(size, samples)

    def _unscaled(self, scaled: torch.Tensor) -> torch.Tensor:
        """Map actions (N, A) in [-1, 1] to actions (N, *action shape) of the space."""
        low, high = (
            torch.as_tensor(bound, dtype=scaled.dtype, device=scaled.device)
            for bound in (self._space.low, self._space.high)
        )
        return low + (scaled.reshape(-1, *self._space.shape) + 1) / 2 * (high - low)
