"""The audit during training."""

from stable_baselines3.common.callbacks import BaseCallback

from jepa_extractor.audit.audit_set import AuditSet
from jepa_extractor.audit.moments import Moment, pca_plane
from jepa_extractor.audit.report import Report, audit
from jepa_extractor.checks import require_integer, require_type

LOGGED = {"collapse_index", "observations_hit", "effective_rank", "worst_required_error", "prediction_error_1"}


class AuditCallback(BaseCallback):
    """Audit the encoder while any Stable-Baselines3 algorithm trains, without changing the training.

    It logs under ``audit/`` the measures that tell most: ``collapse_index``, ``observations_hit``, ``effective_rank``,
    with classes ``worst_required_error``, and of a ``JEPA`` ``prediction_error_1``. Observations are normalised as in
    the training, by the ``VecNormalize`` of the model's environment. Controls are not audited.

    Args:
        audit_set: the observations, the same at each audit, and what must be kept apart.
        every: environment steps between two audits, at least 1; the first follows the first step of a training.
        seed: of random pairs and ties, at least 0.
        verbose: as in Stable-Baselines3.

    Attributes:
        report: the last report, ``None`` before the first.
        history: for each report a ``Moment``: the environment steps until then, all its ``numbers()``, and the plane of
            its latents, from which ``write_page(..., histories={name: callback.history})`` makes a slider.

    Raises:
        ValueError: an argument has the wrong type or is out of range; or, when the training starts, the model does not
            take such observations.
    """

    def __init__(self, audit_set: AuditSet, every: int = 10_000, seed: int = 0, verbose: int = 0) -> None:
        super().__init__(verbose)
        require_type("audit_set", audit_set, AuditSet, "make one by AuditSet.from_episodes or AuditSet.from_classes")
        require_integer("every", every, least=1)
        require_integer("seed", seed, least=0)
        self.audit_set = audit_set
        self.every = every
        self.seed = seed
        self.report: Report | None = None
        self.history: list[Moment] = []
        self._due = 0

    def _on_training_start(self) -> None:
        self._due = self.num_timesteps

    def _on_step(self) -> bool:
        if self.num_timesteps >= self._due:
            self._due = self.num_timesteps + self.every
            self.report = audit(self.model, self.audit_set, seed=self.seed, controls=False)
            numbers = self.report.numbers()
            self.history.append(Moment(self.num_timesteps, numbers, pca_plane(self.report.latents)))
            for name in LOGGED & numbers.keys():
                self.logger.record(f"audit/{name}", numbers[name])
        return True
