"""How a sample of a batch is seen: decided by its place in the run, carried out by whatever decodes or caches it."""

from __future__ import annotations

from typing import NamedTuple


class View(NamedTuple):
    """One look at a sample.

    Attributes:
        row: of the sample, in the index.
        mirrored: left for right.
        down: where the crop lies in the image, from 0 (top) to 1 (bottom) of the room there is; 0.5 is centred.
        across: as `down`, from 0 (left) to 1 (right).
        size: (height, width) in pixels; None for the dataset's own.
    """

    row: int
    mirrored: bool = False
    down: float = 0.5
    across: float = 0.5
    size: tuple[int, int] | None = None


def as_view(sample: int | View) -> View:
    """Return a view as it is, and that of a whole, centred sample for a row."""
    return sample if isinstance(sample, View) else View(sample)
