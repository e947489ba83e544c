"""What must stay apart: largest bisimulations of deterministic MDPs, of finite data, and of stochastic MDPs.

Importing this package loads neither Numba nor SciPy: each name loads its module when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

_MODULES = {
    "EmpiricalBisimulation": "empirical",
    "EmpiricalData": "episodes",
    "arrival_rewards": "episodes",
    "bisimulation_metric": "metric",
    "distinguishing_actions": "deterministic",
    "empirical_data": "episodes",
    "episode_successors": "episodes",
    "largest_bisimulation": "deterministic",
    "probabilistic_bisimulation": "stochastic",
    "quotient_mdp": "deterministic",
}

__all__ = list(_MODULES)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
