"""A JEPA that learns what an encoder must keep: beside Stable-Baselines3, in a loop of your own, or from recorded play.

``JEPA`` is the model. ``jepa_policy_kwargs`` and ``JEPACallback`` put it into a policy and train it there; ``pretrain``
trains it without one. ``jepa_extractor.audit``, ``.planning`` and ``.bisimulation`` say what it keeps, decide with it,
and compute what must stay apart.

Each name is imported when it is first used (PEP 562), so importing the package alone loads none of them.
"""

from importlib.metadata import version

from jepa_extractor.lazy import lazy_names

__version__ = version("counting-jepa")
__getattr__, __dir__, __all__ = lazy_names(__name__)
