"""Transitions: steps, episodes, a ring of them, and the batches drawn from it."""

from typing import TYPE_CHECKING

from jepa_extractor.lazy import lazy_names

if TYPE_CHECKING:
    from jepa_extractor.data.batch import Batch as Batch
    from jepa_extractor.data.batch import Latents as Latents
    from jepa_extractor.data.batch import Step as Step
    from jepa_extractor.data.collection import random_episodes as random_episodes
    from jepa_extractor.data.episodes import Episode as Episode
    from jepa_extractor.data.ring import TransitionRing as TransitionRing
    from jepa_extractor.data.spaces import policy_space as policy_space

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "batch": (
            "Batch",
            "Latents",
            "Step",
        ),
        "collection": ("random_episodes",),
        "episodes": ("Episode",),
        "ring": ("TransitionRing",),
        "spaces": ("policy_space",),
    },
)
