"""Did anything collapse that must not?

python -m jepa_extractor.audit model.zip --env CountingEnv-v0 --trust

Each name loads its module when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jepa_extractor.audit.callback import AuditCallback as AuditCallback
    from jepa_extractor.audit.encoder import audit_encoder as audit_encoder
    from jepa_extractor.audit.report import CollapseReport as CollapseReport
    from jepa_extractor.audit.report import collapse_audit as collapse_audit

_MODULES = {
    "AuditCallback": "callback",
    "CollapseReport": "report",
    "audit_encoder": "encoder",
    "collapse_audit": "report",
}

__all__ = list(_MODULES)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
