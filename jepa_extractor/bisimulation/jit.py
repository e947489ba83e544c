"""How this package compiles its kernels: with Numba, without the interpreter lock, cached where a cache can be kept."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile ``function`` to machine code that runs without the interpreter lock.

    Numba keeps the machine code on disk until the file of ``function`` changes. It does not look at other files, so a
    kernel may use kernels and constants of its own file only. Where no folder can hold the cache (a read-only
    installation and a read-only home), each process compiles anew.
    """
    try:
        return cast(Function, numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:  # Numba found no writable cache folder
        return cast(Function, numba.njit(nogil=True)(function))
