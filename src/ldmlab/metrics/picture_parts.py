"""Parts of the pictures that are left out in turn, to tell how sure a figure is and what it tends to.

Quenouille, "Notes on bias in estimation" (1956). Shapes: N pictures, B of a batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor


def part_of(numbers: Sequence[int], parts: int) -> Int[Tensor, " B"]:
    """Return the part that each picture belongs to, whoever asks.

    Every run of so many consecutive pictures is dealt out, one to each part, in an order of its own. So parts are equal
    in size but for one picture, and pictures of one class that come one after another are in all of them.

    Args:
        numbers: of the pictures.
        parts: how many parts there are.
    """
    runs, places = np.divmod(np.asarray(numbers), parts)
    distinct, own = np.unique(runs, return_inverse=True)
    orders = _random_words(distinct[:, None] * parts + np.arange(parts)).argsort(axis=1)
    return torch.from_numpy(orders[own, places])


def parts_of_all(count: int, parts: int) -> Int[Tensor, " N"]:
    """Return the part of each of N pictures, numbered without gaps where there are fewer pictures than parts."""
    return part_of(range(count), parts).unique(return_inverse=True)[1]


class Limit(NamedTuple):
    """What a figure of N pictures tends to for infinitely many, where its bias is proportional to 1/N.

    Attributes:
        figure: where the line in 1/N ends that runs through the figure of all pictures and those of fewer.
        error: the standard error of that, and of the figure of all; NaN of less than two parts.
    """

    figure: float
    error: float


def limit(figure: float, without: Sequence[float], counts: Sequence[int]) -> Limit:
    """Return what a figure tends to and how sure it is, by the jackknife for parts of unequal sizes.

    Busing et al., "Delete-m jackknife for unequal m" (1999), equations 4 and 7.

    Args:
        figure: of all pictures.
        without: the figure of all pictures but those of one part, part after part.
        counts: how many pictures there are of each part.
    """
    if len(without) < 2:
        return Limit(figure, math.nan)
    every = sum(counts)
    shares = [every / count for count in counts]
    alone = [share * figure - (share - 1) * other for share, other in zip(shares, without, strict=True)]
    end = sum(each / share for each, share in zip(alone, shares, strict=True))
    squares = [(each - end) ** 2 / (share - 1) for each, share in zip(alone, shares, strict=True)]
    return Limit(end, math.sqrt(sum(squares) / len(squares)))


def _random_words(counters: np.ndarray) -> np.ndarray:
    """A random word for each counter, whoever asks: SplitMix64 (Steele et al., "Fast splittable generators", 2014)."""
    words = (counters.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
