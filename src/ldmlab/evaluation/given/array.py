"""Pictures in an .npz file, as ADM's evaluator reads and writes them: `arr_0` (N, H, W, 3), and labels `arr_1`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from ldmlab.evaluation.given.npz_file import NpzArray, NpzFile
from ldmlab.evaluation.given.source import require_pictures, stacked
from ldmlab.files import sha256_of
from ldmlab.pictures.reading import MOST_PIXELS

PICTURES, LABELS = "arr_0", "arr_1"


class ArraySource:
    """The pictures of a file; see `PictureSource`.

    Args:
        file: it.
        image_size: to whose square pictures are cropped and scaled; None leaves them as they are.

    Raises:
        ValueError: there is no `arr_0`, or it is not uint8 (N, H, W, 3); `arr_1` is not N integers.
    """

    kind = "npz"

    def __init__(self, file: NpzFile, image_size: int | None = None) -> None:
        self.where, self._image_size = file.where, image_size
        self._pictures = _pictures(file)
        self.columns: dict[str, list[Any]] = {}
        if LABELS in file.names:
            self.columns["labels"] = _labels(file, len(self))
        height, width = self._pictures.shape[1:3]
        self.size = (height, width) if image_size is None else (image_size, image_size)
        self.fingerprint = sha256_of(file.path)

    def __len__(self) -> int:
        return self._pictures.shape[0]

    def images(self, rows: Sequence[int]) -> UInt8[Tensor, "B 3 H W"]:
        """The pictures of some rows, in order; see `PictureSource`."""
        images = torch.from_numpy(self._pictures.take(rows)).permute(0, 3, 1, 2).contiguous()
        return images if self._image_size is None else stacked(list(images), self._image_size)


def _pictures(file: NpzFile) -> NpzArray:
    if PICTURES not in file.names:
        held = ", ".join(file.names) or "nothing"
        raise ValueError(f"{file.where}: holds {held}; pictures are read from {PICTURES}, uint8 (N, H, W, 3)")
    array = file.array(PICTURES)
    if array.dtype != np.uint8 or len(array.shape) != 4 or array.shape[3] != 3:
        found = f"{array.dtype} {array.shape}"
        raise ValueError(f"{file.where}: {PICTURES} is {found}; pictures are uint8 (N, H, W, 3), from 0 to 255")
    if not 0 < array.shape[1] * array.shape[2] <= MOST_PIXELS:
        rows, columns = array.shape[1:3]
        raise ValueError(f"{file.where}: pictures of {rows} x {columns}; give 1 to {MOST_PIXELS:,} pixels each")
    require_pictures(file.where, array.shape[0])
    return array


def _labels(file: NpzFile, count: int) -> list[int]:
    array = file.array(LABELS)
    if array.dtype.kind not in "iu" or array.shape != (count,):
        found = f"{array.dtype} {array.shape}"
        raise ValueError(f"{file.where}: {LABELS} is {found}, and labels are {count} integers; mend it or leave it out")
    labels: list[int] = array.all(count * 8).tolist()
    return labels
