"""Classes that a model is asked for, whatever data there are: as many of each, or drawn at random."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np

from ldmlab.data.order.permutation import permutation
from ldmlab.data.order.random_words import random_words
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.samplers.noise import picture_seeds

Balance = Literal["balanced", "drawn"]
Conditions = Literal["heldout", Balance]
"""What a model is asked for: what is known of held-out samples, or classes of a balance."""
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


def class_requests(
    model: LatentDiffusion, conditions: Conditions, n: int, seed: int, batch_size: int, pictures_per_caption: int = 1
) -> ClassRequests | None:
    """The classes that a model is asked for; None where it is asked for what is known of held-out samples.

    Args:
        model: that is to draw.
        conditions: "heldout", "balanced" or "drawn".
        n: pictures to draw.
        seed: see `ClassRequests`.
        batch_size: see `ClassRequests`.
        pictures_per_caption: must be 1, or the classes would not be balanced.

    Raises:
        ValueError: a model of anything but classes, or several pictures a request.
    """
    if conditions == "heldout":
        return None
    if conditions not in get_args(Balance):
        raise ValueError(f"conditions={conditions}: choose one of heldout, {', '.join(get_args(Balance))}")
    if model.conditioner.reads != {"labels"} or model.conditioner.classes is None:
        reads = " and ".join(sorted(model.conditioner.reads)) or "nothing"
        raise ValueError(f"conditions={conditions}: asks for classes, and this model reads {reads}; use heldout")
    if pictures_per_caption != 1:
        raise ValueError(f"conditions={conditions}: asks for each picture's class; leave pictures_per_caption at 1")
    return ClassRequests(model.conditioner.classes, n, conditions, seed, batch_size)
