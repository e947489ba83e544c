"""The page of an audit, for people to look at. It needs Bokeh and Pillow, of the extra ``report``."""

from typing import TYPE_CHECKING

from jepa_extractor.lazy import lazy_names

if TYPE_CHECKING:
    from jepa_extractor.audit.page.html import write_page as write_page

__getattr__, __dir__, __all__ = lazy_names(__name__, {"html": ("write_page",)})
