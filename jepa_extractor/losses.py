"""The losses of P-JEPA, one small function each.

``L = c_d * L_dyn + c_p * L_p`` with ``L_dyn = E|T(E(o), a) - E(o')|^2`` and ``L_p = E|P(E(o)) - p(o)|^2``
(arXiv 2509.12249). Squared differences are averaged over the batch and over the D components, so that a
weight means the same for every latent width.
"""

import torch


def squared_error(predicted: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Return the mean squared difference, a scalar; gradient flows into both arguments.

    Args:
        predicted: float, shape (B, ...).
        target: float, the shape of ``predicted``.
        mask: bool, the leading dimensions of ``predicted``; where False, the difference does not count. ``None``:
            all count.

    Raises:
        ValueError: the shapes differ (broadcasting would hide a wrong target).
    """
    if predicted.shape != target.shape:
        raise ValueError(f"predicted has shape {tuple(predicted.shape)}, target {tuple(target.shape)}: they must agree")
    if mask is None:
        return torch.nn.functional.mse_loss(predicted, target)
    difference = predicted - target
    counted = mask.reshape(mask.shape + (1,) * (difference.dim() - mask.dim())).expand_as(difference)
    return torch.where(counted, difference, 0.0).square().sum() / counted.sum().clamp(min=1)


def dynamics_loss(predicted: torch.Tensor, latents: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Return ``E|T(E(o), a) - E(o')|^2 / D``, a scalar.

    Args:
        predicted: predicted latents ``T(E(o), a)``, float, shape (B, k, D).
        latents: latents ``E(o')`` of the observations that followed, float, shape (B, k, D).
        mask: bool (B, k), whether the step belongs to the episode.
    """
    return squared_error(predicted, latents, mask)
