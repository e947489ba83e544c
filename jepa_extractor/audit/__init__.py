"""The audit of an encoder: what has it collapsed that must be kept apart?

    python -m jepa_extractor.audit model.zip --env CountingEnv-v0 --trust

Each name loads its module when it is first used.
"""

from typing import TYPE_CHECKING

from jepa_extractor.lazy import lazy_names

if TYPE_CHECKING:
    from jepa_extractor.audit.audit_set import AuditSet as AuditSet
    from jepa_extractor.audit.callback import AuditCallback as AuditCallback
    from jepa_extractor.audit.collapse import CollapseReport as CollapseReport
    from jepa_extractor.audit.collapse import collapse_audit as collapse_audit
    from jepa_extractor.audit.encoder import audit_encoder as audit_encoder
    from jepa_extractor.audit.exports import to_parquet as to_parquet
    from jepa_extractor.audit.exports import to_tensorboard as to_tensorboard
    from jepa_extractor.audit.page import write_page as write_page
    from jepa_extractor.audit.pairwise import PairwiseReport as PairwiseReport
    from jepa_extractor.audit.pairwise import pairwise_audit as pairwise_audit
    from jepa_extractor.audit.report import Pair as Pair
    from jepa_extractor.audit.report import Report as Report
    from jepa_extractor.audit.report import audit as audit
    from jepa_extractor.audit.report import compare as compare

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "audit_set": ("AuditSet",),
        "callback": ("AuditCallback",),
        "collapse": ("CollapseReport", "collapse_audit"),
        "encoder": ("audit_encoder",),
        "exports": ("to_parquet", "to_tensorboard"),
        "page": ("write_page",),
        "pairwise": ("PairwiseReport", "pairwise_audit"),
        "report": ("Pair", "Report", "audit", "compare"),
    },
)
