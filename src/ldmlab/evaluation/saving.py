"""Pictures that are measured, written where other programs read them: an array in an .npz file, or PNG files.

What writes is a metric without figures, so that pictures of every kind pass it, each on the rank that made it, and are
on the disk before a measurement that is killed would take them for done. Shapes: B pictures of H x W pixels, N in all.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterable, Sequence
from io import BufferedReader
from pathlib import Path
from typing import IO, Literal, Self
from zipfile import ZIP_STORED, ZipFile

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.lib import format as npy
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from ldmlab.atomic import atomic_file
from ldmlab.evaluation.shares import Shares
from ldmlab.files import open_regular
from ldmlab.metrics.base import Metric
from ldmlab.pictures.contact_sheet import to_pil
from ldmlab.pictures.png import write_png

SaveAs = Literal["npz", "png"]
NAME = "pictures"
"""Of the file, or the folder."""


class SavedPictures(Metric):
    """Writes pictures; `path` is where they are when `finish` has been called, once, after the last of them.

    Args:
        folder: of the measurement.
    """

    path: Path
    count: Tensor

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder, self.writes = folder, True
        self.add_sum("count")

    def twin(self) -> Self:
        """One that writes nothing: what is measured beside a model's pictures is none of them."""
        other = super().twin()
        other.writes = False
        return other

    def compute(self) -> dict[str, float]:
        """No figures."""
        return {}

    def finish(self) -> None:
        """Do what is left when every rank has written its pictures."""


class SavedPng(SavedPictures):
    """Writes `pictures/00000.png`, `00001.png` and so on, and captions beside them, `00000.txt`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.path = folder / NAME

    def update(
        self, images: UInt8[Tensor, "B 3 H W"], numbers: Sequence[int], captions: Sequence[str] | None = None
    ) -> None:
        """Write a batch."""
        if not self.writes:
            return
        self.path.mkdir(parents=True, exist_ok=True)
        for place, number in enumerate(numbers):
            write_png(self.path / f"{number:05d}.png", to_pil(images[place]))
            if captions is not None:
                with atomic_file(self.path / f"{number:05d}.txt") as file:
                    file.write(captions[place].encode())
        self.count = self.count + len(images)


class SavedNpz(SavedPictures):
    """Writes `pictures.npz` as ADM's evaluator reads it: `arr_0` uint8 (N, H, W, 3), and labels `arr_1`, where known.

    Batches lie in files of their numbers alone until all are there.
    """

    shape: Tensor
    labelled: Tensor

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.path, self._parts = folder / f"{NAME}.npz", folder / f"{NAME}.parts"
        self.add_state("shape", torch.zeros(3, dtype=torch.long), dist_reduce_fx="max")
        self.add_sum("labelled")

    def update(
        self, images: UInt8[Tensor, "B 3 H W"], numbers: Sequence[int], labels: Sequence[int | None] | None = None
    ) -> None:
        """Write a batch."""
        if not self.writes:
            return
        self._parts.mkdir(parents=True, exist_ok=True)
        pixels = images.permute(0, 2, 3, 1).cpu().numpy()
        self._write("arr_0", pixels, numbers[0])
        if labels is not None and None not in labels:
            self._write("arr_1", np.array(labels, np.int64), numbers[0])
            self.labelled = self.labelled + len(images)
        self.count, self.shape = self.count + len(images), torch.tensor(pixels.shape[1:])

    def finish(self) -> None:
        """Put the batches together.

        Raises:
            ValueError: some of them are not there, as those of another host without a common folder.
        """
        if self.path.exists() and not (self._parts / "arr_0").exists():
            return  # an earlier start was killed just after this
        count, shape = int(self.count), tuple(self.shape.tolist())
        arrays: dict[str, tuple[DTypeLike, tuple[int, ...]]] = {"arr_0": (np.uint8, (count, *shape))}
        if int(self.labelled) == count:
            arrays["arr_1"] = (np.int64, (count,))
        with atomic_file(self.path) as whole, ZipFile(whole, "w", ZIP_STORED) as npz:
            for name, (dtype, size) in arrays.items():
                with self._part(name) as part, npz.open(f"{name}.npy", "w", force_zip64=True) as member:
                    _pack(part, member, np.dtype(dtype), size)
        (self._parts / "arr_0").unlink()
        shutil.rmtree(self._parts)

    def _write(self, name: str, rows: NDArray[np.generic], first: int) -> None:
        """Put rows where they belong, and on the disk."""
        content = np.ascontiguousarray(rows).data.cast("B")
        descriptor = os.open(self._parts / name, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            done, start = 0, first * (len(content) // len(rows))
            while done < len(content):
                done += os.pwrite(descriptor, content[done:], start + done)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _part(self, name: str) -> BufferedReader:
        return open_regular(self._parts / name)


SAVED: dict[str, type[SavedPictures]] = {"npz": SavedNpz, "png": SavedPng}


def _pack(part: BufferedReader, member: IO[bytes], dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> None:
    """Write numbers as an .npy file, from a file of them alone, which may be longer."""
    left = math.prod(shape) * dtype.itemsize
    if os.fstat(part.fileno()).st_size < left:
        raise ValueError(f"{part.name}: is too short; hosts that share the work need a common output_dir")
    npy.write_array_header_1_0(member, {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape})
    while left:
        chunk = part.read(min(left, 1 << 20))
        member.write(chunk)
        left -= len(chunk)


def finish_saving(metrics: Iterable[Metric], shares: Shares) -> None:
    """Finish what has been written, once every rank has measured its pictures."""
    for metric in metrics:
        if isinstance(metric, SavedPictures) and shares.ranks.is_first:
            metric.finish()
