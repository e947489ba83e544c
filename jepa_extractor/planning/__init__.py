"""Planning in latent space: a trained JEPA decides without a policy, and takes a new goal from a few pictures."""

from jepa_extractor.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__)
