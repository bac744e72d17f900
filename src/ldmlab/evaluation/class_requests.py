"""Classes that a model is asked for, whatever data there are: as many of each, or drawn at random."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from ldmlab.data.order.permutation import permutation
from ldmlab.data.order.random_words import random_words
from ldmlab.samplers.noise import picture_seeds

Balance = Literal["balanced", "drawn"]
STREAM = 0xC1A55E5
"""Tells what classes are drawn from other uses of a seed."""


@dataclass(frozen=True)
class ClassRequests:
    """N labels, see `Requests`. They follow from (seed, classes, N) alone.

    Attributes:
        classes: K, how many the model knows.
        n: N.
        balance: "balanced": N // K of each, and one more of N % K of them, which the seed chooses, all in turn;
            "drawn": each of the N is drawn at random among the K, as in the evaluations of ADM (Dhariwal & Nichol 2021)
            and DiT (Peebles & Xie 2023), so that some come more often than others. Balance lowers the FID a little.
        seed: decides them, and the noise of the pictures.
        batch_size: pictures that are drawn at once.
    """

    classes: int
    n: int
    balance: Balance = "balanced"
    seed: int = 0
    batch_size: int = 32
    names = frozenset({"labels"})

    @cached_property
    def labels(self) -> list[int]:
        """The N classes, from 0 to K - 1, in order."""
        if self.balance == "drawn":
            words = random_words(self.seed, 0, 0, self.n, STREAM)
            return [int(word) for word in words % np.uint64(self.classes)]
        turns = permutation(self.classes, self.seed, 0, STREAM).at(np.arange(self.n) % self.classes)
        return [int(label) for label in turns]

    def parts(self) -> list[range]:
        """The numbers of the pictures of each batch, in order."""
        return [range(start, min(start + self.batch_size, self.n)) for start in range(0, self.n, self.batch_size)]

    def seeds(self) -> list[int]:
        """A seed for each picture, from which it takes its noise."""
        return picture_seeds(self.seed, self.n)

    def known(self, wanted: Collection[str]) -> dict[str, list[Any]]:
        """The labels, if they are wanted."""
        return {"labels": self.labels} if "labels" in wanted else {}
