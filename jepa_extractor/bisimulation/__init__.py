"""Which states must stay apart: largest bisimulations of deterministic MDPs, of finite data, and of stochastic MDPs.

Importing this package loads neither Numba nor SciPy: each name loads its module when it is first used.
"""

from typing import TYPE_CHECKING

from jepa_extractor.lazy import lazy_names

if TYPE_CHECKING:
    from jepa_extractor.bisimulation.deterministic import distinguishing_actions as distinguishing_actions
    from jepa_extractor.bisimulation.deterministic import largest_bisimulation as largest_bisimulation
    from jepa_extractor.bisimulation.deterministic import quotient_mdp as quotient_mdp
    from jepa_extractor.bisimulation.empirical import EmpiricalBisimulation as EmpiricalBisimulation
    from jepa_extractor.bisimulation.episodes import EmpiricalData as EmpiricalData
    from jepa_extractor.bisimulation.episodes import arrival_rewards as arrival_rewards
    from jepa_extractor.bisimulation.episodes import empirical_data as empirical_data
    from jepa_extractor.bisimulation.episodes import episode_successors as episode_successors
    from jepa_extractor.bisimulation.metric import bisimulation_metric as bisimulation_metric
    from jepa_extractor.bisimulation.stochastic import probabilistic_bisimulation as probabilistic_bisimulation

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "deterministic": ("distinguishing_actions", "largest_bisimulation", "quotient_mdp"),
        "empirical": ("EmpiricalBisimulation",),
        "episodes": ("EmpiricalData", "arrival_rewards", "empirical_data", "episode_successors"),
        "metric": ("bisimulation_metric",),
        "stochastic": ("probabilistic_bisimulation",),
    },
)
