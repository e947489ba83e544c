"""Environments that come with their exact MDP."""

from typing import TYPE_CHECKING

from jepa_extractor.lazy import lazy_names

if TYPE_CHECKING:
    from jepa_extractor.envs.strings import TOMITA as TOMITA
    from jepa_extractor.envs.strings import Strings as Strings
    from jepa_extractor.envs.strings import parentheses as parentheses
    from jepa_extractor.envs.strings import random_language as random_language
    from jepa_extractor.envs.table_images import TableImages as TableImages

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "strings": ("TOMITA", "Strings", "parentheses", "random_language"),
        "table_images": ("TableImages",),
    },
)
