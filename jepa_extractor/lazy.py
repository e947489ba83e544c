"""Names of a package whose modules are imported when a name is first used (PEP 562)."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

Names = Mapping[str, tuple[str, ...]]


def lazy_names(
    package: str, names: Names, moved: Names | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return ``__getattr__``, ``__dir__`` and ``__all__`` for ``package``, whose modules hold ``names``.

    A name of ``moved`` raises an ``AttributeError`` that says which sub-package holds it. One that needs
    Stable-Baselines3, where that is not installed, raises an ``ImportError`` that says how to install it.
    """
    module_of = {name: module for module, held in names.items() for name in held}
    room_of = {name: room for room, held in (moved or {}).items() for name in held}
    public = sorted(module_of)

    def get(name: str) -> Any:
        if name in room_of:
            raise AttributeError(f"{package} has no {name}: from {package}.{room_of[name]} import {name}")
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            value = getattr(import_module(f"{package}.{module_of[name]}"), name)
        except ModuleNotFoundError as error:
            if error.name != "stable_baselines3":
                raise
            raise ImportError(
                f"{package}.{name} needs stable_baselines3, which is not installed: pip install 'counting-jepa[sb3]'"
            ) from error
        setattr(sys.modules[package], name, value)
        return value

    return get, lambda: public, public
