"""The weighted sum of a JEPA's losses and its clipped gradient: shared by callback and pretraining."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import nn

from jepa_extractor.auxiliary import AuxiliaryTask
from jepa_extractor.checks import require_positive, require_weight


class Gradient(NamedTuple):
    """The gradient of an objective.

    Attributes:
        parameters: those that have a gradient.
        values: one tensor for each of ``parameters``, clipped.
        norm: Euclidean norm over all of them before the clip, a scalar.
        clipped_norm: after the clip, a scalar.
    """

    parameters: list[nn.Parameter]
    values: list[torch.Tensor]
    norm: torch.Tensor
    clipped_norm: torch.Tensor


class Objective:
    """``c_d * L_dyn + sum over tasks of c_p * L_p``, to be made small.

    Args:
        dynamics_weight: ``c_d``, at least 0.
        auxiliary_weight: ``c_p`` of every task, or a mapping that names each; at least 0.
        max_grad_norm: largest Euclidean norm of the gradient; ``None`` for no clip.

    Raises:
        ValueError: a weight or the norm is out of range.
    """

    def __init__(
        self, dynamics_weight: float, auxiliary_weight: float | Mapping[str, float], max_grad_norm: float | None
    ) -> None:
        require_weight("dynamics_weight", dynamics_weight)
        if isinstance(auxiliary_weight, Mapping):
            for name, weight in auxiliary_weight.items():
                require_weight(f"auxiliary_weight[{name!r}]", weight)
        else:
            require_weight("auxiliary_weight", auxiliary_weight)
        if max_grad_norm is not None:
            require_positive("max_grad_norm", max_grad_norm)
        self._dynamics_weight = dynamics_weight
        self._auxiliary_weight = auxiliary_weight
        self._max_grad_norm = max_grad_norm

    def require_weights(self, tasks: Iterable[AuxiliaryTask]) -> None:
        """Raise ``ValueError`` unless a mapping of weights names exactly ``tasks``."""
        names = {task.name for task in tasks}
        if isinstance(self._auxiliary_weight, Mapping) and set(self._auxiliary_weight) != names:
            raise ValueError(
                f"auxiliary_weight={dict(self._auxiliary_weight)} does not name each auxiliary task once: "
                f"they are {', '.join(sorted(names)) or 'none'}"
            )

    def total(self, losses: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the weighted sum of ``losses``, a scalar."""
        return torch.stack([self._weight(name) * loss for name, loss in losses.items()]).sum()

    def gradient(self, losses: Mapping[str, torch.Tensor], parameters: Iterable[nn.Parameter]) -> Gradient:
        """Differentiate the weighted sum of ``losses``; parameters that it does not depend on are left out."""
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        values = torch.autograd.grad(self.total(losses), trained, allow_unused=True)
        pairs = [(parameter, value) for parameter, value in zip(trained, values, strict=True) if value is not None]
        norm = torch.nn.utils.get_total_norm([value for _, value in pairs])
        scale = torch.ones_like(norm)
        if self._max_grad_norm is not None:
            scale = (self._max_grad_norm / (norm + 1e-6)).clamp(max=1.0)
        return Gradient([parameter for parameter, _ in pairs], [v * scale for _, v in pairs], norm, norm * scale)

    def _weight(self, loss: str) -> float:
        if loss == "dynamics":
            return self._dynamics_weight
        return self._auxiliary_weight[loss] if isinstance(self._auxiliary_weight, Mapping) else self._auxiliary_weight
