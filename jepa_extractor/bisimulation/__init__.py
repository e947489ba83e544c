"""What must stay apart: largest bisimulations of deterministic MDPs, of finite data, and of stochastic MDPs."""

from jepa_extractor.bisimulation.deterministic import distinguishing_actions as distinguishing_actions
from jepa_extractor.bisimulation.deterministic import largest_bisimulation as largest_bisimulation
from jepa_extractor.bisimulation.deterministic import quotient_mdp as quotient_mdp
from jepa_extractor.bisimulation.empirical import EmpiricalBisimulation as EmpiricalBisimulation
from jepa_extractor.bisimulation.empirical import EmpiricalData as EmpiricalData
from jepa_extractor.bisimulation.empirical import arrival_rewards as arrival_rewards
from jepa_extractor.bisimulation.empirical import empirical_data as empirical_data
from jepa_extractor.bisimulation.empirical import episode_successors as episode_successors
from jepa_extractor.bisimulation.stochastic import bisimulation_metric as bisimulation_metric
from jepa_extractor.bisimulation.stochastic import probabilistic_bisimulation as probabilistic_bisimulation

__all__ = [
    "EmpiricalBisimulation",
    "EmpiricalData",
    "arrival_rewards",
    "bisimulation_metric",
    "distinguishing_actions",
    "empirical_data",
    "episode_successors",
    "largest_bisimulation",
    "probabilistic_bisimulation",
    "quotient_mdp",
]
