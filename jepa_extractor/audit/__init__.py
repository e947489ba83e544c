"""Did anything collapse that must not?

python -m jepa_extractor.audit model.zip --env CountingEnv-v0
"""

from jepa_extractor.audit.callback import AuditCallback as AuditCallback
from jepa_extractor.audit.encoder import audit_encoder as audit_encoder
from jepa_extractor.audit.report import CollapseReport as CollapseReport
from jepa_extractor.audit.report import collapse_audit as collapse_audit

__all__ = ["AuditCallback", "CollapseReport", "audit_encoder", "collapse_audit"]
