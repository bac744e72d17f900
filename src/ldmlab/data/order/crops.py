"""Where pictures are cropped: in their centre, or anew in each epoch, as the place in the run decides."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ldmlab.data.order.random_words import random_words, uniform

Crop = Literal["center", "random"]
STREAM = 1
"""The stream of random words that say where they lie."""


def require_crop(crop: str) -> Crop:
    """Return it if there is such a way to crop; ValueError otherwise."""
    known: tuple[Crop, ...] = get_args(Crop)
    for each in known:
        if crop == each:
            return each
    raise ValueError(f"data.crop={crop}: there is no such way to crop; give {' or '.join(known)}")


def crops(seed: int, epoch: int, start: int, count: int) -> NDArray[np.float64]:
    """Return where the random crops of places of an epoch's order lie, (count, 2): down and across, in [0, 1).

    Args:
        seed: from 0 to 2^64 - 1.
        epoch: from 0.
        start: the first place.
        count: how many places.
    """
    return uniform(random_words(seed, epoch, 2 * start, 2 * count, STREAM)).reshape(count, 2)
