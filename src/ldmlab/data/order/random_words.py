"""Random words that are found by their place: the n-th of a stream, without those before it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

AT_A_TIME = 4
"""Words of a block of Philox 4x64."""


def random_words(seed: int, number: int, start: int, count: int, stream: int = 0) -> NDArray[np.uint64]:
    """Return words `start` to `start + count` of a stream of Philox 4x64-10, a generator by counter.

    Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3". They are the raw words rather than what a method
    of numpy's generators makes of them, since those may change with its version.

    Args:
        seed: of the run, from 0 to 2^64 - 1.
        number: the other half of the key, such as the epoch.
        start: of the first word.
        count: how many.
        stream: tells uses of one key apart.
    """
    counter, skipped = divmod(start, AT_A_TIME)
    key = np.array([seed, number], np.uint64)
    philox = np.random.Philox(key=key, counter=np.array([counter, 0, 0, stream], np.uint64))
    return philox.random_raw(skipped + count)[skipped:]


def uniform(words: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Turn words into numbers from 0 to below 1, by their upper 53 bits."""
    return np.float64(2.0**-53) * (words >> np.uint64(11))
