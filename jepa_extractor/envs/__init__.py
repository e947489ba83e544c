"""Environments that come with their exact MDP."""

from typing import TYPE_CHECKING

from jepa_extractor.lazy import lazy_names

if TYPE_CHECKING:
    from jepa_extractor.envs.table_images import TableImages as TableImages

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "table_images": ("TableImages",),
    },
)
