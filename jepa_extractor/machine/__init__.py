"""The machine that a JEPA has learned: classes of observations, and where each action leads."""

from typing import TYPE_CHECKING

from jepa_extractor.lazy import lazy_names

if TYPE_CHECKING:
    from jepa_extractor.machine.comparison import Difference as Difference
    from jepa_extractor.machine.comparison import compare as compare
    from jepa_extractor.machine.learned import NoClusters as NoClusters
    from jepa_extractor.machine.learned import learned_machine as learned_machine
    from jepa_extractor.machine.machine import Machine as Machine
    from jepa_extractor.machine.policy import MachinePolicy as MachinePolicy

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "comparison": ("Difference", "compare"),
        "learned": ("NoClusters", "learned_machine"),
        "machine": ("Machine",),
        "policy": ("MachinePolicy",),
    },
)
