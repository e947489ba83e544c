"""The networks of a JEPA: encoders, heads, normalisations, and copies that follow slowly."""

from typing import TYPE_CHECKING

from jepa_extractor.lazy import lazy_names

if TYPE_CHECKING:
    from jepa_extractor.networks.heads import make_head as make_head

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "heads": ("make_head",),
    },
)
