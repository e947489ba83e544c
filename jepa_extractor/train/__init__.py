"""Training a JEPA without a policy: pretraining, and fitting the transition."""

from jepa_extractor.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__)
