"""The seam of what pictures are read from, by their rows. Shapes: B pictures of H x W pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from jaxtyping import UInt8
from torch import Tensor

from ldmlab.pictures.reading import fit_picture

MOST_PICTURES = 10**7
"""Of a folder or a file."""


class PictureSource(Protocol):
    """Pictures of one size, by row from 0.

    Attributes:
        where: how the user named it, as "pictures=FOLDER".
        kind: "folder" or "npz".
        size: (H, W) in pixels.
        columns: what is known of every picture, by name: "keys", "captions", "labels".
        fingerprint: SHA-256 of all that is read of them.
    """

    where: str
    kind: str
    size: tuple[int, int]
    columns: dict[str, list[Any]]
    fingerprint: str

    def __len__(self) -> int: ...

    def images(self, rows: Sequence[int]) -> UInt8[Tensor, "B 3 H W"]:
        """The pictures of some rows, in order.

        Raises:
            ValueError: one of them cannot be read.
        """


def stacked(pictures: Sequence[Tensor], image_size: int | None) -> UInt8[Tensor, "B 3 H W"]:
    """Pictures (3, H, W) as a batch.

    Args:
        pictures: of one size, unless `image_size` is given.
        image_size: to whose square they are cropped and scaled, as training data are; None leaves them as they are.
    """
    return torch.stack([each if image_size is None else fit_picture(each, image_size) for each in pictures])


def require_pictures(where: str, count: int) -> None:
    """Refuse what has too few pictures to be measured, or more than are taken for real.

    Raises:
        ValueError: with the number.
    """
    if count < 2:
        told = "holds one picture, which is too few to measure" if count else "holds no picture"
        raise ValueError(f"{where}: {told}; give at least 2")
    if count > MOST_PICTURES:
        raise ValueError(f"{where}: holds {count:,} pictures; give at most {MOST_PICTURES:,}")
