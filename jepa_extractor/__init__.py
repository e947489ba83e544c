"""A JEPA that learns what an encoder must keep: beside Stable-Baselines3, in a loop of your own, or from recorded play.

``JEPA`` is the model. ``jepa_policy_kwargs`` and ``JEPACallback`` put it into a policy and train it there; ``pretrain``
trains it without one. ``jepa_extractor.audit``, ``.planning`` and ``.bisimulation`` say what it keeps, decide with it,
and compute what must stay apart.

Each name is imported when it is first used (PEP 562), so importing the package alone loads none of them.
"""

from importlib.metadata import version
from typing import TYPE_CHECKING

from jepa_extractor.lazy import lazy_names

if TYPE_CHECKING:
    from jepa_extractor.data.batch import Batch as Batch
    from jepa_extractor.data.batch import Latents as Latents
    from jepa_extractor.data.collection import random_episodes as random_episodes
    from jepa_extractor.data.episodes import Episode as Episode
    from jepa_extractor.data.ring import TransitionRing as TransitionRing
    from jepa_extractor.jepa import JEPA as JEPA
    from jepa_extractor.objectives.tasks import ActionRewardTask as ActionRewardTask
    from jepa_extractor.objectives.tasks import AuxiliaryTask as AuxiliaryTask
    from jepa_extractor.objectives.tasks import EndTask as EndTask
    from jepa_extractor.objectives.tasks import LabelTask as LabelTask
    from jepa_extractor.objectives.tasks import QTask as QTask
    from jepa_extractor.objectives.tasks import RewardTask as RewardTask
    from jepa_extractor.sb3.callback import JEPACallback as JEPACallback
    from jepa_extractor.sb3.extractor import JEPAExtractor as JEPAExtractor
    from jepa_extractor.sb3.extractor import jepa_policy_kwargs as jepa_policy_kwargs
    from jepa_extractor.sb3.pretrained import load_pretrained as load_pretrained
    from jepa_extractor.sb3.schedules import Alternating as Alternating
    from jepa_extractor.sb3.schedules import Joint as Joint
    from jepa_extractor.sb3.shared import Shared as Shared
    from jepa_extractor.train.pretraining import pretrain as pretrain
    from jepa_extractor.train.transition_fit import fit_transition as fit_transition

__version__ = version("counting-jepa")
__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "data.batch": ("Batch", "Latents"),
        "data.collection": ("random_episodes",),
        "data.episodes": ("Episode",),
        "data.ring": ("TransitionRing",),
        "jepa": ("JEPA",),
        "objectives.tasks": ("ActionRewardTask", "AuxiliaryTask", "EndTask", "LabelTask", "QTask", "RewardTask"),
        "sb3.callback": ("JEPACallback",),
        "sb3.extractor": ("JEPAExtractor", "jepa_policy_kwargs"),
        "sb3.pretrained": ("load_pretrained",),
        "sb3.schedules": ("Alternating", "Joint"),
        "sb3.shared": ("Shared",),
        "train.pretraining": ("pretrain",),
        "train.transition_fit": ("fit_transition",),
    },
    moved={
        "audit": ("AuditSet", "compare_classes"),
        "bisimulation": ("EmpiricalBisimulation", "largest_bisimulation"),
        "data": ("Step", "policy_space"),
        "envs": ("TableImages",),
        "networks": ("make_head",),
        "objectives": (
            *("CosineLoss", "DynamicsLoss", "R2R2", "RandomIntensity", "RandomShift", "RandomTask", "SIGReg", "VICReg"),
            "squared_error",
        ),
        "planning": ("LatentPlanner", "retarget"),
        "sb3": ("AuditCallback",),
        "train": ("LabelAccuracy",),
    },
)
