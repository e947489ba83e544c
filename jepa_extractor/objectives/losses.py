"""The losses of P-JEPA, one small function each.

``L = c_d * L_dyn + c_p * L_p`` with ``L_dyn = E|T(E(o), a) - E(o')|^2`` and ``L_p = E|P(E(o)) - p(o)|^2``
(arXiv 2509.12249). Squared differences are averaged over the batch and over the D components, so that a
weight means the same for every latent width.
"""

import torch


def mean_over_steps(errors: torch.Tensor, mask: torch.Tensor | None = None, discount: float = 1.0) -> torch.Tensor:
    """Return the mean of ``discount**step * errors`` over the steps that count, a scalar.

    Args:
        errors: float, shape (B, k, ...).
        mask: bool or float weights, the leading dimensions of ``errors``; where False or 0, the error does not count.
            ``None``: all count alike.
        discount: factor for each step after the first.
    """
    if discount != 1.0:
        powers = discount ** torch.arange(errors.shape[1], device=errors.device)
        errors = errors * powers.reshape(-1, *[1] * (errors.dim() - 2))
    if mask is None:
        return errors.mean()
    weights = mask.reshape(mask.shape + (1,) * (errors.dim() - mask.dim())).expand_as(errors)
    total = weights.sum()
    return torch.where(weights != 0, errors * weights, 0.0).sum() / torch.where(total == 0, 1, total)


def squared_error(predicted: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Return the mean squared difference, a scalar, 0 if none counts; gradient flows into both arguments.

    Args:
        predicted: float, shape (B, ...).
        target: float, the shape of ``predicted``.
        mask: bool or float weights, the leading dimensions of ``predicted``; where False or 0, the difference does not
            count, and may be NaN. ``None``: all count alike.

    Raises:
        ValueError: one is no tensor, or the shapes differ (broadcasting would hide a wrong target).
    """
    for name, tensor in (("predicted", predicted), ("target", target), ("mask", mask)):
        if isinstance(tensor, torch.Tensor):
            if name != "mask" and not tensor.is_floating_point():
                raise ValueError(f"{name} is of {tensor.dtype}: give floats")
        elif name != "mask" or mask is not None:
            raise ValueError(f"{name} is a {type(tensor).__name__}: give a tensor")
    if predicted.shape != target.shape:
        raise ValueError(f"predicted has shape {tuple(predicted.shape)}, target {tuple(target.shape)}: they must agree")
    if mask is not None and mask.shape != predicted.shape[: mask.dim()]:
        raise ValueError(f"mask has shape {tuple(mask.shape)}, predicted {tuple(predicted.shape)}: they begin alike")
    difference = predicted - target
    if mask is not None:  # before the square, so that no NaN reaches the gradient
        difference = torch.where(
            mask.reshape(mask.shape + (1,) * (difference.dim() - mask.dim())) != 0, difference, 0.0
        )
    return mean_over_steps(difference.square(), mask)
