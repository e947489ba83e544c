from jepa_extractor.data.batch import Batch as Batch
from jepa_extractor.data.batch import Latents as Latents
from jepa_extractor.data.batch import Step as Step
from jepa_extractor.data.collection import random_episodes as random_episodes
from jepa_extractor.data.episodes import Episode as Episode
from jepa_extractor.data.ring import TransitionRing as TransitionRing
from jepa_extractor.data.spaces import policy_space as policy_space
