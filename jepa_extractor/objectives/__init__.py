"""What a JEPA is trained for: the latent dynamics, auxiliary tasks, regularisers, augmentation."""

from typing import TYPE_CHECKING

from jepa_extractor.lazy import lazy_names

if TYPE_CHECKING:
    from jepa_extractor.objectives.augmentation import RandomIntensity as RandomIntensity
    from jepa_extractor.objectives.augmentation import RandomShift as RandomShift
    from jepa_extractor.objectives.dynamics import CosineLoss as CosineLoss
    from jepa_extractor.objectives.dynamics import DynamicsLoss as DynamicsLoss
    from jepa_extractor.objectives.losses import squared_error as squared_error
    from jepa_extractor.objectives.regularizers import R2R2 as R2R2
    from jepa_extractor.objectives.regularizers import SIGReg as SIGReg
    from jepa_extractor.objectives.regularizers import VICReg as VICReg
    from jepa_extractor.objectives.tasks import ActionRewardTask as ActionRewardTask
    from jepa_extractor.objectives.tasks import AuxiliaryTask as AuxiliaryTask
    from jepa_extractor.objectives.tasks import EndTask as EndTask
    from jepa_extractor.objectives.tasks import LabelTask as LabelTask
    from jepa_extractor.objectives.tasks import QTask as QTask
    from jepa_extractor.objectives.tasks import RandomTask as RandomTask
    from jepa_extractor.objectives.tasks import RewardTask as RewardTask

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "augmentation": (
            "RandomIntensity",
            "RandomShift",
        ),
        "dynamics": (
            "CosineLoss",
            "DynamicsLoss",
        ),
        "losses": ("squared_error",),
        "regularizers": (
            "R2R2",
            "SIGReg",
            "VICReg",
        ),
        "tasks": (
            "ActionRewardTask",
            "AuxiliaryTask",
            "EndTask",
            "LabelTask",
            "QTask",
            "RandomTask",
            "RewardTask",
        ),
    },
)
