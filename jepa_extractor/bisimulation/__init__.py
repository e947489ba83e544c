"""Which states must stay apart: largest bisimulations of deterministic MDPs, of finite data, and of stochastic MDPs.

Importing this package loads neither Numba nor SciPy: each name loads its module when it is first used.
"""

from jepa_extractor.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__)
