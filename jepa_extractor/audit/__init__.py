"""The audit of an encoder: what has it collapsed that must be kept apart?

    python -m jepa_extractor.audit model.zip --env CountingEnv-v0 --trust

Each name loads its module when it is first used.
"""

from jepa_extractor.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__)
