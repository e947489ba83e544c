"""The plug-in for Stable-Baselines3: everything that knows how its policies, callbacks and algorithms work."""

from typing import TYPE_CHECKING

from jepa_extractor.lazy import lazy_names

if TYPE_CHECKING:
    from jepa_extractor.sb3.audit_callback import AuditCallback as AuditCallback
    from jepa_extractor.sb3.callback import JEPACallback as JEPACallback
    from jepa_extractor.sb3.extractor import JEPAExtractor as JEPAExtractor
    from jepa_extractor.sb3.extractor import jepa_policy_kwargs as jepa_policy_kwargs
    from jepa_extractor.sb3.pretrained import load_pretrained as load_pretrained
    from jepa_extractor.sb3.schedules import Alternating as Alternating
    from jepa_extractor.sb3.schedules import Joint as Joint
    from jepa_extractor.sb3.schedules import Schedule as Schedule
    from jepa_extractor.sb3.shared import Shared as Shared

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "audit_callback": ("AuditCallback",),
        "callback": ("JEPACallback",),
        "extractor": (
            "JEPAExtractor",
            "jepa_policy_kwargs",
        ),
        "pretrained": ("load_pretrained",),
        "schedules": (
            "Alternating",
            "Joint",
            "Schedule",
        ),
        "shared": ("Shared",),
    },
)
