"""How this package compiles: Numba, without the interpreter lock, cached where a cache can be kept."""

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile ``function`` to machine code that runs without the interpreter lock.

    The machine code is kept on disk for the next process, until a file with kernels changes. Where no folder
    can hold it (a read-only installation and a read-only home), it is compiled anew in each process instead.
    """
    compiled: Any
    try:
        compiled = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # Numba found no writable cache folder
        compiled = numba.njit(nogil=True)(function)
    else:
        # Numba asks only whether the function's own file has changed. But its machine code also holds the
        # kernels and constants that it takes from other files, and Numba has no public way to say so.
        with contextlib.suppress(AttributeError):
            compiled._cache._cache_file._source_stamp = _STAMP
    return cast(Function, compiled)


def _kernels_stamp() -> str:
    """Return a digest of every file that holds kernels."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        source = path.read_bytes()
        if b"@kernel" in source:
            digest.update(source)
    return digest.hexdigest()


_STAMP = _kernels_stamp()
