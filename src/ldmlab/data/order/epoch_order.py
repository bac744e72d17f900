"""The order of the samples of an epoch, window by window: a pure function of (seed, epoch) in memory of a window."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ldmlab.data.order.permutation import permutation
from ldmlab.data.order.random_words import random_words

BLOCK = 64
WINDOW = 64 * BLOCK
WINDOWS_KEPT = 32


class EpochOrder:
    """A permutation of numbers of which any stretch can be asked, which costs the same wherever it is.

    Blocks of `block` neighbouring numbers are permuted, then the numbers within each run of `window` places: reads
    stay local to window/block places of the tars. With size <= window it is a plain uniform permutation.

    Args:
        size: how many numbers, from 0.
        seed: from 0 to 2^64 - 1.
        epoch: from 0.
        block: numbers that stay together at first.
        window: places within which they are mixed; a multiple of `block`.
        stream: tells orders of one seed and epoch apart.
    """

    def __init__(
        self, size: int, seed: int, epoch: int, block: int = BLOCK, window: int = WINDOW, stream: int = 0
    ) -> None:
        self.size = size
        self.seed = seed
        self.epoch = epoch
        self.block = block
        self.window = window
        self.stream = stream
        self.blocks = -(-size // block)
        self._permutation = permutation(self.blocks, seed, epoch, stream)
        self._end = size - (self.blocks - 1) * block + self._permutation.place(self.blocks - 1) * block
        self._kept: dict[int, NDArray[np.int64]] = {}

    def __getitem__(self, places: slice) -> NDArray[np.int64]:
        """Return the numbers at places start to stop of the order."""
        first, last = places.start // self.window, (places.stop - 1) // self.window
        numbers = np.concatenate([self._window(window) for window in range(first, last + 1)])
        return numbers[places.start - first * self.window : places.stop - first * self.window]

    def _window(self, window: int) -> NDArray[np.int64]:
        if window not in self._kept:
            if len(self._kept) == WINDOWS_KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[window] = self._mixed(window)
        return self._kept[window]

    def _mixed(self, window: int) -> NDArray[np.int64]:
        start = window * self.window
        stop = min(start + self.window, self.size)
        words = random_words(self.seed, self.epoch, self.blocks + start, stop - start, self.stream)
        return self._by_blocks(np.arange(start, stop))[np.argsort(words, kind="stable")]

    def _by_blocks(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The numbers where blocks alone are permuted; the last block, wherever it comes, may be a short one."""
        places = np.where(places < self._end, places, places + self.blocks * self.block - self.size)
        return self._permutation.at(places // self.block) * self.block + places % self.block
