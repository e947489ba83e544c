"""Transitions: steps, episodes, a ring of them, and the batches drawn from it."""

from jepa_extractor.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__)
