"""The machine that a JEPA has learned: classes of observations, and where each action leads."""

from typing import TYPE_CHECKING

from jepa_extractor.lazy import lazy_names

if TYPE_CHECKING:
    from jepa_extractor.machine.comparison import Difference as Difference
    from jepa_extractor.machine.comparison import compare as compare
    from jepa_extractor.machine.environment import MachineEnv as MachineEnv
    from jepa_extractor.machine.environment import machine_of_table as machine_of_table
    from jepa_extractor.machine.falsifier import Counterexample as Counterexample
    from jepa_extractor.machine.falsifier import Verdict as Verdict
    from jepa_extractor.machine.falsifier import falsify as falsify
    from jepa_extractor.machine.formats import from_networkx as from_networkx
    from jepa_extractor.machine.formats import load_machine as load_machine
    from jepa_extractor.machine.formats import save_machine as save_machine
    from jepa_extractor.machine.formats import to_dot as to_dot
    from jepa_extractor.machine.formats import to_networkx as to_networkx
    from jepa_extractor.machine.learned import NoClusters as NoClusters
    from jepa_extractor.machine.learned import learned_machine as learned_machine
    from jepa_extractor.machine.machine import Machine as Machine
    from jepa_extractor.machine.policy import MachinePolicy as MachinePolicy

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "comparison": ("Difference", "compare"),
        "environment": ("MachineEnv", "machine_of_table"),
        "falsifier": ("Counterexample", "Verdict", "falsify"),
        "formats": ("from_networkx", "load_machine", "save_machine", "to_dot", "to_networkx"),
        "learned": ("NoClusters", "learned_machine"),
        "machine": ("Machine",),
        "policy": ("MachinePolicy",),
    },
)
