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

__version__: str
