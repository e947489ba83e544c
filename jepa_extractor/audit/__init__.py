"""The audit of an encoder: which classes of observations does it keep apart?

    python -m jepa_extractor.audit model.zip --env CountingEnv-v0 --trust

Each name loads its module when it is first used.
"""

from typing import TYPE_CHECKING

from jepa_extractor.lazy import lazy_names

if TYPE_CHECKING:
    from jepa_extractor.audit.callback import AuditCallback as AuditCallback
    from jepa_extractor.audit.encoder import audit_encoder as audit_encoder
    from jepa_extractor.audit.pairwise import PairwiseReport as PairwiseReport
    from jepa_extractor.audit.pairwise import pairwise_audit as pairwise_audit
    from jepa_extractor.audit.report import CollapseReport as CollapseReport
    from jepa_extractor.audit.report import collapse_audit as collapse_audit

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "callback": ("AuditCallback",),
        "encoder": ("audit_encoder",),
        "pairwise": ("PairwiseReport", "pairwise_audit"),
        "report": ("CollapseReport", "collapse_audit"),
    },
)
