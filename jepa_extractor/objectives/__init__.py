"""What a JEPA is trained for: the latent dynamics, auxiliary tasks, regularisers, augmentation."""

from jepa_extractor.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__)
