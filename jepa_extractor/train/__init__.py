"""Training a JEPA without a policy: pretraining, and fitting the transition."""

from typing import TYPE_CHECKING

from jepa_extractor.lazy import lazy_names

if TYPE_CHECKING:
    from jepa_extractor.train.pretraining import LabelAccuracy as LabelAccuracy
    from jepa_extractor.train.pretraining import pretrain as pretrain
    from jepa_extractor.train.transition_fit import fit_transition as fit_transition

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "pretraining": (
            "LabelAccuracy",
            "pretrain",
        ),
        "transition_fit": ("fit_transition",),
    },
)
