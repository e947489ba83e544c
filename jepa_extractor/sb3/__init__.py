"""The plug-in for Stable-Baselines3: everything that knows how its policies, callbacks and algorithms work."""

from jepa_extractor.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__)
