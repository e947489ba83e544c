"""JEPA auxiliary losses for Stable-Baselines3, and the audit of what an encoder keeps.

``JEPAExtractor`` is a features extractor that holds a JEPA; ``JEPACallback`` trains it with latent
dynamics and auxiliary tasks while an algorithm trains its policy. No algorithm is subclassed.
"""

from jepa_extractor.audit import AuditCallback as AuditCallback
from jepa_extractor.audit import audit_encoder as audit_encoder
from jepa_extractor.audit import collapse_audit as collapse_audit
from jepa_extractor.auxiliary import AuxiliaryTask as AuxiliaryTask
from jepa_extractor.bisimulation import EmpiricalBisimulation as EmpiricalBisimulation
from jepa_extractor.bisimulation import largest_bisimulation as largest_bisimulation
from jepa_extractor.callback import JEPACallback as JEPACallback
from jepa_extractor.extractor import JEPAExtractor as JEPAExtractor
from jepa_extractor.extractor import jepa_policy_kwargs as jepa_policy_kwargs
from jepa_extractor.pretrain import load_pretrained as load_pretrained
from jepa_extractor.pretrain import pretrain as pretrain

__all__ = [
    "AuditCallback",
    "AuxiliaryTask",
    "EmpiricalBisimulation",
    "JEPACallback",
    "JEPAExtractor",
    "audit_encoder",
    "collapse_audit",
    "jepa_policy_kwargs",
    "largest_bisimulation",
    "load_pretrained",
    "pretrain",
]
