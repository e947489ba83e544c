"""Model predictive path integral control over continuous actions, as in TD-MPC2 (arXiv 2310.16828)."""

from dataclasses import dataclass

import torch

from jepa_extractor.planning.model import Featurize, LatentModel

LARGEST_STD = 2.0  # of sampled actions, whose range is [-1, 1]; the numbers are TD-MPC2's
LEAST_STD = 0.05
TEMPERATURE = 0.5


@dataclass(frozen=True)
class MPPI:
    """Sequences of actions in [-1, 1], sampled around a mean that moves to the best of them.

    All observations share their random numbers, and each call starts the generator anew: the result for one observation
    depends on nothing but that observation and its mean.

    Attributes:
        model: what predicts.
        featurize: maps actions (N, A), in [-1, 1], to features.
        horizon: steps H.
        discount: of a reward one step later, in [0, 1].
        samples: sequences in each iteration.
        elites: the best of them, from which the next mean and deviation come.
        iterations: how often the mean moves.
        seed: of the random numbers.
    """

    model: LatentModel
    featurize: Featurize
    horizon: int
    discount: float
    samples: int
    elites: int
    iterations: int
    seed: int

    @property
    def length(self) -> int:
        """Actions of a sequence: one a step, and one more for the Q head, where there is one."""
        return self.horizon + self.model.has_q

    def plan(self, roots: torch.Tensor, mean: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Improve ``mean`` (B, length, A) for latents (B, D).

        Returns:
            The first actions of the elites, best first, (B, elites, A); the elites' weights (B, elites), whose sum is
            1; the mean of the last iteration (B, length, A).
        """
        generator = torch.Generator().manual_seed(self.seed)
        std = torch.full_like(mean, LARGEST_STD)
        for _ in range(self.iterations):
            noise = torch.randn(self.samples, *mean.shape[1:], generator=generator).to(mean)
            sequences = (mean[:, None] + std[:, None] * noise).clamp(-1, 1)  # (B, S, length, A)
            values, best = self._values(roots, sequences).topk(self.elites, dim=1)
            elites = sequences.gather(1, best[:, :, None, None].expand(-1, -1, *mean.shape[1:]))
            weights = (TEMPERATURE * (values - values[:, :1])).softmax(1)
            share = weights[:, :, None, None]
            mean = (share * elites).sum(1)
            std = (share * (elites - mean[:, None]).square()).sum(1).sqrt().clamp(LEAST_STD, LARGEST_STD)
        return elites[:, :, 0], weights, mean

    def _values(self, roots: torch.Tensor, sequences: torch.Tensor) -> torch.Tensor:
        """Return the predicted return (B, S) of sequences (B, S, length, A) from latents (B, D)."""
        size, samples = sequences.shape[:2]
        features = self.featurize(sequences.flatten(0, 2)).reshape(size * samples, self.length, -1)
        latents = roots.repeat_interleave(samples, 0)
        values = torch.zeros(len(latents), device=roots.device)
        reach = torch.ones_like(values)
        for step in range(self.horizon):
            predicted = self.model.predict(latents, features[:, step])
            values = values + reach * predicted.rewards
            reach = reach * self.discount * predicted.going_on
            latents = predicted.latents
        if self.model.has_q:
            values = values + reach * self.model.action_value(latents, features[:, -1])
        return values.reshape(size, samples)
