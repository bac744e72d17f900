"""Pictures that are mirrored in training, left for right: which, and which words of captions that makes wrong."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from ldmlab.data.order.random_words import random_words, uniform

log = logging.getLogger(__name__)

MOST_READ = 100_000
SIDE = re.compile(r"\b(?:left|right)", re.IGNORECASE)


def flip_probability(flip: bool | float) -> float:
    """The probability with which a training sample is mirrored: `True` is one half."""
    if not 0 <= flip <= 1:
        raise ValueError(f"data.flip={flip} is no probability; give true, false, or a number from 0 to 1")
    return 0.5 if flip is True else float(flip)


def flips(seed: int, epoch: int, start: int, count: int, probability: float) -> NDArray[np.bool_]:
    """Return which places of an epoch's order show a mirror image, with bits of their own.

    Args:
        seed: from 0 to 2^64 - 1.
        epoch: from 0.
        start: the first place.
        count: how many places.
        probability: of a mirror image.
    """
    return uniform(random_words(seed, 2**64 - 1 - epoch, start, count)) < probability


def warn_of_sides(captions: Iterable[str], probability: float) -> None:
    """Say how many of the first captions speak of left or right, which a mirror image makes wrong."""
    read = list(islice(captions, MOST_READ))
    count = sum(SIDE.search(caption) is not None for caption in read)
    if count:
        message = "data.flip=%g: %d of %d captions say left or right, and mirror images show the opposite"
        log.warning(message, probability, count, len(read))
