"""The networks of a JEPA: encoders, heads, normalisations, and copies that follow slowly."""

from jepa_extractor.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__)
