"""The machine that a JEPA has learned: classes of observations, and where each action leads."""

from jepa_extractor.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__)
