from jepa_extractor.planning.goals import retarget as retarget
from jepa_extractor.planning.graph import GraphSearch as GraphSearch
from jepa_extractor.planning.imagination import Imagination as Imagination
from jepa_extractor.planning.mppi import MPPI as MPPI
from jepa_extractor.planning.planner import LatentPlanner as LatentPlanner
