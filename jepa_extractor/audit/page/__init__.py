"""The page of an audit, for people to look at. It needs Bokeh and Pillow, of the extra ``report``."""

from jepa_extractor.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__)
