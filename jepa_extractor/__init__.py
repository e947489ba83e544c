"""JEPA auxiliary losses for Stable-Baselines3, and the audit of what an encoder keeps.

``JEPAExtractor`` is a features extractor that holds a JEPA; ``JEPACallback`` trains it with latent
dynamics and auxiliary tasks while an algorithm trains its policy. No algorithm is subclassed.

Each name is imported when it is first used (PEP 562), so importing the package alone loads none of them.
"""

from importlib.metadata import version
from typing import TYPE_CHECKING

from jepa_extractor.lazy import lazy_names

if TYPE_CHECKING:
    from jepa_extractor.audit import AuditCallback as AuditCallback
    from jepa_extractor.audit import audit_encoder as audit_encoder
    from jepa_extractor.audit import collapse_audit as collapse_audit
    from jepa_extractor.audit import pairwise_audit as pairwise_audit
    from jepa_extractor.bisimulation import EmpiricalBisimulation as EmpiricalBisimulation
    from jepa_extractor.bisimulation import largest_bisimulation as largest_bisimulation
    from jepa_extractor.data.batch import Batch as Batch
    from jepa_extractor.data.batch import Latents as Latents
    from jepa_extractor.data.batch import Step as Step
    from jepa_extractor.data.collection import random_episodes as random_episodes
    from jepa_extractor.data.episodes import Episode as Episode
    from jepa_extractor.data.ring import TransitionRing as TransitionRing
    from jepa_extractor.data.spaces import policy_space as policy_space
    from jepa_extractor.envs.table_images import TableImages as TableImages
    from jepa_extractor.networks.heads import make_head as make_head
    from jepa_extractor.objectives.augmentation import RandomIntensity as RandomIntensity
    from jepa_extractor.objectives.augmentation import RandomShift as RandomShift
    from jepa_extractor.objectives.dynamics import CosineLoss as CosineLoss
    from jepa_extractor.objectives.dynamics import DynamicsLoss as DynamicsLoss
    from jepa_extractor.objectives.losses import squared_error as squared_error
    from jepa_extractor.objectives.regularizers import R2R2Task as R2R2Task
    from jepa_extractor.objectives.regularizers import SIGRegTask as SIGRegTask
    from jepa_extractor.objectives.regularizers import VICRegTask as VICRegTask
    from jepa_extractor.objectives.tasks import ActionRewardTask as ActionRewardTask
    from jepa_extractor.objectives.tasks import AuxiliaryTask as AuxiliaryTask
    from jepa_extractor.objectives.tasks import EndTask as EndTask
    from jepa_extractor.objectives.tasks import LabelTask as LabelTask
    from jepa_extractor.objectives.tasks import QTask as QTask
    from jepa_extractor.objectives.tasks import RandomTask as RandomTask
    from jepa_extractor.objectives.tasks import RewardTask as RewardTask
    from jepa_extractor.planning.planner import LatentPlanner as LatentPlanner
    from jepa_extractor.planning.retarget import retarget as retarget
    from jepa_extractor.sb3.callback import JEPACallback as JEPACallback
    from jepa_extractor.sb3.extractor import JEPAExtractor as JEPAExtractor
    from jepa_extractor.sb3.extractor import jepa_policy_kwargs as jepa_policy_kwargs
    from jepa_extractor.sb3.pretrained import load_pretrained as load_pretrained
    from jepa_extractor.sb3.schedules import Alternating as Alternating
    from jepa_extractor.sb3.schedules import Joint as Joint
    from jepa_extractor.sb3.schedules import Shared as Shared
    from jepa_extractor.train.pretraining import LabelAccuracy as LabelAccuracy
    from jepa_extractor.train.pretraining import pretrain as pretrain
    from jepa_extractor.train.transition_fit import fit_transition as fit_transition

__version__ = version("counting-jepa")
__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "audit": ("AuditCallback", "audit_encoder", "collapse_audit", "pairwise_audit"),
        "objectives.augmentation": ("RandomIntensity", "RandomShift"),
        "data.batch": ("Batch", "Latents", "Step"),
        "bisimulation": ("EmpiricalBisimulation", "largest_bisimulation"),
        "objectives.dynamics": ("CosineLoss", "DynamicsLoss"),
        "networks.heads": ("make_head",),
        "objectives.losses": ("squared_error",),
        "planning.planner": ("LatentPlanner",),
        "planning.retarget": ("retarget",),
        "train.pretraining": ("LabelAccuracy", "pretrain"),
        "objectives.regularizers": ("R2R2Task", "SIGRegTask", "VICRegTask"),
        "data.ring": ("TransitionRing",),
        "data.collection": ("random_episodes",),
        "data.episodes": ("Episode",),
        "sb3.callback": ("JEPACallback",),
        "sb3.extractor": ("JEPAExtractor", "jepa_policy_kwargs"),
        "sb3.pretrained": ("load_pretrained",),
        "sb3.schedules": ("Alternating", "Joint", "Shared"),
        "data.spaces": ("policy_space",),
        "envs.table_images": ("TableImages",),
        "train.transition_fit": ("fit_transition",),
        "objectives.tasks": (
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
