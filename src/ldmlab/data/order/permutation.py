"""Permutations of which single places can be asked: small ones are tables, large ones are computed."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ldmlab.data.order.random_words import random_words

LARGEST_TABLE = 1 << 16
ROUNDS = 8


class Permutation(Protocol):
    """A permutation of the numbers from 0 to below some size."""

    def at(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return which number is at each place."""

    def place(self, number: int) -> int:
        """Return at which place a number is."""


def permutation(size: int, seed: int, epoch: int, stream: int = 0) -> Permutation:
    """Return that of (seed, epoch), in memory that does not grow with the size.

    Args:
        size: how many numbers.
        seed: from 0 to 2^64 - 1.
        epoch: from 0.
        stream: tells permutations of one seed and epoch apart.
    """
    return (Table if size <= LARGEST_TABLE else Feistel)(size, seed, epoch, stream)


class Table:
    """A uniform permutation, sorted once."""

    def __init__(self, size: int, seed: int, epoch: int, stream: int) -> None:
        self.numbers = np.argsort(random_words(seed, epoch, 0, size, stream), kind="stable")

    def at(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return which number is at each place."""
        return self.numbers[places]

    def place(self, number: int) -> int:
        """Return at which place a number is."""
        return int(np.flatnonzero(self.numbers == number)[0])


class Feistel:
    """A cipher on the numbers below `size`: a Feistel network of two halves of equally many bits, walked along.

    It permutes a power of four that is at least the size; whoever leaves the size is encrypted again until he is back
    (cycle walking, Black & Rogaway 2002, "Ciphers with arbitrary finite domains"), which takes less than four times.
    """

    def __init__(self, size: int, seed: int, epoch: int, stream: int) -> None:
        self.size = size
        self.half = np.uint64((int(size - 1).bit_length() + 1) // 2)
        self.mask = np.uint64((1 << int(self.half)) - 1)
        self.keys = random_words(seed, epoch, 0, ROUNDS, stream)

    def at(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return which number is at each place."""
        numbers = self._encrypt(places.astype(np.uint64))
        while len(outside := np.flatnonzero(numbers >= self.size)):
            numbers[outside] = self._encrypt(numbers[outside])
        return numbers.astype(np.int64)

    def place(self, number: int) -> int:
        """Return at which place a number is."""
        places = self._decrypt(np.array([number], np.uint64))
        while places[0] >= self.size:
            places = self._decrypt(places)
        return int(places[0])

    def _encrypt(self, numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
        left, right = numbers >> self.half, numbers & self.mask
        for key in self.keys:
            left, right = right, left ^ self._mixed(right, key)
        return left << self.half | right

    def _decrypt(self, numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
        left, right = numbers >> self.half, numbers & self.mask
        for key in self.keys[::-1]:
            left, right = right ^ self._mixed(left, key), left
        return left << self.half | right

    def _mixed(self, words: NDArray[np.uint64], key: np.uint64) -> NDArray[np.uint64]:
        """The finalizer of SplitMix64 (Steele, Lea & Flood 2014), of which a half is kept."""
        words = words ^ key
        words = (words ^ words >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        words = (words ^ words >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        return (words ^ words >> np.uint64(31)) & self.mask
