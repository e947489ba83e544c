"""The audit of an encoder: what has it collapsed that must be kept apart?

    python -m jepa_extractor.audit model.zip --env CountingEnv-v0 --trust

Each name loads its module when it is first used.
"""

from typing import TYPE_CHECKING

from jepa_extractor.lazy import lazy_names

if TYPE_CHECKING:
    from jepa_extractor.audit.audit_set import AuditSet as AuditSet
    from jepa_extractor.audit.exports import to_parquet as to_parquet
    from jepa_extractor.audit.exports import to_tensorboard as to_tensorboard
    from jepa_extractor.audit.measures import ClassPairs as ClassPairs
    from jepa_extractor.audit.measures import compare_classes as compare_classes
    from jepa_extractor.audit.page import write_page as write_page
    from jepa_extractor.audit.report import Control as Control
    from jepa_extractor.audit.report import Pair as Pair
    from jepa_extractor.audit.report import Report as Report
    from jepa_extractor.audit.report import audit as audit
    from jepa_extractor.audit.report import compare as compare
    from jepa_extractor.audit.verdict import Verdict as Verdict

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "audit_set": ("AuditSet",),
        "exports": ("to_parquet", "to_tensorboard"),
        "measures": ("ClassPairs", "compare_classes"),
        "page": ("write_page",),
        "report": ("Control", "Pair", "Report", "audit", "compare"),
        "verdict": ("Verdict",),
    },
)
