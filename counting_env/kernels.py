"""How this package compiles: Numba, without the interpreter lock, cached where a cache can be kept."""

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile ``function`` to machine code that runs without the interpreter lock.

    The machine code is kept on disk for the next process. Where no folder can hold it (a read-only
    installation and a read-only home), it is compiled anew in each process instead.
    """
    try:
        compiled = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # Numba found no writable cache folder
        compiled = numba.njit(nogil=True)(function)
    return compiled  # type: ignore[no-any-return]
