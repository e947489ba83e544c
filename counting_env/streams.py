"""Random numbers inside compiled code: one SplitMix64 stream for each environment.

A stream is a single ``uint64``, seeded from the environment's NumPy generator and advanced in place.
So an environment draws the same numbers whether it runs alone, in a batch, or in one of several
threads. Source: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.
"""

import numpy as np
from numpy.typing import NDArray

from counting_env.kernels import kernel

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31, _S32 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(32)


def seed_stream(rng: np.random.Generator) -> int:
    """Return the start of a stream, drawn from ``rng``: an integer in [0, 2**64)."""
    return int(rng.integers(0, 2**64, dtype=np.uint64))


@kernel
def draw(streams: NDArray[np.uint64], i: int) -> np.uint64:
    """Advance ``streams[i]`` and return 64 random bits."""
    state = streams[i] + _STEP
    streams[i] = state
    state = (state ^ (state >> _S30)) * _MIX_1
    state = (state ^ (state >> _S27)) * _MIX_2
    return state ^ (state >> _S31)  # type: ignore[no-any-return]


@kernel
def below(streams: NDArray[np.uint64], i: int, bound: int) -> int:
    """Advance ``streams[i]`` and return an integer uniform on [0, bound), for ``bound`` up to 2**32.

    Multiply and shift (Lemire 2019) without the rejection step: the bias is under ``bound / 2**32``.
    """
    return np.int64(((draw(streams, i) >> _S32) * np.uint64(bound)) >> _S32)  # type: ignore[return-value]
