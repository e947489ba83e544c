"""The audit during training."""

from stable_baselines3.common.callbacks import BaseCallback

from jepa_extractor.audit.encoder import Envs, Mdp, audit_encoder, check_audit, make_envs
from jepa_extractor.audit.report import CollapseReport
from jepa_extractor.checks import require_integer


class AuditCallback(BaseCallback):
    """Audit the encoder while any Stable-Baselines3 algorithm trains, without changing the training.

    It logs the numbers of each ``CollapseReport`` under ``audit/``; the attribute ``report`` is the last one.

    Args:
        envs: a vector environment for the audit alone, or the id of an environment. Observations are normalised as
            in the training, by the ``VecNormalize`` of the model's environment.
        classes_from: key of ``info`` that names the class, or the state of ``mdp``.
        every: environment steps between two audits; the first is at the start.
        mdp: see ``audit_encoder``.
        observations: how many each audit collects; all audits see the same ones.
        seed: seed of environments and actions.
        verbose: as in Stable-Baselines3.

    Raises:
        ValueError: an argument has the wrong type or is out of range.
    """

    def __init__(
        self,
        envs: str | Envs,
        classes_from: str,
        every: int = 10_000,
        mdp: Mdp | None = None,
        observations: int = 1_000,
        seed: int = 0,
        verbose: int = 0,
    ) -> None:
        super().__init__(verbose)
        require_integer("every", every, least=1)
        check_audit(classes_from, mdp, observations, seed)
        self.envs = make_envs(envs)
        self.classes_from = classes_from
        self.every = every
        self.mdp = mdp
        self.observations = observations
        self.seed = seed
        self.report: CollapseReport | None = None
        self._due = 0

    def _on_training_start(self) -> None:
        self._due = self.num_timesteps

    def _on_step(self) -> bool:
        if self.num_timesteps >= self._due:
            self._due = self.num_timesteps + self.every
            self.report = audit_encoder(
                self.model, self.envs, self.classes_from, self.mdp, self.observations, self.seed
            )
            for name, value in self.report.numbers().items():
                self.logger.record(f"audit/{name}", value)
        return True
