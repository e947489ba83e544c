"""Names of a package whose modules are imported when a name is first used (PEP 562).

They stand in the package's ``__init__.pyi``, as ``from module import X as X``; editors and type checkers read that too.
"""

import pkgutil
import re
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def lazy_names(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return ``__getattr__``, ``__dir__`` and ``__all__`` for ``package``.

    A name that a package within has instead raises an ``AttributeError`` that says which. One that needs
    Stable-Baselines3, where that is not installed, raises an ``ImportError`` that says how to install it.
    """
    module_of = _module_of(package)
    public = sorted(module_of)

    def get(name: str) -> Any:
        if name not in module_of:
            for room in pkgutil.iter_modules(sys.modules[package].__path__, f"{package}."):
                if room.ispkg and name in _module_of(room.name):
                    raise AttributeError(f"{package} has no {name}: from {room.name} import {name}")
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            value = getattr(import_module(module_of[name]), name)
        except ModuleNotFoundError as error:
            if error.name != "stable_baselines3":
                raise
            raise ImportError(
                f"{package}.{name} needs stable_baselines3, which is not installed: pip install 'counting-jepa[sb3]'"
            ) from error
        setattr(sys.modules[package], name, value)
        return value

    return get, lambda: public, public


def _module_of(package: str) -> dict[str, str]:
    """Return the module that holds each public name."""
    spec = find_spec(package)  # without an import of it
    assert spec is not None
    stub = Path(str(spec.origin)).with_suffix(".pyi")
    names = stub.read_text() if stub.exists() else ""
    return {name: module for module, name in re.findall(r"^from (\S+) import \w+ as (\w+)$", names, re.MULTILINE)}
