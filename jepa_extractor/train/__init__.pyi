from jepa_extractor.train.pretraining import LabelAccuracy as LabelAccuracy
from jepa_extractor.train.pretraining import pretrain as pretrain
from jepa_extractor.train.transition_fit import fit_transition as fit_transition
