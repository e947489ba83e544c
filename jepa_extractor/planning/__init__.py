"""Planning in latent space: a trained JEPA decides without a policy, and takes a new goal from a few pictures."""

from typing import TYPE_CHECKING

from jepa_extractor.lazy import lazy_names

if TYPE_CHECKING:
    from jepa_extractor.planning.goals import retarget as retarget
    from jepa_extractor.planning.graph import GraphSearch as GraphSearch
    from jepa_extractor.planning.imagination import Imagination as Imagination
    from jepa_extractor.planning.mppi import MPPI as MPPI
    from jepa_extractor.planning.planner import LatentPlanner as LatentPlanner

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "goals": ("retarget",),
        "graph": ("GraphSearch",),
        "imagination": ("Imagination",),
        "mppi": ("MPPI",),
        "planner": ("LatentPlanner",),
    },
)
