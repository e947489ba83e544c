"""What importing the audit loads."""

import subprocess
import sys

import jepa_extractor


def test_importing_the_audit_loads_nothing_heavy():
    """A new process holds none of the packages of the audit until a name of it is used.

    A bare package stands for ``jepa_extractor``, so that its own imports do not count.
    """
    heavy = ("sklearn", "scipy", "rich", "matplotlib", "numba", "torch", "stable_baselines3")
    code = f"""
import sys, types
sys.modules["jepa_extractor"] = package = types.ModuleType("jepa_extractor")
package.__path__ = {list(jepa_extractor.__path__)}
import jepa_extractor.audit
print(*(name for name in {heavy} if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
